"""The page of a report in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from grok_cli.figures.catalogue import make_chart
from grok_cli.report.pages import html_page
from grok_cli.report.report import make_report
from tests.browser import Browser, browser, needs_browser


@pytest.fixture(scope="module")
def page(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(html_page(make_report(runs)))
    return file


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as window:
        yield window


@needs_browser
def test_figures_are_drawn_and_the_console_is_silent(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    assert chromium.messages() == []
    lines = chromium.run(
        "return [...document.querySelectorAll('.chart .line')].map(l => [l.getTotalLength(),"
        " getComputedStyle(l).stroke, l.getBoundingClientRect().width])"
    )
    assert len(lines) > 10
    assert all(length > 50 and width > 50 for length, _, width in lines)
    assert len({colour for _, colour, _ in lines}) == 2  # two groups


@needs_browser
def test_hovering_shows_the_values_of_the_nearest_step(
    chromium: Browser, page: Path, runs: Path
) -> None:
    chromium.open(page)
    box = chromium.run(
        "const svg = document.querySelector('[data-chart=loss] svg');"
        "svg.scrollIntoView({block: 'center'});"
        "const b = svg.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]"
    )
    left, top, width, height = box
    inside = left + width * (1 - 13 / 480), top + height / 2  # the right end: step 60
    chromium.point(*inside)
    shown = chromium.run(
        "const tip = document.querySelector('[data-chart=loss] .tip');"
        "return tip.hidden ? null : [...tip.children].map(row => row.textContent)"
    )
    off, _ = make_chart("loss", make_report(runs).finished).lines[:2]
    assert shown[0] == "step 60"
    line = next(text for text in shown if text.startswith("off (No LN) test/loss: "))
    value = float(line.partition(": ")[2].split()[0])
    assert value == pytest.approx(off.y[-1], rel=1e-3)
    chromium.point(2, 2)
    assert chromium.run("return document.querySelector('[data-chart=loss] .tip').hidden")
    assert chromium.messages() == []


@needs_browser
def test_the_box_with_values_hides_nothing_of_its_chart(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    x, y = chromium.run(
        "const svg = document.querySelector('[data-chart=loss] svg');"
        "svg.scrollIntoView({block: 'center'}); const b = svg.getBoundingClientRect();"
        "return [b.left + b.width / 2, b.top + b.height / 2]"
    )
    chromium.point(x, y)
    tip, bottom = chromium.run(
        "const figure = document.querySelector('[data-chart=loss]');"
        "return [figure.querySelector('.tip').getBoundingClientRect().top,"
        " figure.querySelector('svg').getBoundingClientRect().bottom]"
    )
    assert tip >= bottom


@needs_browser
def test_pressing_a_title_sorts_the_table_by_numbers(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    column = (
        "const table = [...document.querySelectorAll('table.sortable')].at(-1);"
        "const titles = [...table.tHead.rows[0].cells];"
        "const at = titles.findIndex(title => title.textContent.startsWith('seed'));"
    )
    press = column + "titles[at].querySelector('button').click();"
    values = (
        "return [titles[at].ariaSort, [...table.tBodies[0].rows].map(r => r.cells[at].innerText)]"
    )
    assert chromium.run(press + values) == ["ascending", ["456", "456", "789", "789"]]
    assert chromium.run(press + values) == ["descending", ["789", "789", "456", "456"]]


@needs_browser
def test_every_chart_has_a_role_and_a_label(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    charts = chromium.run(
        "return [...document.querySelectorAll('.chart svg')].map(s => [s.role, s.ariaLabel])"
    )
    assert all(role == "img" and label for role, label in charts)


@needs_browser
def test_tables_fit_on_a_screen_of_1400(chromium: Browser, page: Path) -> None:
    chromium.open(page, width=1400)
    hidden = chromium.run(
        "return [...document.querySelectorAll('.wide')].map(w => w.scrollWidth - w.clientWidth)"
    )
    assert not any(hidden)


@needs_browser
@pytest.mark.parametrize("width", [360, 768, 1400])
def test_page_never_scrolls_sideways(chromium: Browser, page: Path, width: int) -> None:
    chromium.open(page, width=width)
    inner = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    assert chromium.run(inner) == [width, width]
    chromium.run("document.querySelector('details').open = true")
    assert chromium.run(inner) == [width, width]


@needs_browser
def test_dark_screens_get_dark_ground_and_print_a_light_one(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    grounds = []
    for media in (
        {"features": [{"name": "prefers-color-scheme", "value": "dark"}]},
        {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    ):
        chromium.call(
            "POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": media}
        )
        grounds.append(chromium.run("return getComputedStyle(document.body).backgroundColor"))
    chromium.call(
        "POST", "/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"media": ""}}
    )
    assert grounds == ["rgb(22, 24, 29)", "rgb(255, 255, 255)"]


@needs_browser
def test_print_leaves_no_line_of_a_list_or_heading_alone(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    emulate = {"cmd": "Emulation.setEmulatedMedia", "params": {"media": "print"}}
    chromium.call("POST", "/goog/cdp/execute", emulate)
    whole = "dl, .run-command, .bibtex, tr, .chart, #inside figure"
    followed = "h2, h3, p:has(+ .run-command)"
    broken = chromium.run(
        "const of = (which, key) => [...document.querySelectorAll(which)]"
        ".filter(e => getComputedStyle(e)[key] !== 'avoid').map(e => e.outerHTML.slice(0, 60));"
        f"return [...of('{whole}', 'breakInside'), ...of('{followed}', 'breakAfter')]"
    )
    emulate |= {"params": {"media": ""}}
    chromium.call("POST", "/goog/cdp/execute", emulate)
    assert broken == []
