"""`grok export-csv`: metrics of many runs as CSV files, in the shape of the W&B console's."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grok_cli.cli.completion import metrics, run_directories
from grok_cli.cli.options import listed
from grok_cli.cli.output import say
from grok_cli.cli.parameters import Everything, GroupBy, Where, argument, option
from grok_cli.cli.selection import check_directory, check_found, end, say_left_out
from grok_cli.errors import UsageError

if TYPE_CHECKING:
    from grok_cli.results import Results
    from grok_cli.results.table import Include


def export_csv(
    source: Annotated[
        str,
        argument("DIR|wandb:ENTITY/PROJECT", "Where the runs are.", autocompletion=run_directories),
    ] = "runs",
    metric: Annotated[
        list[str] | None,
        option(
            "Metrics or globs, e.g. 'test/*' (with commas, or repeated). [default: all]",
            *("--metric", "-m"),
            metavar="NAME",
            autocompletion=metrics,
        ),
    ] = None,
    group_by: GroupBy = None,
    where: Where = None,
    out: Annotated[Path, option("Directory of the CSV files.", "--out", "-o")] = Path("export"),
    long: Annotated[
        bool, option("One tidy file instead: group, seed, step, metric, value.", "--long")
    ] = False,
    summary: Annotated[
        bool,
        option("Instead a row a run, and beside it a row a group with its medians.", "--summary"),
    ] = False,
    std: Annotated[
        bool, option("Also columns __STD: standard deviation over the runs.", "--std")
    ] = False,
    per_seed: Annotated[bool, option("Also a column a seed: __SEED_456.", "--per-seed")] = False,
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
    results = _results(source, listed(group_by), where or [], "all" if everything else "finished")
    say_left_out(results, included=everything)
    check_found(results, where)
    from grok_cli.results import export

    if summary:
        for file in export.write_summaries(results, out):
            typer.echo(file)
    if long or not summary:
        metrics = export.chosen_metrics(results, listed(metric))
        if long:
            typer.echo(export.write_long(results, metrics, out))
        else:
            for file in export.write_tables(results, metrics, out, std=std, per_seed=per_seed):
                typer.echo(file)
    end(results.problems)


def _results(source: str, keys: list[str], where: list[str], include: "Include") -> "Results":
    from grok_cli.results import Results
    from grok_cli.results.wandb import PREFIX

    if source.startswith(PREFIX):
        return Results.from_wandb(
            source,
            keys,
            include=include,
            where=where,
            downloaded=lambda run: say(f"downloaded {run.name}"),
        )
    check_directory(Path(source), f"expected runs, or {PREFIX}ENTITY/PROJECT")
    return Results.from_disk(source, keys, include=include, where=where)
