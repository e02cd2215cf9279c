"""`grok measure`: any diagnostic, from snapshots."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from grok_cli.cli.output import print_json
from grok_cli.diagnostics.errors import NoInitialModelError
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.errors import UsageError
from grok_cli.runs.directory import RunDir, find_snapshots, run_of_snapshot

if TYPE_CHECKING:
    from grok_cli.core.model import Transformer
    from grok_cli.diagnostics.subject import Subject
    from grok_cli.runs.checkpoints import Snapshot

STEP_WIDTH = 12  # of a column in the table


def measure(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH...", help="Snapshots, run directories, or globs of them."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            "--metrics",
            "-m",
            metavar="NAME,...",
            help="Diagnostics to compute; --list explains them.",
            autocompletion=lambda incomplete: [n for n in DIAGNOSTICS if n.startswith(incomplete)],
        ),
    ] = None,
    list_all: Annotated[
        bool, typer.Option("--list", help="Explain the diagnostics and exit.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compute diagnostics from snapshots.

    The values of a run's snapshots are also kept in its measured.csv, which export-csv and the
    figures read along with metrics.csv.
    """
    if list_all:
        if paths or metrics or as_json:
            raise UsageError("--list: explains all diagnostics; leave the rest out")
        explain()
        return
    names = [name.strip() for name in (metrics or "").split(",") if name.strip()]
    if not names:
        raise UsageError("--metrics: expected names such as rank,ntk; see `grok measure --list`")
    if not paths:
        raise UsageError("PATH: expected snapshots or run directories; `grok runs` lists runs")
    DIAGNOSTICS.check(names)
    records = measure_snapshots(find_snapshots(paths), names)
    if as_json:
        print_json(records)
    else:
        _print(Console(highlight=False), records)


def measure_snapshots(files: list[Path], names: list[str]) -> list[dict[str, object]]:
    """The metrics of each snapshot, also added to its run's measured.csv; nan where its weights
    are not finite."""
    from grok_cli.runs.checkpoints import load_snapshot
    from grok_cli.runs.measured import add_measured

    records: list[dict[str, object]] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("measuring", total=len(files))
        reference: dict[str, object] = {}
        initial: Transformer | None = None
        run: RunDir | None = None
        for file in files:
            snapshot = load_snapshot(file)
            if run is None or (run_of_snapshot(file) or RunDir("")).path != run.path:
                run, reference = run_of_snapshot(file), {}
                initial = _initial_model(run)
            values = _measure_one(subject_of(snapshot, initial, reference), file, names)
            if run is not None:
                add_measured(run.measured_file, {snapshot.step: values})
            records.append({"snapshot": str(file), "step": snapshot.step, **values})
            progress.advance(task)
    return records


def _measure_one(subject: "Subject", file: Path, names: Iterable[str]) -> dict[str, float]:
    values: dict[str, float] = {}
    for name in names:
        diagnostic = DIAGNOSTICS[name]
        if not subject.is_finite:
            values |= dict.fromkeys(diagnostic.columns(subject.config), math.nan)
            continue
        try:
            values |= diagnostic.measure(subject)
        except NoInitialModelError as error:
            raise UsageError(f"{file}: {error}") from None
    return values


def subject_of(
    snapshot: "Snapshot",
    initial: "Transformer | None" = None,
    reference: dict[str, object] | None = None,
) -> "Subject":
    """What diagnostics look at, from a snapshot; `Subject` explains the arguments."""
    from grok_cli.diagnostics.subject import Subject

    dataset = snapshot.dataset()
    return Subject(snapshot.model(dataset.vocab), dataset, initial, reference)


def _initial_model(run: RunDir | None) -> "Transformer | None":
    """The run's model at step 0; None if it is not there."""
    from grok_cli.runs.checkpoints import load_snapshot

    if run is None or not run.snapshot_file(0).exists():
        return None
    snapshot = load_snapshot(run.snapshot_file(0))
    return snapshot.model(snapshot.dataset().vocab)


def explain() -> None:
    """Print every diagnostic: its name, cost, metrics, formula and source."""
    from grok_cli.core.config import ModelConfig

    console = Console(highlight=False)
    for name, diagnostic in DIAGNOSTICS.items():
        columns = diagnostic.columns(ModelConfig())
        shown = ", ".join(columns[:6]) + (f", ... ({len(columns)})" if len(columns) > 6 else "")
        console.print(f"[bold]{name}[/]  [dim]{diagnostic.cost}[/]")
        for text in (diagnostic.formula, f"metrics: {shown}", f"source: {diagnostic.source}"):
            console.print(f"  {escape(text)}", soft_wrap=not console.is_terminal)


def _print(console: Console, records: list[dict[str, object]]) -> None:
    """A table with a row a metric and a column a step, run by run."""
    runs: dict[str, list[dict[str, object]]] = {}
    for record in records:
        run = run_of_snapshot(Path(str(record["snapshot"])))
        runs.setdefault(str(run.path if run else record["snapshot"]), []).append(record)
    for title, group in runs.items():
        metrics = [name for name in group[0] if name not in ("snapshot", "step")]
        room = (console.width - max(map(len, metrics))) // STEP_WIDTH
        shown = thin_out(group, max(room, 2))
        table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False)
        table.add_column("step", no_wrap=True)
        for record in shown:
            table.add_column(str(record["step"]), justify="right", no_wrap=True)
        for metric in metrics:
            table.add_row(metric, *(f"{record[metric]:.4g}" for record in shown))
        console.print(table)
        if len(shown) < len(group):
            console.print(f"[dim]{len(shown)} of {len(group)} snapshots shown; all: --json[/]")


def thin_out(records: list[dict[str, object]], most: int) -> list[dict[str, object]]:
    """At most so many of the records, evenly spaced, the first and the last among them."""
    if len(records) <= most:
        return records
    return [records[round(i * (len(records) - 1) / (most - 1))] for i in range(most)]
