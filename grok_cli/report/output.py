"""A report as files: a page, Markdown with its figures, or a folder to keep with code.

The folder (a "compact" report) holds what somebody needs who will not have the runs:

README.md        the report as Markdown
*.png            its figures
curves.csv       mean, lowest and highest of the metrics over the seeds of each group, at some steps
runs.csv         a row a run: settings, phases, last metrics, seconds
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from grok_cli.figures.catalogue import COURSES, charts_of, make_chart
from grok_cli.figures.draft import Options
from grok_cli.report.pages import html_page, markdown_page
from grok_cli.report.report import Report
from grok_cli.report.scrubber import make_scrubber
from grok_cli.results import Group
from grok_cli.results.export import summary_table
from grok_cli.results.run import STEP, number
from grok_cli.runs.files import make_folder, write_output

if TYPE_CHECKING:
    import polars as pl

IN_MARKDOWN = ("accuracy", "generalisation")
NOT_KEPT = ("update-norm", "grad-norm", "weight-norm", "numerical-rank")  # in a compact report
PREVIEW_LETTERS = 62  # a line of the preview's title
COLOURS = 128  # of a picture there
KEPT_STEPS = 200  # of a curve in a compact report


def write_html(
    report: Report, file: Path, inside: int | None = 0, *, command: str = "", url: str = ""
) -> None:
    """Write the report as one page; with a `url`, a preview picture beside it.

    Args:
        inside: how many runs are looked into; see `make_scrubber`.
        command, url: as in `html_page`.

    Raises:
        GrokError: it cannot be written.
    """
    scrubber = make_scrubber(report, inside)
    write_output(file, html_page(report, scrubber, command=command, url=url))
    if url:
        write_preview(report, file.with_suffix(".png"))


def write_preview(report: Report, file: Path) -> None:
    """Write the picture that others show beside a link to the page, 1200 x 630 points: when the
    groups generalise, and the verdict.

    Raises:
        GrokError: it cannot be written, or nothing measured test accuracy.
    """
    from grok_cli.figures.matplotlib import draw, save

    title = f"{report.title}: {report.question}" if report.question else report.title
    lines = [fill(line, PREVIEW_LETTERS) for line in (title, report.verdict)]
    options = Options(groups=report.results.groups, title="\n".join(lines))
    figure = draw(make_chart("times", report.results, options))
    figure.set_size_inches(8, 4.2)  # at 150 points an inch
    save(figure, file, tight=False)


def write_markdown(report: Report, file: Path) -> None:
    """Write the report as Markdown, and two figures beside it.

    Raises:
        GrokError: they cannot be written.
    """
    images = _figures(report, str(file.with_name(f"{file.stem}-")), IN_MARKDOWN)
    write_output(file, markdown_page(report, images))


def write_compact(report: Report, folder: Path) -> None:
    """Write the report as a folder of its own, below a megabyte.

    Raises:
        GrokError: it cannot be made, or written.
    """
    make_folder(folder)
    images = _figures(report, f"{folder}/")
    for image in images:
        shrink(image)
    write_output(folder / "README.md", markdown_page(report, images))
    write_output(folder / "curves.csv", curves_table(report).write_csv())
    write_output(folder / "runs.csv", runs_table(report).write_csv())


def runs_table(report: Report) -> "pl.DataFrame":
    """A row a run: what an export's summary holds, and how long training took."""
    import polars as pl

    seconds = [number(run.summary.get("seconds")) for run in report.results.runs]
    return summary_table(report.results).with_columns(pl.Series("seconds", seconds, pl.Float64))


def curves_table(report: Report) -> "pl.DataFrame":
    """The metrics of the figures over the seeds of each group, at some of the measured steps.

    Returns:
        Columns "group" (its name, e.g. "model.ln_type: pre"), "metric", "step", "mean", "lowest",
        "highest" (six digits), "runs".
    """
    import polars as pl

    kept = [course for name, course in COURSES.items() if name not in NOT_KEPT]
    metrics = dict.fromkeys(metric for course in kept for metric in course.metrics)
    tables = [
        _thinned(group, metric)
        for group in report.finished.groups
        for metric in metrics
        if metric in group.metrics()
    ]
    schema = {"group": pl.String, "metric": pl.String, STEP: pl.Int64}
    schema |= dict.fromkeys(("mean", "lowest", "highest"), pl.Float64) | {"runs": pl.UInt32}
    return pl.concat([pl.DataFrame(schema=schema), *tables])


def _thinned(group: Group, metric: str) -> "pl.DataFrame":
    """A metric at the steps at which all runs have it; of many, half evenly, half by ratio."""
    import polars as pl

    table = group.mean(metric).filter(pl.col("runs") == len(group.runs))
    steps = table[STEP].to_numpy()
    if len(steps) > KEPT_STEPS:
        half = KEPT_STEPS // 2
        wanted = np.concatenate(
            [np.geomspace(max(steps[0], 1), steps[-1], half), np.linspace(0, steps[-1], half)]
        )
        places = np.searchsorted(steps, np.unique(wanted)).clip(0, len(steps) - 1)
        table = table[np.unique(places).tolist()]
    digits = (pl.col(name).round_sig_figs(6) for name in ("mean", "min", "max"))
    return table.with_columns(*digits).select(
        pl.lit(group.name).alias("group"),
        pl.lit(metric).alias("metric"),
        STEP,
        "mean",
        pl.col("min").alias("lowest"),
        pl.col("max").alias("highest"),
        "runs",
    )


def _figures(report: Report, beside: str, names: Sequence[str] | None = None) -> list[Path]:
    """Draw figures: those of these names, else all that a compact report keeps.

    Args:
        beside: what the paths of the files begin with.
    """
    from grok_cli.figures.matplotlib import draw, save

    options = Options(
        groups=report.results.groups, source=report.title, references=report.references
    )
    charts = charts_of(report.finished, options)
    files = []
    for chart in charts:
        if chart.name in names if names is not None else chart.name not in NOT_KEPT:
            files.append(Path(f"{beside}{chart.name}.png"))
            save(draw(chart), files[-1])
    return files


def shrink(picture: Path) -> None:
    """Store a picture with few colours: a line drawing looks the same at a third of the size.

    The colours kept are those that lie far apart, so that small marks do not lose theirs to others.
    """
    from PIL import Image

    with Image.open(picture) as image:
        small = image.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
    content = BytesIO()
    small.save(content, "PNG", optimize=True)
    write_output(picture, content.getvalue())
