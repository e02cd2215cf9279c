"""What the help of every command shares: panels, two examples, and no `<bool>` behind switches."""

from typing import Any

from typer.core import TyperCommand, TyperGroup

# Options of no panel of their own, by the panel that they stand in.
PANELS = {
    "What is swept": ("--grid", "--seeds", "--seed"),
    "Look, or stop": ("--dry-run", "--status", "--cancel", "--detach", "--yes"),
    "Which runs": ("--where", "--include", "--all", "--rows", "--group-by", "--metric", "--sort"),
    "Output": ("--json", "--csv", "--out", "--plot", "--quiet", "--markdown", "--terminal"),
    "The figure": ("--style", "--x", "--y", "--each-seed", "--title"),
    "The file": ("--long", "--summary", "--std", "--per-seed"),
}
EXAMPLES = {
    "train": (
        "grok train --ln-type mlp-pre --seed 456 --until-grokked",
        "grok train --resume runs/add-mlp-pre-s456-0123456789",
    ),
    "sweep": (
        "grok sweep ln-positions --seeds 1 --until-grokked",
        "grok sweep --grid model.ln_type=off,pre --seeds 3 --dry-run",
    ),
    "branch": (
        "grok branch runs/add-off-s456-4d36bd0181 --at 300 --set model.ln_type=mlp-pre",
        "grok branch add-off-s456-4d36bd0181 --at generalised --weight-decay 0 --steps 20000",
    ),
    "runs": ("grok runs", "grok runs runs/ln-positions --json"),
    "plot": (
        "grok plot accuracy runs/ln-positions --out accuracy.svg",
        "grok plot generalisation runs/ln-positions --terminal",
    ),
    "times": (
        "grok times runs/ln-positions",
        "grok times runs/ln-positions --event memorised --threshold 0.9,0.99 --power 1.5",
    ),
    "report": ("grok report runs/ln-positions", "grok report runs/ln-positions --markdown"),
    "watch": ("grok watch", "grok watch runs/ln-positions --once > page.html"),
    "export-csv": (
        "grok export-csv runs/ln-positions --metric 'test/*'",
        "grok export-csv runs/ln-positions --long --out tidy",
    ),
    "measure-entropy": (
        "grok measure-entropy runs/add-mlp-pre-s456-*",
        "grok measure-entropy runs/*/snapshots/step_010000.pt --csv entropy.csv",
    ),
    "measure": (
        "grok measure runs/add-off-s456-* -m rank,progress",
        "grok measure runs/* -m ntk --where ln_type=pre --json",
    ),
    "inspect": (
        "grok inspect runs/add-off-s456-4d36bd0181",
        "grok inspect runs/*/snapshots/step_000800.pt --plot network.png",
    ),
    "animate": (
        "grok animate runs/add-off-s456-4d36bd0181 off.gif",
        "grok animate runs/add-off-s456-4d36bd0181 off.mp4 --fps 12 --from 4000",
    ),
    "predict": (
        "grok predict runs/add-off-s456-4d36bd0181 3 5",
        "grok predict runs/add-off-s456-4d36bd0181 3 5 --json",
    ),
    "bench": ("grok bench", "grok bench --full --threads 1,2 --json"),
    "upload": (
        "grok upload runs/add-off-s456-4d36bd0181",
        "grok upload runs/ln-positions --project grokking",
    ),
    "docs": ("grok docs", "grok docs cite"),
    "studies": ("grok studies", "grok studies --json"),
    "studies show": ("grok studies show ln-positions", "grok studies show rmsnorm"),
    "studies copy": (
        "grok studies copy ln-positions mine.yaml",
        "grok studies copy rmsnorm sweeps/norms.yaml",
    ),
    "config show": ("grok config show", "grok config show --ln-type pre --modulus 97"),
    "config schema": ("grok config schema", "grok config schema > settings.schema.json"),
    "config validate": (
        "grok config validate mine.yaml",
        "grok config validate runs/add-off-s456-4d36bd0181/config.yaml",
    ),
}


class Arranged:
    """Shows options in their panels, and nothing behind switches."""

    def get_params(self, ctx: Any) -> list[Any]:
        options: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for option in options:
            if getattr(option, "is_flag", False) and option.metavar is None:
                option.metavar = ""
            if getattr(option, "rich_help_panel", "") is None:
                for panel, flags in PANELS.items():
                    if set(flags) & set(option.opts):
                        option.rich_help_panel = panel
        return options


class Command(Arranged, TyperCommand):
    """A command of its own."""


class CommandGroup(Arranged, TyperGroup):
    """A command that has others below it."""


def examples(name: str) -> str | None:
    """The examples of a command, for the end of its help."""
    lines = EXAMPLES.get(name, ())
    return "\n\n".join(["Examples:", *lines]) if lines else None
