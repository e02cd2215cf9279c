"""`grok animate`: a run's snapshots, looked into one after the other, as a film."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grok_cli.cli.completion import run_directories
from grok_cli.cli.output import escape, say
from grok_cli.cli.parameters import option
from grok_cli.errors import GrokError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image


def animate(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A run's directory.", autocompletion=run_directories),
    ],
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .gif, .mp4 or .webp.")],
    fps: Annotated[float, option("Frames a second.", min=0.5, max=60)] = 6,
    width: Annotated[int, option("Points across.", min=300, max=2400)] = 1200,
    first: Annotated[int, option("The first step shown.", "--from", min=0)] = 0,
    last: Annotated[
        int | None, option("The last step shown. [default: the run's]", "--to", min=0)
    ] = None,
    frames: Annotated[
        int | None,
        option("At most so many of these snapshots, evenly. [default: all]", min=2, metavar="N"),
    ] = None,
) -> None:
    """Show a run's snapshots one after the other: circles, waves, attention, answers.

    A frame a snapshot, as `grok inspect --plot` draws it, with step, phase, losses and accuracies.
    The planes are those of the last snapshot's key frequencies, so that one sees the circles form.
    """
    from grok_cli.figures.film import write_film, writer
    from grok_cli.runs.directory import RunDir, snapshot_step

    writer(out)  # refuses other endings before anything is computed
    directory = RunDir(run)
    if not directory.exists():
        directory.config()  # says why not
    files = [
        file
        for file in directory.snapshots()
        if first <= snapshot_step(file) and (last is None or snapshot_step(file) <= last)
    ]
    if not files:
        raise UsageError(
            f"{run}: no snapshot of these steps there; `grok train --set train.snapshot_every=200` "
            "keeps some"
        )
    if frames is not None and frames < len(files):
        files = [files[place * (len(files) - 1) // (frames - 1)] for place in range(frames)]
    write_film(out, _frames(files, run.resolve().name, width), fps)
    typer.echo(out)


def _frames(files: list[Path], name: str, width: int) -> "Iterator[Image]":
    from grok_cli.figures.film import picture
    from grok_cli.figures.network import caption, panels
    from grok_cli.figures.sheet import draw_sheet
    from grok_cli.runs.measuring import insides

    shown = 0
    for snapshot, inside in insides(files):
        title = f"{escape(name)}, step {snapshot.step:,}"
        figure = draw_sheet(panels(inside), title, caption(inside))
        say(f"step {snapshot.step}")
        shown += 1
        yield picture(figure, width)
    if not shown:
        raise GrokError(f"{files[0].parent}: the run diverged, no snapshot has finite weights")
