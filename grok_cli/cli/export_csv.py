"""`grok export-csv`: metrics of many runs as CSV files, in the shape of the W&B console's."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape as plain

from grok_cli.cli.completion import metrics, run_directories
from grok_cli.cli.options import listed
from grok_cli.cli.output import escape
from grok_cli.cli.selection import (
    Everything,
    GroupBy,
    Where,
    check_directory,
    end,
    refuse_empty,
    say_left_out,
    say_problems,
)
from grok_cli.errors import UsageError

if TYPE_CHECKING:
    from grok_cli.results import Results


def export_csv(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR|wandb:ENTITY/PROJECT",
            help="Where the runs are.",
            autocompletion=run_directories,
        ),
    ] = "runs",
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            "-m",
            metavar="NAME",
            help=plain(
                "Metrics or globs, e.g. 'test/*' (with commas, or repeated). [default: all]"
            ),
            autocompletion=metrics,
        ),
    ] = None,
    group_by: GroupBy = None,
    where: Where = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Directory of the CSV files.")] = Path(
        "export"
    ),
    long: Annotated[
        bool,
        typer.Option("--long", help="One tidy file instead: group, seed, step, metric, value."),
    ] = False,
    summary: Annotated[
        bool,
        typer.Option(
            "--summary", help="Instead a row a run, and beside it a row a group with its medians."
        ),
    ] = False,
    std: Annotated[
        bool, typer.Option("--std", help="Also columns __STD: standard deviation over the runs.")
    ] = False,
    per_seed: Annotated[
        bool, typer.Option("--per-seed", help="Also a column a seed: __SEED_456.")
    ] = False,
    everything: Everything = False,
    include: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Export metrics averaged over seeds, one CSV a metric.

    Columns are those of a download from the W&B console: "Step", "GROUP - METRIC", and the
    same with __MIN and __MAX. The written files are listed on stdout. A run that cannot be read is
    named on stderr and left out; the command then ends with exit code 1.
    """
    if (long or summary) and (std or per_seed):
        raise UsageError(
            "--std, --per-seed: columns of a CSV a metric; leave out --long, --summary"
        )
    if summary and metric:
        raise UsageError("--metric: a summary has the last value of all; leave it out")
    if include not in (None, "finished", "all"):
        raise UsageError(f"--include {include}: expected finished or all; --all says the same")
    everything = everything or include == "all"
    results = _results(source, listed(group_by), where or [], everything)
    say_problems(results.problems)
    say_left_out(results, included=everything)
    refuse_empty(results, where)
    from grok_cli.results import export

    if summary:
        typer.echo(export.write_summary(results, out))
        typer.echo(export.write_groups(results, out))
    if long or not summary:
        metrics = export.chosen_metrics(results, listed(metric))
        if long:
            typer.echo(export.write_long(results, metrics, out))
        else:
            for file in export.write_tables(results, metrics, out, std=std, per_seed=per_seed):
                typer.echo(file)
    end(results.problems)


def _results(source: str, keys: list[str], where: list[str], everything: bool) -> "Results":
    from grok_cli.results import Results
    from grok_cli.results.table import Include
    from grok_cli.results.wandb import PREFIX

    include: Include = "all" if everything else "finished"
    if source.startswith(PREFIX):
        return Results.from_wandb(
            source,
            keys,
            include=include,
            where=where,
            downloaded=lambda run: typer.echo(f"downloaded {escape(run.name)}", err=True),
        )
    check_directory(Path(source), f"expected runs, or {PREFIX}ENTITY/PROJECT")
    return Results.from_disk(source, keys, include=include, where=where)
