"""`grok measure-entropy`: the diagnostic `attention`, as one table a run."""

import math
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from grok_cli.cli import completion
from grok_cli.cli.measure import watched, within, write_records
from grok_cli.cli.output import Column, escape, print_json, print_table
from grok_cli.cli.selection import Where
from grok_cli.core.config import ModelConfig
from grok_cli.core.placement import PLACEMENTS
from grok_cli.runs.directory import find_snapshots

if TYPE_CHECKING:
    from grok_cli.runs.measuring import Measurement


class WhichRows(str, Enum):
    train = "train"
    test = "test"
    all = "all"


def measure_entropy(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Snapshots, run directories, or globs of them.",
            autocompletion=completion.run_directories,
        ),
    ],
    where: Where = None,
    rows: Annotated[WhichRows, typer.Option(help="Pairs to average over.")] = WhichRows.all,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write the values to a CSV file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Plot entropy against step (also .svg, .pdf)."),
    ] = None,
) -> None:
    """Show the attention entropy of snapshots: what `grok measure -m attention` computes.

    entropy: mean over rows and query positions of -sum w ln w, where w are the attention weights
    averaged over heads (nats; at most ln 3 = 1.0986). answer: the same at the last query position,
    where the answer is read. head0, head1, ...: each head's own weights. out rank: effective rank
    of the attention output at the last position. JSON and CSV have the metrics' names. Source:
    arXiv 2602.06702.
    """
    if plot is not None:
        from grok_cli.figures.matplotlib import check_ending

        check_ending(plot)
    files = within(find_snapshots(paths), where or [])
    measured = list(watched(_measure(files, rows), len(files)))
    records = [_record(one, rows) for one in measured]
    if csv is not None:
        write_records(csv, records)
    if plot is not None:
        _plot(plot, measured)
    if as_json:
        print_json(records)
        return
    for place in dict.fromkeys(one.place for one in measured):
        _print([one for one in measured if one.place == place], rows)


def _measure(files: Sequence[Path], rows: WhichRows) -> "Iterator[Measurement]":
    """The values of the diagnostic `attention`, over some of the rows only if that was asked."""
    from grok_cli.diagnostics.measures.attention import attention_values, columns
    from grok_cli.runs.measuring import Measurement, measure_snapshots, subjects

    if rows is WhichRows.all:
        yield from measure_snapshots(files, ["attention"], keep=False)
        return
    for snapshot, run, subject in subjects(files):
        values = dict.fromkeys(columns(subject.config), math.nan)
        if subject.is_finite:
            values = attention_values(subject, rows.value)
        yield Measurement(snapshot, run, values)


def _record(measured: "Measurement", rows: WhichRows) -> dict[str, Any]:
    """The values under the names of the CSV file and the JSON output."""
    config = measured.snapshot.config
    return {
        "run": measured.place.resolve().name,
        "ln_type": config.model.ln_type,
        "seed": config.train.seed,
        "rows": rows.value,
        **measured.record(),
    }


def _print(measured: "Sequence[Measurement]", rows: WhichRows) -> None:
    """One table of a run's snapshots, a row a layer."""
    config = measured[0].snapshot.config.model
    name = measured[0].place.resolve().name
    columns = [
        Column("step", number=True),
        *([Column("layer", number=True)] if config.n_layers > 1 else []),
        Column("attn_score_entropy", "entropy", number=True, text=_four),
        Column("answer_entropy", "answer", number=True, drop=1, text=_four),
        Column("answer_out_effective_rank", "out rank", number=True, drop=2, text=_two),
        *(
            Column(f"head{head}_entropy", f"head{head}", number=True, drop=3 + head, text=_four)
            for head in range(config.n_heads)
        ),
    ]
    lines = [line for one in measured for line in _lines(one, config)]
    placement = f"{config.ln_type} ({PLACEMENTS[config.ln_type].paper})"
    console = Console(highlight=False)
    if not console.is_terminal:
        console.file.write(f"{escape(name)}\t{placement}, {rows.value} rows\n")
    print_table(columns, lines, title=f"{name}  {placement}, {rows.value} rows", console=console)


def _lines(measured: "Measurement", config: ModelConfig) -> Iterator[dict[str, Any]]:
    """The values of each layer by the last part of the metrics' names."""
    from grok_cli.diagnostics.measures.attention import prefix

    for layer in range(config.n_layers):
        start = f"{prefix('attention', layer)}/"
        values = {
            metric.removeprefix(start): value
            for metric, value in measured.values.items()
            if metric.startswith(start)
        }
        yield {"step": measured.snapshot.step, "layer": layer, **values}


def _four(value: float) -> str:
    return f"{value:.4f}"


def _two(value: float) -> str:
    return f"{value:.2f}"


def _plot(file: Path, measured: "Sequence[Measurement]") -> None:
    """Entropy against step, a line a run and layer."""
    from grok_cli.diagnostics.measures.attention import prefix
    from grok_cli.figures.catalogue import lines_chart
    from grok_cli.figures.chart import Level
    from grok_cli.figures.matplotlib import draw, save

    lines = []
    for place in dict.fromkeys(one.place for one in measured):
        run = [one for one in measured if one.place == place]
        layers, name = run[0].snapshot.config.model.n_layers, place.resolve().name
        for layer in range(layers):
            metric = f"{prefix('attention', layer)}/attn_score_entropy"
            values = [one.values[metric] for one in run]
            label = f"{name}, layer {layer}" if layers > 1 else name
            lines.append((label, [one.snapshot.step for one in run], values))
    save(draw(lines_chart("attention entropy (nats)", lines, [Level(math.log(3), "ln 3")])), file)
