"""`grok inspect` and `grok predict`: what one network has learned, and one of its answers."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grok_cli.cli import completion
from grok_cli.cli.output import escape, print_json
from grok_cli.cli.parameters import Json, argument, option
from grok_cli.core.placement import PLACEMENTS
from grok_cli.core.tasks import TASKS
from grok_cli.runs.directory import run_of_snapshot

if TYPE_CHECKING:
    from grok_cli.diagnostics.findings import Findings
    from grok_cli.runs.checkpoints import Snapshot

MOST_KEYS = 8
BAR_WIDTH = 40

SnapshotArgument = Annotated[
    Path,
    argument(
        "SNAPSHOT",
        "A snapshot, or a run (its last snapshot).",
        autocompletion=completion.run_directories,
    ),
]


def inspect_network(
    snapshot: SnapshotArgument,
    plot: Annotated[
        Path | None,
        option("Draw circles, waves, attention, answers (.svg, .pdf).", metavar="FILE.png"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a network has learned, on one screen."""
    if plot is not None:
        from grok_cli.figures.matplotlib import check_ending

        check_ending(plot)
    from grok_cli.diagnostics.findings import findings_of
    from grok_cli.runs.measuring import subject_at

    loaded, subject = subject_at(snapshot)
    findings = findings_of(subject)
    if plot is not None:
        from grok_cli.diagnostics.inside import look
        from grok_cli.figures.matplotlib import save
        from grok_cli.figures.network import TO, caption, panels
        from grok_cli.figures.sheet import draw_sheet

        inside = look(subject)
        save(draw_sheet(panels(inside, TO), _title(loaded), caption(inside)), plot)
    if as_json:
        print_json({"snapshot": str(loaded.path), "step": loaded.step, **asdict(findings)})
    else:
        _print(Console(highlight=False), loaded, findings)


def predict(
    snapshot: SnapshotArgument,
    a: Annotated[int, argument("A", "First element.")],
    b: Annotated[int, argument("B", "Second element.")],
    as_json: Json = False,
) -> None:
    """Ask a network for a ∘ b: its answer and probability, the runner-up, and the truth."""
    from grok_cli.diagnostics.findings import ask
    from grok_cli.runs.measuring import subject_at

    loaded, subject = subject_at(snapshot)
    found = ask(subject, loaded.config.data.task, a, b)
    if as_json:
        print_json(asdict(found))
        return
    verdict = "right" if found.answer == found.truth else f"wrong: {found.truth}"
    typer.echo(f"{a} ∘ {b} = {found.answer}  ({verdict}; a {found.split} pair)")
    typer.echo(f"probability {found.probability:.6g}")
    typer.echo(f"runner-up   {found.runner_up}, {found.runner_up_probability:.6g}")


def _title(snapshot: "Snapshot") -> str:
    """Of which network something is shown."""
    run = run_of_snapshot(snapshot.path)
    return f"{run.path.name if run else snapshot.path.name}, step {snapshot.step}"


def _print(console: Console, snapshot: "Snapshot", found: "Findings") -> None:
    config = snapshot.config
    placement = PLACEMENTS[config.model.ln_type]
    console.print(Text(escape(_title(snapshot)), style="bold"))
    console.print(
        f"{TASKS[config.data.task].formula}, p = {config.data.modulus}; {placement.name} "
        f"({placement.paper}); seed {config.train.seed}; [bold]{found.phase}[/]\n"
    )
    losses = [f"{split} {value:.3g}" for split, value in found.loss.items()]
    if found.restricted_loss is not None:
        losses += [f"restricted {found.restricted_loss:.3g}", f"excluded {found.excluded_loss:.3g}"]
    facts = Table.grid(padding=(0, 2))
    facts.add_row("accuracy", "  ".join(f"{s} {v:.4f}" for s, v in found.accuracy.items()))
    facts.add_row("loss", "  ".join(losses))
    facts.add_row("residual", f"rank {found.rank:.0f}  effective rank {found.effective_rank:.2f}")
    console.print(facts)

    if found.keys:
        console.print(f"\n[bold]key frequencies[/]  {len(found.keys)}, share of the answer's waves")
        bars = Table.grid(padding=(0, 1))
        for frequency, share in found.keys[:MOST_KEYS]:
            bar = "█" * max(1, round(share * BAR_WIDTH))
            bars.add_row(f"k = {frequency}", Text(bar, style="cyan"), f"{100 * share:.1f} %")
        console.print(bars)
        if len(found.keys) > MOST_KEYS:
            console.print(f"[dim]and {len(found.keys) - MOST_KEYS} more[/]")

    for layer, heads in enumerate(found.attention):
        deep = f" of layer {layer}" if len(found.attention) > 1 else ""
        console.print(
            f"\n[bold]attention{deep}[/]  entropy {found.entropy[layer]:.4f} (at most 1.0986), "
            f"effective rank of its output {found.out_rank[layer]:.2f}"
        )
        weights = Table("at =", "a", "b", "=", box=None, pad_edge=False, header_style="dim")
        for head, row in enumerate(heads):
            weights.add_row(f"head {head}", *(f"{weight:.3f}" for weight in row))
        console.print(weights)
