"""A report as one HTML file, or as Markdown."""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from grok_cli.core.placement import PLACEMENTS
from grok_cli.errors import UsageError
from grok_cli.figures.catalogue import charts_of, make_chart
from grok_cli.figures.draft import Options
from grok_cli.figures.svg import figure_html
from grok_cli.report.medians import medians_of
from grok_cli.report.published import published
from grok_cli.report.report import Report
from grok_cli.version import __version__

if TYPE_CHECKING:
    from grok_cli.report.replay import Reached
    from grok_cli.report.scrubber import Scrubber
    from grok_cli.report.verdict import Comparison

FOLDER = Path(__file__).with_name("page")
SCRIPTS = ("unpack", "hover", "tables", "copy", "panels", "scrubber", "report")


def html_page(
    report: Report,
    scrubber: "Scrubber | None" = None,
    *,
    command: str = "",
    url: str = "",
    live: str = "",
) -> str:
    """The report as HTML that needs no other file and no network.

    Whatever comes from runs (names, tags, messages) is escaped by the template engine.

    Args:
        scrubber: what its slider moves through.
        command: what made the page.
        url: where it will be published, for the preview of links to it; its picture lies beside
            it, see `output.write_preview`.
        live: for a page that renews itself, the address that it asks; see `grok watch`.
    """
    options = Options(groups=report.results.groups, references=report.references)
    charts = (chart for chart in charts_of(report.finished, options) if chart.name != "times")
    scripts = [*SCRIPTS, "live"] if live else SCRIPTS
    return _render(
        "report.html.j2",
        report,
        escape=True,
        times=times_figure(report),
        medians=medians_of(report),
        charts=list(map(figure_html, charts)),  # each is gone before the next is made
        looks=[key.look for key in report.legend.keys],
        scrubber=scrubber,
        command=command,
        cite=_bibtex(),
        url=url,
        live=live,
        css=Markup((FOLDER / "report.css").read_text()),
        js=Markup("\n".join((FOLDER / f"{name}.js").read_text() for name in scripts)),
    )


def times_figure(report: Report) -> "Markup | None":
    """When the groups generalise, of all runs that have begun; None where that is not known."""
    try:
        chart = make_chart("times", report.results, Options(groups=report.results.groups))
    except UsageError:
        return None
    return figure_html(chart)


def _bibtex() -> str:
    """The entries of docs/cite.md."""
    text = (FOLDER.parent.parent / "docs" / "cite.md").read_text()
    entries = "\n".join(re.findall(r"```bibtex\n(.*?)```", text, re.DOTALL)).strip()
    return entries.replace("{0.1.0}", f"{{{__version__}}}")


def markdown_page(report: Report, images: list[Path]) -> str:
    """The report as Markdown for a README.

    Args:
        images: files beside it, shown at the top.
    """
    return _render("report.md.j2", report, escape=False, images=images)


def _render(template: str, report: Report, *, escape: bool, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=escape,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = markdown_text
    return environment.get_template(template).render(
        report=report,
        published_seeds=len(published().seeds),
        published_length=published().length,
        dash=dash,
        step=step_text,
        ours=reached_text,
        milestones=_milestones,
        title_of=_title,
        preview=preview_address,
        **values,
    )


def preview_address(url: str) -> str:
    """Where the preview picture of a published page lies: beside it, under its name."""
    address = url + "index.html" if url.endswith("/") else url
    return re.sub(r"\.html?$", "", address) + ".png"


def dash(value: Any, format_: str = "%s") -> str:
    """A value as text, or a dash where there is none."""
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "–" if missing else format_ % value


def markdown_text(value: Any) -> str:
    """Text that Markdown shows as it is: no formatting, HTML, links or table cells in it."""
    return re.sub(r"([\\`*_{}\[\]<>#|~!])", r"\\\1", str(value)).replace("\n", " ")


def step_text(step: float) -> str:
    """A step as text."""
    return "never" if math.isinf(step) else f"{step:,.0f}"


def reached_text(reached: "Reached") -> str:
    """When ours got there: "never" only if all of ours went as far as the published runs."""
    if math.isinf(reached.ours) and reached.ended < reached.length:
        return f"> {reached.ended:,}"
    return step_text(reached.ours)


def _milestones(comparison: "Comparison") -> "list[tuple[str, dict[str, Reached]]]":
    """By each criterion that was published: when both sides reached it."""
    both = (("test accuracy ≥ 0.995", comparison.accuracy), ("test loss ≤ 0.01", comparison.loss))
    found = [(name, {step.which: step for step in steps}) for name, steps in both if steps]
    return found or [("–", {})]


def _title(comparison: "Comparison") -> str:
    """What a published group is called: its placement, or its name."""
    placement = PLACEMENTS.get(comparison.published.name)
    return f"{placement.name} ({placement.paper})" if placement else comparison.published.name
