"""`grok inspect` and `grok predict`: what one network has learned, and one of its answers."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grok_cli.cli.measure import subject_of
from grok_cli.cli.output import print_json
from grok_cli.core.placement import PLACEMENTS
from grok_cli.core.tasks import TASKS
from grok_cli.errors import GrokError, UsageError, cause
from grok_cli.runs.directory import RunDir, run_of_snapshot

if TYPE_CHECKING:
    from grok_cli.diagnostics.subject import Subject
    from grok_cli.runs.checkpoints import Snapshot

MOST_KEYS = 8
BAR_WIDTH = 40

SnapshotArgument = Annotated[
    Path, typer.Argument(metavar="SNAPSHOT", help="A snapshot, or a run (its last snapshot).")
]


@dataclass(frozen=True)
class Findings:
    """What `grok inspect` shows; the measures are defined in grok_cli/diagnostics/measures.

    Attributes:
        accuracy, loss: of "train" and "test" rows.
        phase: by the thresholds of core/phases.py, from these accuracies alone.
        restricted_loss, excluded_loss, keys: Nanda et al. 2023; keys are (frequency, share of the
            answer's waves in the logits). None and [] where the task is not a + b or a - b mod p.
        attention: per layer and head, the mean weight of a, b and = at the last query position.
        entropy, out_rank: attention entropy and effective rank of attention's output, per layer.
        rank, effective_rank: of the residual stream before the unembedding, over test rows.
    """

    accuracy: dict[str, float]
    loss: dict[str, float]
    phase: str
    restricted_loss: float | None
    excluded_loss: float | None
    keys: list[tuple[int, float]]
    attention: list[list[list[float]]]
    entropy: list[float]
    out_rank: list[float]
    rank: float
    effective_rank: float


def inspect_network(
    snapshot: SnapshotArgument,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw spectra, attention and logits (.svg, .pdf)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a network has learned, on one screen."""
    if plot is not None:
        from grok_cli.figures.matplotlib import check_ending

        check_ending(plot)
    loaded, subject = _load(snapshot)
    findings = find(subject)
    if plot is not None:
        from grok_cli.figures.network import draw_network

        try:
            draw_network(subject).savefig(plot, dpi=150)
        except OSError as error:
            raise GrokError(f"cannot write {plot}: {cause(error)}") from None
    if as_json:
        print_json({"snapshot": str(loaded.path), "step": loaded.step, **asdict(findings)})
    else:
        _print(Console(highlight=False), loaded, findings)


def predict(
    snapshot: SnapshotArgument,
    a: Annotated[int, typer.Argument(help="First element.")],
    b: Annotated[int, typer.Argument(help="Second element.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask a network for a ∘ b: its answer and probability, the runner-up, and the truth."""
    import torch

    loaded, subject = _load(snapshot)
    data, task = subject.dataset, TASKS[loaded.config.data.task]
    if (a, b) not in task.pairs(data.p):
        no_zero = task.divides and not task.zero_divisor_ok
        raise UsageError(
            f"{a} {b}: the task '{task.name}' is defined for elements from 0 to {data.p - 1}"
            + (", b not 0" if no_zero else "")
        )
    row = (data.tokens[:, :2] == torch.tensor([a, b])).all(dim=1).nonzero().flatten()
    logits = subject.logits("all")[row[0]].double() * subject.model.loss_scale
    top = logits.softmax(dim=0).topk(2)
    result = {
        "a": a,
        "b": b,
        "answer": int(top.indices[0]),
        "probability": float(top.values[0]),
        "runner_up": int(top.indices[1]),
        "runner_up_probability": float(top.values[1]),
        "truth": int(data.labels[row[0]]),
        "split": "train" if bool((data.train == row[0]).any()) else "test",
    }
    if as_json:
        print_json(result)
        return
    verdict = "right" if result["answer"] == result["truth"] else f"wrong: {result['truth']}"
    typer.echo(f"{a} ∘ {b} = {result['answer']}  ({verdict}; a {result['split']} pair)")
    typer.echo(f"probability {result['probability']:.6g}")
    typer.echo(f"runner-up   {result['runner_up']}, {result['runner_up_probability']:.6g}")


def find(subject: "Subject") -> Findings:
    """Measure what `grok inspect` shows."""
    import torch

    from grok_cli.core.loss import correct_rows, row_losses
    from grok_cli.core.phases import Phases
    from grok_cli.diagnostics.measures.attention import measure_layers
    from grok_cli.diagnostics.measures.progress import (
        answer_waves,
        excluded_loss,
        restricted_loss,
    )
    from grok_cli.diagnostics.measures.rank import compressibility

    scale = subject.model.loss_scale
    accuracy, loss = {}, {}
    for split in ("train", "test"):
        logits, labels = subject.logits(split), subject.labels(split)
        accuracy[split] = int(correct_rows(logits, labels)) / len(labels)
        loss[split] = float(row_losses(logits * scale, labels, torch.float64).mean())
    phases = Phases()
    phases.see_train(0, accuracy["train"])
    phases.see_test(0, accuracy["test"])
    waves = answer_waves(subject)
    restricted, excluded, keys = None, None, []
    if waves is not None:
        restricted = restricted_loss(waves, scale)
        train = subject.logits("train"), subject.labels("train")
        excluded = excluded_loss(waves, *train, scale)
        keys = [(int(k), float(waves.share[k - 1])) for k in waves.keys]
    layers = measure_layers(subject)
    rank = compressibility(subject.residual("test"))
    return Findings(
        accuracy=accuracy,
        loss=loss,
        phase=phases.now,
        restricted_loss=restricted,
        excluded_loss=excluded,
        keys=keys,
        attention=[w[:, :, -1].mean(dim=0).tolist() for w in subject.trace.attention],
        entropy=[layer.score_entropy for layer in layers],
        out_rank=[layer.out_effective_rank for layer in layers],
        rank=rank["rank"],
        effective_rank=rank["effective_rank"],
    )


def _load(path: Path) -> "tuple[Snapshot, Subject]":
    from grok_cli.runs.checkpoints import load_snapshot

    if path.is_dir():
        snapshots = RunDir(path).snapshots()
        if not snapshots:
            raise UsageError(f"{path}: no snapshot there; `grok runs` lists runs")
        path = snapshots[-1]
    if not path.exists():
        raise UsageError(f"{path}: no such file; expected a snapshot or a run's directory")
    loaded = load_snapshot(path)
    subject = subject_of(loaded)
    if not subject.is_finite:
        raise GrokError(f"{path}: the run diverged, weights are not finite; take an earlier one")
    return loaded, subject


def _print(console: Console, snapshot: "Snapshot", found: Findings) -> None:
    config = snapshot.config
    run = run_of_snapshot(snapshot.path)
    placement = PLACEMENTS[config.model.ln_type]
    title = f"{run.path.name if run else snapshot.path.name}, step {snapshot.step}"
    console.print(Text(title, style="bold"))
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
