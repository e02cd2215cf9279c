"""`grok measure-entropy`: attention entropy of snapshots."""

import math
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from grok_cli.cli.output import print_json
from grok_cli.core.placement import PLACEMENTS
from grok_cli.errors import GrokError
from grok_cli.runs.directory import find_snapshots, run_of_snapshot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from grok_cli.diagnostics.measures.attention import LayerAttention
    from grok_cli.runs.checkpoints import Snapshot


class Rows(str, Enum):
    train = "train"
    test = "test"
    all = "all"


@dataclass(frozen=True)
class Measured:
    """The entropies of one layer of one snapshot."""

    snapshot: "Snapshot"
    layer: int
    attention: "LayerAttention"

    @property
    def place(self) -> Path:
        """The run's directory, or the file itself if the snapshot stands alone."""
        run = run_of_snapshot(self.snapshot.path.resolve())
        return run.path if run else self.snapshot.path

    @property
    def run(self) -> str:
        """The name of that."""
        return self.place.name

    def record(self, rows: str) -> dict[str, Any]:
        """The values under the names of the CSV file and the JSON output."""
        values = asdict(self.attention)
        per_head = {"entropy": "head_entropy", "answer_entropy": "answer_head_entropy"}
        heads = {
            f"head{head}_{name}": value
            for name, key in per_head.items()
            for head, value in enumerate(values.pop(key))
        }
        return {
            "run": self.run,
            "snapshot": str(self.snapshot.path),
            "ln_type": self.snapshot.config.model.ln_type,
            "seed": self.snapshot.config.train.seed,
            "step": self.snapshot.step,
            "layer": self.layer,
            "rows": rows,
            **values,
            **heads,
        }


def measure_entropy(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Snapshots, run directories, or globs of them."),
    ],
    rows: Annotated[Rows, typer.Option(help="Pairs to average over.")] = Rows.all,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write the values to a CSV file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Plot entropy against step (also .svg, .pdf)."),
    ] = None,
) -> None:
    """Measure the attention entropy of snapshots, layer by layer.

    entropy: mean over rows and query positions of -sum w ln w, where w are the attention weights
    averaged over heads (nats; at most ln 3 = 1.0986). answer: the same at the last query position,
    where the answer is read. h0, h1, ...: each head's own weights. out rank: effective rank of the
    attention output at the last position. Source: arXiv 2602.06702.
    """
    if plot is not None:
        from grok_cli.figures.matplotlib import check_ending

        check_ending(plot)
    files = find_snapshots(paths)
    measured = [m for file in files for m in _measure(file, rows.value)]
    if csv is not None:
        _write_csv(csv, [m.record(rows.value) for m in measured])
    if plot is not None:
        _plot(plot, measured)
    if as_json:
        print_json([m.record(rows.value) for m in measured])
    else:
        console = Console()
        for place in dict.fromkeys(m.place for m in measured):
            console.print(_table([m for m in measured if m.place == place], rows.value))


def _measure(file: Path, rows: str) -> list[Measured]:
    from grok_cli.diagnostics.measures.attention import measure_layers
    from grok_cli.diagnostics.subject import Subject
    from grok_cli.runs.checkpoints import load_snapshot

    snapshot = load_snapshot(file)
    dataset = snapshot.dataset()
    layers = measure_layers(Subject(snapshot.model(dataset.vocab), dataset), rows)
    return [Measured(snapshot, layer, attention) for layer, attention in enumerate(layers)]


def _table(measured: list[Measured], rows: str) -> Table:
    config = measured[0].snapshot.config
    paper_name = PLACEMENTS[config.model.ln_type].paper
    table = Table(
        title=f"{escape(measured[0].run)}  {config.model.ln_type} ({paper_name}), {rows} rows",
        title_justify="left",
        box=None,
        header_style="bold",
        pad_edge=False,
    )
    deep = config.model.n_layers > 1
    names = ["step", *(["layer"] if deep else []), "entropy", "answer", "out rank"]
    names += [f"h{head}" for head in range(config.model.n_heads)]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for m in measured:
        table.add_row(
            str(m.snapshot.step),
            *([str(m.layer)] if deep else []),
            f"{m.attention.score_entropy:.4f}",
            f"{m.attention.answer_entropy:.4f}",
            f"{m.attention.out_effective_rank:.2f}",
            *(f"{value:.4f}" for value in m.attention.head_entropy),
        )
    return table


def _write_csv(file: Path, records: list[dict[str, Any]]) -> None:
    import csv
    import io

    from grok_cli.runs.files import write_text

    names = list(dict.fromkeys(name for record in records for name in record))
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, names)
    writer.writeheader()
    writer.writerows(records)
    try:
        write_text(file, stream.getvalue())
    except OSError as error:
        raise GrokError(f"cannot write {file}: {error.strerror}") from None


def _plot(file: Path, measured: list[Measured]) -> None:
    import matplotlib

    from grok_cli.figures.matplotlib import save
    from grok_cli.figures.style import SETTINGS

    with matplotlib.rc_context(SETTINGS["screen"]):
        save(_figure(measured), file)


def _figure(measured: list[Measured]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    axes = figure.subplots()
    for place, layer in dict.fromkeys((m.place, m.layer) for m in measured):
        line = [m for m in measured if (m.place, m.layer) == (place, layer)]
        run, deep = line[0].run, line[0].snapshot.config.model.n_layers > 1
        axes.plot(
            [m.snapshot.step for m in line],
            [m.attention.score_entropy for m in line],
            marker=".",
            label=f"{run}, layer {layer}" if deep else run,
        )
    axes.set_xscale("symlog", linthresh=1)
    axes.set(xlabel="step", ylabel="attention entropy (nats)")
    axes.axhline(math.log(3), color="0.7", linewidth=0.8, linestyle=":")
    axes.annotate("ln 3", (0, math.log(3)), color="0.5", fontsize=8, va="bottom")
    axes.legend(fontsize=8)
    return figure
