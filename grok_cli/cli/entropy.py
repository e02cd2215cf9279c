"""`grok measure-entropy`: the diagnostic `attention`, as one table a run."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.console import Console

from grok_cli.cli.measure import by_place, measured_in
from grok_cli.cli.output import Column, escape, print_json, print_table, write_csv
from grok_cli.cli.parameters import Csv, Json, Snapshots, Where, option
from grok_cli.cli.selection import end, say_problems
from grok_cli.core.placement import PLACEMENTS

if TYPE_CHECKING:
    from grok_cli.runs.measuring import Measurement

FOUR, TWO = "{:.4f}".format, "{:.2f}".format  # digits


def measure_entropy(
    paths: Snapshots,
    where: Where = None,
    rows: Annotated[Literal["train", "test", "all"], option("Pairs to average over.")] = "all",
    csv: Csv = None,
    as_json: Json = False,
    plot: Annotated[
        Path | None,
        option("Plot entropy against step (also .svg, .pdf).", metavar="FILE.png"),
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
    damaged: list[str] = []
    measured = measured_in(paths or [], where, lambda files: _measure(files, rows, damaged))
    say_problems(damaged)
    if not measured:
        end(damaged)
    records = [_record(one, rows) for one in measured]
    write_csv(csv, records)
    if plot is not None:
        _plot(plot, measured)
    if as_json:
        print_json(records)
    else:
        for group in by_place(measured).values():
            _print(group, rows)
    end(damaged)


def _measure(files: Sequence[Path], rows: str, damaged: list[str]) -> "Iterator[Measurement]":
    """The values of the diagnostic `attention` over some of the rows."""
    from grok_cli.diagnostics.measures.attention import attention_values, columns
    from grok_cli.runs.measuring import Measurement, subjects

    for snapshot, run, subject in subjects(files, damaged):
        values = dict.fromkeys(columns(subject.config), math.nan)
        if subject.is_finite:
            values = attention_values(subject, rows)
        yield Measurement(snapshot, run, values)


def _record(measured: "Measurement", rows: str) -> dict[str, Any]:
    """The values under the names of the CSV file and the JSON output."""
    config = measured.snapshot.config
    return {
        "run": measured.name,
        "ln_type": config.model.ln_type,
        "seed": config.train.seed,
        "rows": rows,
        **measured.record(),
    }


def _print(measured: "Sequence[Measurement]", rows: str) -> None:
    """One table of a run's snapshots, a row a layer."""
    config, name = measured[0].snapshot.config.model, measured[0].name
    columns = [
        Column("step", number=True),
        *([Column("layer", number=True)] if config.n_layers > 1 else []),
        Column("attn_score_entropy", "entropy", number=True, text=FOUR),
        Column("answer_entropy", "answer", number=True, drop=1, text=FOUR),
        Column("answer_out_effective_rank", "out rank", number=True, drop=2, text=TWO),
        *(
            Column(f"head{head}_entropy", f"head{head}", number=True, drop=3 + head, text=FOUR)
            for head in range(config.n_heads)
        ),
    ]
    lines = [
        {"step": one.snapshot.step, "layer": layer, **_of_layer(one, layer)}
        for one in measured
        for layer in range(config.n_layers)
    ]
    about = f"{config.ln_type} ({PLACEMENTS[config.ln_type].paper}), {rows} rows"
    console = Console(highlight=False)
    if not console.is_terminal:
        console.file.write(f"{escape(name)}\t{about}\n")
    print_table(columns, lines, f"{name}  {about}", console)


def _of_layer(measured: "Measurement", layer: int) -> dict[str, float]:
    """The values of a layer by the last part of the metrics' names."""
    from grok_cli.diagnostics.measures.attention import prefix

    parts = {metric.rpartition("/"): value for metric, value in measured.values.items()}
    group = prefix("attention", layer)
    return {name: value for (start, _, name), value in parts.items() if start == group}


def _plot(file: Path, measured: "Sequence[Measurement]") -> None:
    """Entropy against step, a line a run and layer."""
    from grok_cli.figures.chart import Level
    from grok_cli.figures.course import lines_chart
    from grok_cli.figures.matplotlib import draw, save

    lines = []
    for run in by_place(measured).values():
        layers = run[0].snapshot.config.model.n_layers
        for layer in range(layers):
            values = [_of_layer(one, layer)["attn_score_entropy"] for one in run]
            label = f"{run[0].name}, layer {layer}" if layers > 1 else run[0].name
            lines.append((label, [one.snapshot.step for one in run], values))
    save(draw(lines_chart("attention entropy (nats)", lines, [Level(math.log(3), "ln 3")])), file)
