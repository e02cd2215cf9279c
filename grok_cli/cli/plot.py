"""`grok plot`: figures from runs or exported CSV files."""

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from grok_cli.errors import UsageError


class Style(str, Enum):
    """Where the figure goes to."""

    paper = "paper"
    screen = "screen"
    dark = "dark"


class Axis(str, Enum):
    """How an axis counts."""

    log = "log"
    linear = "linear"


WHAT = """loss, accuracy, generalisation, compression, entropy, rank, alpha, ntk, update-norm,
weight-norm, fourier, spec, progress, ... or any metric, e.g. test/loss."""


def plot(
    what: Annotated[str, typer.Argument(metavar="WHAT", help=WHAT)],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DIR|FILE.csv]...",
            help=escape("Runs, or files of `grok export-csv`. [default: runs]"),
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help=escape("PNG, SVG or PDF, by its ending. [default: WHAT.png]"),
        ),
    ] = None,
    style: Annotated[
        Style | None,
        typer.Option(
            help=escape("A column of a paper, or a light or dark screen. [default: screen]"),
            show_default=False,
        ),
    ] = None,
    terminal: Annotated[
        bool, typer.Option("--terminal", "-t", help="Draw in the terminal; no file.")
    ] = False,
    x: Annotated[
        Axis | None, typer.Option("--x", help="Axis of steps.  [default: as suits the figure]")
    ] = None,
    y: Annotated[
        Axis | None, typer.Option("--y", help="Axis of values.  [default: as suits the figure]")
    ] = None,
    each_seed: Annotated[
        bool, typer.Option("--each-seed", help="A thin line a seed instead of the band.")
    ] = False,
    title: Annotated[str, typer.Option(help="Above the figure.")] = "",
    group_by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help=escape("Setting that names a group (repeatable). [default: all that vary]"),
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also runs that are not finished, or diverged.")
    ] = False,
) -> None:
    """Draw what was measured, mean over seeds and a band from lowest to highest.

    Test is solid, training dashed. Nothing is smoothed; a mean is drawn where all seeds have a
    value. "generalisation": the step at which test accuracy reaches 0.995, a bar a group, a point
    a seed. "compression": that step against the one at which the effective rank has fallen
    half-way from its maximum to its last value. The file is the last line on stdout.
    """
    from grok_cli.figures.bands import read_paths
    from grok_cli.figures.catalogue import CATALOGUE, SPELLINGS, Options, make_chart
    from grok_cli.runs.settings import check_key

    what, paths = SPELLINGS.get(what, what), paths or [Path("runs")]
    typed = {
        "--out": out,
        "--style": style,
        "--x": x,
        "--y": y,
        "--each-seed": each_seed,
        "--title": title,
        "--group-by": group_by,
        "--all": everything,
    }
    without = {what: CATALOGUE[what].without} if what in CATALOGUE else {}
    without |= {"--terminal": ("--out", "--style", "--title")} if terminal else {}
    without |= {"CSV files": ("--group-by", "--all")} if any(map(Path.is_file, paths)) else {}
    _refuse_ignored(without, typed)
    for key in group_by or []:
        check_key(key, "--group-by")
    options = Options(_is_log(x), _is_log(y), each_seed, title)
    if terminal:
        from grok_cli.figures.text import render

        measured = read_paths(paths, unfinished=everything, keys=group_by)
        console = Console(highlight=False)
        console.print(render(make_chart(what, measured, options), console.width))
        return
    from grok_cli.figures.matplotlib import check_ending, draw, save

    file, look = out or Path(f"{what.replace('/', '_')}.png"), (style or Style.screen).value
    check_ending(file)
    measured = read_paths(paths, unfinished=everything, keys=group_by)
    save(draw(make_chart(what, measured, options), look), file, look)
    typer.echo(file)


def _refuse_ignored(without: Mapping[str, Sequence[str]], typed: Mapping[str, object]) -> None:
    """Raise UsageError if an option was typed that has no effect: `without` says with what."""
    for case, options in without.items():
        for option in options:
            if typed[option]:
                raise UsageError(f"{option} has no effect with {case}; leave it out")


def _is_log(axis: Axis | None) -> bool | None:
    return None if axis is None else axis is Axis.log
