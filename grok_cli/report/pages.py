"""A report as one HTML file, or as Markdown."""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from grok_cli.core.placement import PLACEMENTS
from grok_cli.figures.catalogue import charts_of
from grok_cli.figures.draft import Options
from grok_cli.figures.svg import figure_html
from grok_cli.report.published import published
from grok_cli.report.report import Report

if TYPE_CHECKING:
    from grok_cli.report.replay import Reached
    from grok_cli.report.verdict import Comparison

FOLDER = Path(__file__).with_name("page")


def html_page(report: Report) -> str:
    """The report as HTML that needs no other file and no network.

    Whatever comes from runs (names, tags, messages) is escaped by the template engine.
    """
    charts = charts_of(
        report.finished, Options(groups=report.results.groups, references=report.references)
    )
    return _render(
        "report.html.j2",
        report,
        escape=True,
        charts=list(map(figure_html, charts)),  # each is gone before the next is made
        looks=[key.look for key in report.legend.keys],
        css=Markup((FOLDER / "report.css").read_text()),
        js=Markup((FOLDER / "report.js").read_text()),
    )


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
        milestones=_milestones,
        title_of=_title,
        **values,
    )


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


def _milestones(comparison: "Comparison") -> "list[tuple[str, dict[str, Reached]]]":
    """By each criterion that was published: when both sides reached it."""
    both = (("test accuracy ≥ 0.995", comparison.accuracy), ("test loss ≤ 0.01", comparison.loss))
    found = [(name, {step.which: step for step in steps}) for name, steps in both if steps]
    return found or [("–", {})]


def _title(comparison: "Comparison") -> str:
    """What a published group is called: its placement, or its name."""
    placement = PLACEMENTS.get(comparison.published.name)
    return f"{placement.name} ({placement.paper})" if placement else comparison.published.name
