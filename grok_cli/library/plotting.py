"""`grok.plot`: a figure of the catalogue, of any runs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grok_cli.errors import UsageError, suggestion
from grok_cli.library.runs import Measured, results_of
from grok_cli.results.table import Include

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(
    runs: Measured,
    what: str = "accuracy",
    *,
    style: str = "screen",
    log_x: bool | None = None,
    log_y: bool | None = None,
    each_seed: bool = False,
    title: str | None = None,
    group_by: str | Sequence[str] = (),
    include: Include = "finished",
) -> "Figure":
    """Draw what was measured, as `grok plot` does: mean over seeds, band from lowest to highest.

    Args:
        runs: a run, several, `grok_cli.results.Results`, or a path that `grok.load` takes.
        what: "accuracy", "loss", "generalisation", "entropy", ... or a metric, "grads/grad_norm".
        style: "screen", "dark" or "paper" (a column's width).
        log_x: whether the axis of steps is logarithmic; None: as suits the figure.
        log_y: the same of the other axis.
        each_seed: a thin line a seed instead of the band.
        title: above the figure; "": nothing; None: what it shows, of how many seeds.
        group_by: as in `Runs.results`.
        include: as there. A single run is drawn finished or not.

    Returns:
        A figure of matplotlib's, which a notebook shows where it is the last line of a cell (else
        `display(figure)` does) and `.savefig("x.png")` saves. Steps against losses and entropies in
        nats, accuracies as shares.

    Raises:
        UsageError: no such figure, metric or style, or nothing of it was measured.

    Examples:
        >>> grok.plot(run, "loss").axes[0].get_ylabel()
        'loss (nats)'
    """
    from grok_cli.figures.catalogue import make_chart
    from grok_cli.figures.draft import Options
    from grok_cli.figures.matplotlib import draw
    from grok_cli.figures.style import SETTINGS
    from grok_cli.library.progress import shell

    if style not in SETTINGS:
        raise UsageError(f"style={style!r}: no such style; {suggestion(style, SETTINGS)}")
    results = results_of(runs, group_by, include)
    if not results.groups and results.left_out:
        raise UsageError('no finished run there; include="all" takes the others')
    options = Options(log_x, log_y, each_seed, title)
    figure = draw(make_chart(what, results.measured, options), style)
    if (notebook := shell()) is not None:
        _let_show(notebook)
    return figure


def _let_show(notebook: object) -> None:
    """Have IPython show figures as images, unless it does so already."""
    from IPython.core.pylabtools import select_figure_formats
    from matplotlib.figure import Figure

    formatters = notebook.display_formatter.formatters  # type: ignore[attr-defined]
    if not any(Figure in formatter.type_printers for formatter in formatters.values()):
        select_figure_formats(notebook, {"png"})
