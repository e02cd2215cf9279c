"""Facts of the page's scripts that need no page: numbers, ticks, colours, order in a table.

Node says what each expression is, all of them in one process.
"""

import json
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest

from grok_cli.figures.network import TO
from grok_cli.figures.packed import Blob, palettes
from grok_cli.figures.scale import Scale
from grok_cli.figures.style import ANSWERS, WHEEL
from grok_cli.report.pages import FOLDER

SCRIPTS = ("unpack", "hover", "tables", "panels")
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="needs node: apt install nodejs")


def rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


BLOB = Blob()
BLOB.add(np.array([9], np.uint8))  # what follows does not begin at the first byte
VALUES = np.array([[0.5, 3.0, np.nan], [20.0, 7.0, 1.0]])
KINDS = np.array([[[1, 2], [0, 4]], [[1, 3], [4, 4]]], np.uint8)
CHANGED = KINDS.copy()
CHANGED[1] ^= KINDS[0]
LINE = {"group": 0, "metric": "m", "steps": [1, 7], "mean": [2, 3], "low": [2, 1], "high": [2, 4]}
OTHER = {"steps": [1, 9], "mean": [5, 0.123456], "low": [4, 0.1], "high": [6, 0.1]}
EMPTY = {"steps": [], "mean": [], "low": [], "high": []}
RAMP = palettes()["ramp"]
AXES = {"x": {"label": "frequency", "low": 0, "high": 10}, "y": {"label": "", "low": 0, "high": 1}}
SCORES = {
    "first": BLOB.levels(np.log([[9.0, 9.0], [1.0, 3.0]]), fine=True),
    "second": BLOB.levels(np.log([[9.0, 9.0], [2.5, 5.0]]), fine=True),
}
KNOWN: dict[str, Any] = {  # to the expressions below
    "FINE": BLOB.levels(VALUES, fine=True),
    "COARSE": BLOB.levels(VALUES),
    "LOG": BLOB.levels(VALUES, log=True, fine=True),
    "CELLS": {"at": BLOB.add(CHANGED), "rows": 2, "columns": 2},
    "TWO": {"series": [LINE | OTHER | {"group": 1}, LINE, LINE | EMPTY]},
    "METRICS": {"series": [LINE, LINE | {"metric": "n"}]},
    "RAMP": RAMP,
    "COLOURS": palettes(),
    # Of 109 by 108: with axes from 26 to 104 and from 82 to 4, without from 4 to 104 and back.
    "DOTS": {
        **{"x": {"label": "", "low": -1, "high": 1}, "y": {"label": "", "low": -1, "high": 1}},
        "lines": [],
        "dots": {
            "x": BLOB.levels(np.array([[0.0, 0.0, 0.0], [-1.0, 0.0, 1.0]])),
            "y": BLOB.levels(np.array([[0.0, 0.0, 0.0], [1.0, 0.0, -1.0]])),
            "turns": [0.5, 0, 0.999],
        },
    },
    "LINES": AXES
    | {
        "lines": [
            {"colour": "a", "x": 2.0, "y": BLOB.levels(np.eye(2, 3), fine=True)},
            {"colour": "b", "x": 8.0, "y": BLOB.levels(np.eye(2), fine=True)},
        ]
    },
    "ANSWERS": AXES | {"lines": [], "kinds": {"at": 0, "rows": 2, "columns": 2}},
    **{f"SHARES_{TO[of]}": AXES | {"lines": [], "shares": SCORES | {"of": of}} for of in (0, 1)},
}
KNOWN["ANSWERS"]["kinds"]["at"] = KNOWN["CELLS"]["at"]
HELPERS = """
const row = (text, first) => ({cells: [{textContent: text, firstChild: {textContent: first}}]});
const orders = (pairs) => pairs.map(([a, b]) => compareValues(a, b)).map((o) => o && Math.sign(o));
const texts = (lines) => lines.map((line) => line.text);
// What is drawn: dots as x, y and colour, the points of lines, texts, and the colours of cells.
globalThis.window = {devicePixelRatio: 1};
globalThis.document = {createElement: () => canvasOf([], 0, 0)};
const canvasOf = (said, clientWidth, clientHeight) => ({clientWidth, clientHeight, getContext: () =>
  new Proxy({
    arc(x, y) { said.push(["dot", x, y, this.fillStyle]); },
    lineTo(x, y) { said.push([this.strokeStyle, x, y]); },
    fillText(text, x, y) { said.push(["text", text, x, y]); },
    createImageData: (columns, rows) => ({data: new Uint8ClampedArray(4 * columns * rows)}),
    putImageData: (image) => { cells = image.data; },
  }, {get: (its, name) => its[name] ?? (() => undefined)})});
let cells = [];
const drawn = (panel, frame) => {
  const said = [];
  drawPanel(canvasOf(said, 109, 108), panel, buffer, COLOURS, frame);
  return said;
};
const picture = (panel, frame) => { drawn(panel, frame); return [...cells]; };
const tenths = (points) => points.map(([of, x, y]) => [of, Math.round(10 * x), y]);
const same = (found, shares) => JSON.stringify(found)
  === JSON.stringify(shares.flatMap((share) => [...mixed(RAMP)[Math.round(share * 255)], 255]));
"""

FACTS: dict[str, Any] = {
    # Nearest to the pointer; of two that are as near the later.
    "[1, 2, 3, 4, 6, 8, 99].map((step) => nearest([1, 3, 8], step))": [0, 1, 1, 1, 2, 2, 2],
    "nearest([5], 1)": 0,
    # Of one seed there is no range.
    "linesAt(TWO, ['a', 'b'], 8)": [
        {"step": 9, "text": "b: 0.1235"},
        {"step": 7, "text": "a: 3 (1..4)"},
    ],
    "linesAt(TWO, ['a', 'b'], 4.5).map((line) => line.step)": [1, 7],
    "texts(linesAt(TWO, ['a', 'b'], 1))": ["b: 5 (4..6)", "a: 2"],
    "texts(linesAt(METRICS, ['a'], 1))": ["a m: 2", "a n: 2"],
    "short(0.0123456)": "0.01235",
    # Kinds of answers, frame by frame.
    "[0, 1].map((frame) => [...kinds(buffer, CELLS, frame)])": KINDS.reshape(2, 4).tolist(),
    # Axes.
    "ticks(0, 1, 3)": [0, 0.5, 1],
    "ticks(112.5, -0.5, 4)": [0, 50, 100],
    "ticks(-4, 4, 4)": [-4, -2, 0, 2, 4],
    "[0.04, 0.05, 0.06, 3, 70].map(roundStep)": [0.05, 0.05, 0.1, 5, 100],
    "[0, 0.5, 9999, 12345, -20000, 0.00012].map(told)": [
        *("0", "0.5", "9,999", "1e4", "-2e4", "1e-4")
    ],
    # Colours.
    "mixed(RAMP).length": 256,
    "[0, 17, 34, 255].map((i) => mixed(RAMP)[i])": [rgb(RAMP[place]) for place in (0, 1, 2, 15)],
    "mixed(['#000000', '#0a1464'])[51]": [2, 4, 20],
    # Panels of a network: each at its second frame.
    "drawn(DOTS, 1).filter(([what]) => what === 'dot')": [
        *(["dot", 54, 54, WHEEL[0]], ["dot", 4, 4, WHEEL[10]], ["dot", 104, 104, WHEEL[19]])
    ],
    "tenths(drawn(LINES, 1).filter(([what]) => what !== 'text'))": [
        *(["a", 416, 82], ["a", 494, 4], ["a", 572, 82], ["b", 884, 82], ["b", 962, 4])
    ],
    "drawn(LINES, 1).filter(([what]) => what === 'text')": [
        *(["text", "0", 26, 93], ["text", "5", 65, 93], ["text", "10", 104, 93]),
        ["text", "frequency", 65, 105],
        *(["text", "0", 23, 85], ["text", "0.5", 23, 46], ["text", "1", 23, 7]),
    ],
    "picture(ANSWERS, 1)": [part for kind in (0, 2, 3, 3) for part in (*rgb(ANSWERS[kind]), 255)],
    "picture(ANSWERS, 0).slice(8)": [0, 0, 0, 0, *rgb(ANSWERS[3]), 255],
    "same(picture(SHARES_a, 1), [1 / 4.5, 1 / 7, 3 / 6.5, 3 / 9])": True,
    "same(picture(SHARES_b, 1), [2.5 / 4.5, 5 / 7, 2.5 / 6.5, 5 / 9])": True,
    # A table is sorted by the numbers that its cells begin with; what is not there comes last.
    "cellValue(row('1,018 2 of 2', '1,018'), 0)": 1018,
    "['0', '-3', '0.5'].map((text) => cellValue(row(text, text), 0))": [0, -3, 0.5],
    "['pre', '3/5'].map((text) => cellValue(row(text, text), 0))": ["pre", "3/5"],
    "['', ' ', '–'].map((text) => cellValue(row(text, text), 0))": [None, None, None],
    "cellValue(row('– 0 of 2', '–'), 0)": None,
    "orders([[3, 10], [-1, 0], ['b', 'a'], ['s2', 's10'], [1, 1]])": [-1, -1, 1, -1, 0],
    "orders([[null, 1], [1, null], [null, null]])": [None, None, None],
}
# Numbers as figures/packed.py wrote them.
NUMBERS = {
    f"[...numbers(buffer, {kind}, {frame})]": VALUES[frame]
    for kind in ("FINE", "COARSE", "LOG")
    for frame in (0, 1)
}


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    scripts = [(FOLDER / f"{name}.js").read_text() for name in SCRIPTS]
    known = [f"const {name} = {json.dumps(value)};" for name, value in KNOWN.items()]
    told = ", ".join(f"{json.dumps(asked)}: {asked}" for asked in (*FACTS, *NUMBERS))
    program = "\n".join(
        [
            *(*scripts, *known),
            f"unpacked({json.dumps(BLOB.text())}).then((buffer) => {{",
            HELPERS,
            f"console.log(JSON.stringify({{{told}}})); }});",
        ]
    )
    done = subprocess.run([NODE or "", "-"], input=program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


@pytest.mark.parametrize("expression", FACTS)
def test_a_script_says(said: dict[str, Any], expression: str) -> None:
    assert said[expression] == FACTS[expression]


@pytest.mark.parametrize("expression", NUMBERS)
def test_a_script_reads_the_numbers_that_were_packed(said: dict[str, Any], expression: str) -> None:
    found = np.array(said[expression], float)
    np.testing.assert_allclose(found, NUMBERS[expression], atol=0.04)


def test_axes_of_scripts_and_of_figures_have_the_same_round_numbers(said: dict[str, Any]) -> None:
    assert said["ticks(-4, 4, 4)"] == Scale(-4, 4).ticks(5)
