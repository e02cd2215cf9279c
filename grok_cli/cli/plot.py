"""`grok plot`: figures from runs or exported CSV files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from grok_cli.cli import completion
from grok_cli.cli.options import listed
from grok_cli.cli.parameters import DirectoriesOrCsv, Everything, GroupBy, Where, argument, option
from grok_cli.cli.selection import check_found, csv_files, end
from grok_cli.errors import UsageError

if TYPE_CHECKING:
    from grok_cli.results import Results
    from grok_cli.results.table import Include

Style = Literal["paper", "screen", "dark"]
Spacing = Literal["log", "linear"]
IS_LOG = {None: None, "log": True, "linear": False}
WHAT = """loss, accuracy, times, generalisation, compression, entropy, rank, alpha, ntk,
update-norm, weight-norm, fourier, spec, progress, ... or any metric, e.g. test/loss."""


def plot(
    what: Annotated[str, argument("WHAT", WHAT, autocompletion=completion.figures)],
    paths: DirectoriesOrCsv = None,
    out: Annotated[
        Path | None,
        option(
            "PNG, SVG or PDF, by its ending. [default: WHAT.png]", "--out", "-o", metavar="FILE"
        ),
    ] = None,
    style: Annotated[
        Style | None,
        option("A column of a paper, or a light or dark screen. [default: screen]"),
    ] = None,
    terminal: Annotated[bool, option("Draw in the terminal; no file.", "--terminal", "-t")] = False,
    x: Annotated[Spacing | None, option("Axis of steps. [default: as suits the figure]")] = None,
    y: Annotated[Spacing | None, option("Axis of values. [default: as suits the figure]")] = None,
    each_seed: Annotated[
        bool, option("A thin line a seed instead of the band.", "--each-seed")
    ] = False,
    title: Annotated[
        str | None,
        option("Above the figure; may be empty. [default: what it shows, of which runs]"),
    ] = None,
    where: Where = None,
    group_by: GroupBy = None,
    everything: Everything = False,
) -> None:
    """Draw what was measured, mean over seeds and a band from lowest to highest.

    Test is solid, training dashed. Nothing is smoothed; a mean is drawn where all seeds have a
    value. "times": the share of runs that have not generalised, by Kaplan and Meier, with its 95 %
    band; runs that are not finished count, too. "generalisation": the step at which test accuracy
    reaches 0.995, a bar a group, a point a seed. "compression": that step against the one at which
    the effective rank has fallen half-way from its maximum to its last value. The file is the last
    line on stdout.
    """
    from grok_cli.figures.catalogue import CATALOGUE, SPELLINGS, make_chart
    from grok_cli.figures.draft import Options

    what, paths = SPELLINGS.get(what, what), paths or [Path("runs")]
    file, look = out or Path(f"{what.replace('/', '_')}.png"), style or "screen"
    typed = {
        "--out": out,
        "--style": style,
        "--x": x,
        "--y": y,
        "--each-seed": each_seed,
        "--group-by": group_by,
        "--all": everything,
    }
    without = {what: CATALOGUE[what].without} if what in CATALOGUE else {}
    without |= {"--terminal": ("--out", "--style", "--each-seed")} if terminal else {}
    without |= {"CSV files": ("--group-by", "--all")} if any(map(Path.is_file, paths)) else {}
    _refuse_ignored(without, typed)
    if not terminal:
        from grok_cli.figures.matplotlib import check_ending

        check_ending(file)
    everything = everything or (what in CATALOGUE and CATALOGUE[what].unfinished)
    results = _read(what, paths, where or [], listed(group_by), everything)
    source = ", ".join(map(str, paths))
    chart = make_chart(what, results, Options(IS_LOG[x], IS_LOG[y], each_seed, title, source))
    if terminal:
        from grok_cli.figures.text import render

        console = Console(highlight=False)
        console.print(render(chart, console.width))
    else:
        from grok_cli.figures.matplotlib import draw, save

        save(draw(chart, look), file, look)
        typer.echo(file)
    end(results.problems)


def _read(
    what: str, paths: list[Path], where: list[str], group_by: list[str], everything: bool
) -> "Results":
    """What was measured in directories of runs, or stands in CSV files.

    Raises:
        UsageError: nothing there, or both kinds.
    """
    from grok_cli.results import Results

    if files := csv_files(paths):
        results = Results.from_csv(files).where(where)
        if what != "times" and not results.measured.groups:
            raise UsageError(
                f"{', '.join(map(str, files))}: no curve there; `grok plot times` draws a summary"
            )
        return results
    include: Include = "all" if everything else "finished"
    results = Results.from_disk(paths, group_by or None, include=include, where=where)
    check_found(results, where)
    if not results.measured.groups:
        raise UsageError(f"{', '.join(map(str, paths))}: nothing was measured in the runs there")
    return results.measured


def _refuse_ignored(without: Mapping[str, Sequence[str]], typed: Mapping[str, object]) -> None:
    """Raise UsageError if an option was typed that has no effect: `without` says with what."""
    for case, options in without.items():
        for flag in options:
            if typed[flag]:
                raise UsageError(f"{flag} has no effect with {case}; leave it out")
