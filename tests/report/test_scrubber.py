"""The slider of the page: which runs and snapshots it has, and how it is used in a real browser."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from grok_cli.report.output import write_html
from grok_cli.report.pages import html_page, preview_address
from grok_cli.report.report import Report, make_report
from grok_cli.report.scrubber import FRAMES, make_scrubber
from grok_cli.runs.directory import RunDir
from tests.browser import Browser, browser, needs_browser
from tests.groups import train_groups
from tests.written_runs import make_run


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two placements, two seeds each, with snapshots."""
    return train_groups(tmp_path_factory.mktemp("scrubber") / "runs")


@pytest.fixture(scope="module")
def report(directory: Path) -> Report:
    return make_report(directory)


def head_of(report: Report, inside: int | None = None) -> dict[str, Any]:
    made = make_scrubber(report, inside)
    assert made is not None
    head: dict[str, Any] = json.loads(made.head)
    return head


def test_one_seed_of_each_group_is_looked_into_and_all_runs_have_curves(report: Report) -> None:
    head = head_of(report)
    assert [run["name"] for run in head["runs"]] == [run.name for run in report.runs]
    looked = [(run["group"], run["seed"]) for run in head["runs"] if "panels" in run]
    assert looked == [(group.name, "456") for group in report.groups]
    assert all(len(run["curves"]) == 4 for run in head["runs"])


def test_as_many_runs_are_looked_into_as_asked_for(report: Report) -> None:
    assert sum("panels" in run for run in head_of(report, 3)["runs"]) == 3
    made = make_scrubber(report, 0)
    assert made is not None
    assert made.looked == 0


def test_frames_are_those_of_the_snapshots_up_to_28(report: Report) -> None:
    run = next(run for run in head_of(report)["runs"] if "panels" in run)
    snapshots = RunDir(next(r.path for r in report.runs if r.name == run["name"])).snapshots()
    assert run["steps"] == [int(file.stem[5:]) for file in snapshots][:FRAMES]
    assert len(run["captions"]) == len(run["steps"])
    assert "accuracy" in run["captions"][0]


def test_a_damaged_snapshot_is_left_out(directory: Path, tmp_path: Path) -> None:
    shutil.copytree(directory, tmp_path / "runs")
    runs = make_report(tmp_path / "runs").runs
    path = next(run.path for run in runs if run.seed == 456)
    assert path is not None
    files = RunDir(path).snapshots()
    files[1].write_bytes(b"no snapshot")
    head = head_of(make_report(tmp_path / "runs"))
    steps = next(run["steps"] for run in head["runs"] if "panels" in run)
    assert steps == [int(file.stem[5:]) for file in files if file != files[1]]


def test_runs_without_snapshots_have_curves_and_runs_without_metrics_no_slider(
    tmp_path: Path,
) -> None:
    make_run(tmp_path / "runs", {"step": [1, 2], "test/accuracy": [0.1, 0.2]})
    (run,) = head_of(make_report(tmp_path / "runs"))["runs"]
    assert "panels" not in run
    make_run(tmp_path / "none", {"step": [1, 2]})
    assert make_scrubber(make_report(tmp_path / "none")) is None


def test_what_runs_are_called_ends_no_script(tmp_path: Path) -> None:
    run = make_run(tmp_path / "made", {"step": [1, 2], "test/accuracy": [0.1, 0.2]})
    (tmp_path / "runs").mkdir()
    run.rename(tmp_path / "runs" / "<!--<script> & x")
    made = make_scrubber(make_report(tmp_path / "runs"))
    assert made is not None
    assert not set("<>&") & set(made.head)
    assert json.loads(made.head)["runs"][0]["name"] == "<!--<script> & x"


def test_a_published_page_names_its_picture_which_lies_beside_it(
    report: Report, tmp_path: Path
) -> None:
    from PIL import Image

    write_html(report, tmp_path / "page.html", 0, url="https://example.org/a/page.html")
    text = (tmp_path / "page.html").read_text()
    assert '<meta property="og:image" content="https://example.org/a/page.png">' in text
    with Image.open(tmp_path / "page.png") as picture:
        assert picture.size == (1200, 630)
    assert preview_address("https://example.org/a/") == "https://example.org/a/index.png"
    assert "og:image" not in html_page(report)


# In a browser.


@pytest.fixture(scope="module")
def page(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "report.html"
    write_html(report, file, None, command="grok report 'my runs'")
    return file


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as window:
        yield window


Open = Callable[..., None]


@pytest.fixture
def opened(chromium: Browser, page: Path) -> Open:
    """Opens the page and waits until its slider is there."""

    def open_(fragment: str = "", **size: int) -> None:
        chromium.open(page, **size)
        chromium.run(f"location.hash = '{fragment}'")
        chromium.call("POST", "/refresh")
        chromium.call("POST", "/timeouts", {"script": 20_000})
        wait = (
            "const done = arguments[0]; const look = () => document.getElementById('inside').hidden"
            " ? setTimeout(look, 10) : requestAnimationFrame(() => setTimeout(done, 30)); look();"
        )
        chromium.call("POST", "/execute/async", {"script": wait, "args": []})

    return open_


SHOWN = (
    "return [...document.querySelectorAll('#inside .look')].filter(l => !l.hidden).map("
    "l => [l.querySelector('h3').textContent, l.querySelector('.caption').textContent])"
)
# Of each canvas what is drawn on it; "" if nothing.
DRAWN = (
    "return [...document.querySelectorAll('#inside .panels canvas')].map(c => {"
    " const empty = document.createElement('canvas');"
    " empty.width = c.width; empty.height = c.height;"
    " return c.toDataURL() === empty.toDataURL() ? '' : c.toDataURL(); })"
)


@needs_browser
def test_arrow_keys_move_the_slider_the_panels_and_every_cursor(
    chromium: Browser, opened: Open, report: Report
) -> None:
    opened("step=0")
    before, first = chromium.run(DRAWN), chromium.run(SHOWN)
    assert all(before)
    assert first[0][1].startswith("snapshot of step 0: memorising")
    chromium.run("document.querySelector('#inside .steps').focus()")
    keys = [{"type": key, "value": "\ue014"} for key in ("keyDown", "keyUp")] * 4
    actions = {"actions": [{"type": "key", "id": "keys", "actions": keys}]}
    chromium.call("POST", "/actions", actions)
    after, second = chromium.run(DRAWN), chromium.run(SHOWN)
    assert second[0][1].startswith("snapshot of step 40:")
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert "step=40" in chromium.run("return location.hash")
    assert chromium.run("return document.querySelector('#inside .steps').ariaValueText").startswith(
        "step 40. snapshot of step 40:"
    )
    cursors = chromium.run(
        "return [...document.querySelectorAll('.chart:has(script) .cursor')].map("
        "c => [c.getAttribute('visibility'), c.getAttribute('d')])"
    )
    assert len(cursors) > 5
    assert {visible for visible, _ in cursors} == {"visible"}
    assert chromium.run("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert chromium.messages() == []


@needs_browser
def test_the_address_keeps_two_runs_beside_each_other(
    chromium: Browser, opened: Open, report: Report
) -> None:
    first, second = (run.name for run in report.runs if run.seed == 456)
    opened(f"run={second}&beside={first}&step=20")
    titles = [title for title, _ in chromium.run(SHOWN)]
    assert titles == [f"{report.groups[place].name}, seed 456" for place in (1, 0)]
    assert all("step 20:" in caption for _, caption in chromium.run(SHOWN))
    assert all(chromium.run(DRAWN))
    boxes = chromium.run(
        "return [...document.querySelectorAll('#inside .look')].map(l => l.getBoundingClientRect())"
        ".map(b => [b.top, b.left])"
    )
    assert boxes[0][0] == boxes[1][0]  # side by side
    assert boxes[0][1] < boxes[1][1]
    chromium.run(
        "const s = document.querySelector('#inside .beside'); s.value = '';"
        "s.dispatchEvent(new Event('change'))"
    )
    assert len(chromium.run(SHOWN)) == 1
    assert "beside" not in chromium.run("return location.hash")
    opened("run=nobody&step=x")  # a fragment that means nothing shows the first run
    assert len(chromium.run(SHOWN)) == 1
    assert chromium.messages() == []


@needs_browser
def test_a_press_on_a_curve_moves_there_and_a_run_without_snapshots_says_so(
    chromium: Browser, opened: Open, report: Report
) -> None:
    other = next(run.name for run in report.runs if run.seed != 456)
    opened(f"run={other}&step=0")
    assert chromium.run(SHOWN)[0][1] == "no snapshot of this run is in this page"
    chromium.run(
        "const c = document.querySelector('canvas[data-curve]');"
        "c.dispatchEvent(new PointerEvent('pointerdown', {clientX: "
        "c.getBoundingClientRect().right - 18}))"
    )
    assert chromium.run("return document.querySelector('#inside .told-step').textContent") == (
        "step 60"
    )


@needs_browser
@pytest.mark.parametrize("kind", ["mouse", "touch"])
def test_mouse_and_finger_draw_the_line_along_the_curves_and_move_the_slider(
    chromium: Browser, opened: Open, kind: str
) -> None:
    told = "return document.querySelector('#inside .told-step').textContent"

    def box(part: str) -> tuple[float, float, float]:
        """Left and right end of a part, and its middle from above, where they are to be seen."""
        found = chromium.run(
            f"const part = document.querySelector('#inside {part}');"
            "part.scrollIntoView({block: 'center'});"
            "const b = part.getBoundingClientRect(); return [b.left, b.right, b.top + b.height / 2]"
        )
        return found[0], found[1], found[2]

    opened("step=0")
    left, right, middle = box("canvas[data-curve=loss]")
    chromium.drag(kind, (left + 60, middle), (right - 19, middle))  # the axis ends 18 before it
    assert chromium.run(told) == "step 50"  # a point before its end: not yet step 60
    chromium.drag(kind, (left + 60, middle), (right - 10, middle), (right - 18, middle))
    assert chromium.run(told) == "step 60"
    assert "snapshot of step 60" in chromium.run(SHOWN)[0][1]
    left, right, middle = box(".steps")
    chromium.drag(kind, (right - 8, middle), ((left + right) / 2, middle), (left + 3, middle))
    assert chromium.run(told) == "step 0"
    assert "step=0" in chromium.run("return location.hash")
    assert chromium.messages() == []


@needs_browser
@pytest.mark.parametrize("width", [360, 1400])
def test_two_runs_fit_on_a_phone_and_on_a_wide_screen(
    chromium: Browser, opened: Open, report: Report, width: int
) -> None:
    first, second = (run.name for run in report.runs if run.seed == 456)
    opened(f"run={first}&beside={second}", width=width)
    assert chromium.run("return document.documentElement.scrollWidth") == width
    sizes = chromium.run(
        "return [...document.querySelectorAll('#inside .panels canvas')].map(c => c.clientWidth)"
    )
    assert min(sizes) > 80


@needs_browser
def test_what_is_printed_has_its_proportions_and_no_controls(
    chromium: Browser, opened: Open
) -> None:
    opened(width=1400)
    command = {"cmd": "Emulation.setEmulatedMedia", "params": {"media": "print"}}
    chromium.call("POST", "/goog/cdp/execute", command)
    try:
        # Nothing is drawn anew for the width of the paper: what was drawn is scaled.
        ratios = chromium.run(
            "return [...document.querySelectorAll('.courses canvas')].map((c) => {"
            " c.width = 600; c.height = 200; return c.clientWidth / c.clientHeight; })"
        )
        assert ratios == pytest.approx([3, 3], rel=0.02)
        shown = (
            "return [...document.querySelectorAll('select, input, .play, .copy')]"
            ".filter(c => c.clientWidth)"
        )
        assert chromium.run(shown) == []
    finally:
        command["params"] = {"media": ""}
        chromium.call("POST", "/goog/cdp/execute", command)


@needs_browser
def test_commands_and_bibtex_are_copied(chromium: Browser, opened: Open) -> None:
    opened()
    grant = {"cmd": "Browser.setPermission", "params": {"permission": {"name": "clipboard-write"}, "setting": "granted"}}  # fmt: skip  # noqa: E501
    chromium.call("POST", "/goog/cdp/execute", grant)
    copied = chromium.run(
        "window.copied = []; navigator.clipboard.writeText = async (t) => window.copied.push(t);"
        "document.querySelectorAll('.copy').forEach(b => b.click()); return window.copied"
    )
    assert "grok report 'my runs'" in copied
    assert copied[-1].startswith("@software{grok_cli,")
    assert chromium.messages() == []


@needs_browser
def test_who_asked_for_no_motion_is_offered_none_and_dark_ground_has_light_ink(
    chromium: Browser, opened: Open
) -> None:
    features = [
        {"name": "prefers-reduced-motion", "value": "reduce"},
        {"name": "prefers-color-scheme", "value": "dark"},
    ]
    command = {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}}
    chromium.call("POST", "/goog/cdp/execute", command)
    try:
        opened()
        play = "return getComputedStyle(document.querySelector('#inside .play')).display"
        assert chromium.run(play) == "none"
        lightest = chromium.run(
            "const c = document.querySelector('canvas[data-curve]');"
            "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "let most = 0; for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200)"
            " most = Math.max(most, d[i]); return most"
        )
        assert lightest > 200
    finally:
        command["params"] = {"features": []}
        chromium.call("POST", "/goog/cdp/execute", command)


@needs_browser
def test_play_goes_through_the_steps_and_stops_at_the_end(chromium: Browser, opened: Open) -> None:
    opened("step=50")
    chromium.call("POST", "/timeouts", {"script": 20_000})
    press = (
        "const done = arguments[0], play = document.querySelector('#inside .play'); play.click();"
        "const look = () => play.textContent === 'Play' ? done(document.querySelector("
        "'#inside .told-step').textContent) : setTimeout(look, 20); setTimeout(look, 20);"
    )
    last = chromium.call("POST", "/execute/async", {"script": press, "args": []})
    assert last == "step 60"


@needs_browser
def test_powers_of_ten_on_an_axis_stand_once_each(
    chromium: Browser, opened: Open, report: Report
) -> None:
    opened("step=0")
    chromium.run(
        "window.told = {}; const its = CanvasRenderingContext2D.prototype, draw = its.fillText;"
        "its.fillText = function (text, ...place) {"
        "  (window.told[this.canvas.dataset.curve] ??= []).push(text);"
        "  return draw.call(this, text, ...place); };"
        "const steps = document.querySelector('#inside .steps'); steps.value = 1;"
        "steps.dispatchEvent(new Event('input'));"
    )
    powers: list[str] = []
    while not powers:
        told = chromium.run("return window.told")
        powers = [text for texts in told.values() for text in texts if text.startswith("1e")]
    assert len(set(powers)) == len(powers)
