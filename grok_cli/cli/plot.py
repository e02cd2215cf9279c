"""`grok plot`: figures from runs or exported CSV files."""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from grok_cli.errors import UsageError

if TYPE_CHECKING:
    from grok_cli.figures.bands import Measured


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
# What would be ignored: with what is drawn, where it goes to, or what it is read from.
WITHOUT_EFFECT = {
    "--terminal": ("--out", "--style", "--title", "--each-seed"),
    "CSV files": ("--group-by", "--all"),
    "generalisation": ("--y", "--each-seed"),
    "generalisation --terminal": ("--x",),
    "compression": ("--each-seed",),
    "compression --terminal": ("--x", "--y"),
}


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
    from grok_cli.figures.names import SPELLINGS
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
    _refuse_ignored(what, terminal, any(map(Path.is_file, paths)), typed)
    for key in group_by or []:
        check_key(key, "--group-by")
    if terminal:
        measured = read_paths(paths, unfinished=everything, keys=group_by)
        _print(what, measured, _is_log(x), _is_log(y))
        return
    from grok_cli.figures.plots import Options, check_ending, draw, save

    file = out or Path(f"{what.replace('/', '_')}.png")
    check_ending(file)
    measured = read_paths(paths, unfinished=everything, keys=group_by)
    options = Options((style or Style.screen).value, _is_log(x), _is_log(y), each_seed, title)
    save(draw(what, measured, options), file, options)
    typer.echo(file)


def _refuse_ignored(what: str, terminal: bool, files: bool, typed: Mapping[str, object]) -> None:
    """Raise UsageError if an option was typed that has no effect here."""
    cases = {what: True, "--terminal": terminal, f"{what} --terminal": terminal, "CSV files": files}
    for case, options in WITHOUT_EFFECT.items():
        for option in options:
            if cases.get(case) and typed[option]:
                raise UsageError(f"{option} has no effect with {case}; leave it out")


def _print(what: str, measured: "Measured", log_x: bool | None, log_y: bool | None) -> None:
    from grok_cli.figures import terminal
    from grok_cli.figures.names import figure_named

    console = Console(highlight=False)
    width = console.width
    if what == "generalisation":
        console.print(terminal.text_generalisation(measured, width))
    elif what == "compression":
        console.print(terminal.text_compression(measured, width))
    else:
        figure = figure_named(what, measured.metrics)
        console.print(terminal.text_curves(measured, figure, log_x, log_y, width))


def _is_log(axis: Axis | None) -> bool | None:
    return None if axis is None else axis is Axis.log
