"""Facts of the panels that show one network: circles, words, axes, frames."""

from dataclasses import replace

import pytest
import torch

from grok_cli.diagnostics.inside import look
from grok_cli.figures.chart import Axis, Chart
from grok_cli.figures.network import EDGES, TO, caption, circle, panels
from grok_cli.figures.packed import Blob, pack_frames
from tests.diagnostics.builders import small_subject
from tests.figures.written import chart_of


def test_a_circle_has_an_edge_that_holds_it_and_colours_that_go_round_once() -> None:
    inside = look(small_subject(p=7))
    for largest, edge in ((0.5, EDGES[0]), (0.55, EDGES[0]), (0.6, 0.8), (1.0, 1.15), (9.0, 2.0)):
        planes = torch.zeros_like(inside.circles).double()
        planes[-1, 3, 1] = -largest
        chart = circle(replace(inside, circles=planes), 0)
        for axis in (chart.x, chart.y):
            assert (axis.low, axis.high) == (-edge, edge), largest
    chart = circle(replace(inside, keys=(3, 1, 2)), 0)
    assert (chart.name, chart.about) == ("circle0", "tokens, k = 3")
    assert chart.dots is not None
    assert chart.dots.turns == pytest.approx([a * 3 % 7 / 7 for a in range(7)])
    points = inside.circles[0].double().numpy()
    assert chart.dots.x.tolist() == points[:, 0].tolist()
    assert chart.dots.y.tolist() == points[:, 1].tolist()


def test_above_the_panels_stand_phase_losses_and_accuracies() -> None:
    inside = replace(
        look(small_subject()),
        phase="memorised",
        loss={"train": 0.00012345, "test": 2.5},
        accuracy={"train": 1.0, "test": 0.25},
    )
    assert caption(inside).split("   ·   ") == [
        "memorised",
        "train: loss 0.000123, accuracy 1.0000",
        "test: loss 2.5, accuracy 0.2500",
    ]


def test_panels_are_told_with_their_words_and_axes() -> None:
    charts = panels(look(small_subject(p=5)), TO)
    told = {panel["name"]: panel for panel in pack_frames([charts, charts], Blob())}
    for chart in charts:
        panel = told[chart.name]
        assert (panel["title"], panel["note"]) == (chart.about, chart.note)
        for name, axis in (("x", chart.x), ("y", chart.y)):
            assert panel[name] == {"label": axis.label, "low": axis.low, "high": axis.high}
        looks = [chart.legend.keys[line.key] for line in chart.lines]
        assert [(line["name"], line["colour"]) for line in panel["lines"]] == [
            (key.name, key.look.colour) for key in looks
        ]
    assert told["answers"]["kinds"]["names"] == charts[-1].cells.names  # type: ignore[union-attr]
    assert (told["answers"]["kinds"]["rows"], told["answers"]["kinds"]["columns"]) == (5, 5)


def test_frames_share_axes_that_hold_them_all() -> None:
    def frame(low: float, high: float) -> list[Chart]:
        chart = chart_of(dots=None)
        return [replace(chart, x=Axis("x", low=low, high=high), y=Axis("y", low=high, high=low))]

    (told,) = pack_frames([frame(-1, 2), frame(-3, 1)], Blob())
    assert told["x"] == {"label": "x", "low": -3, "high": 2}
    assert told["y"] == {"label": "y", "low": 2, "high": -3}


def test_frames_without_ends_go_from_0_to_1() -> None:
    (told,) = pack_frames([[chart_of()]], Blob())
    assert told["x"] == {"label": "x", "low": 0, "high": 1}


def test_panels_of_a_network_have_room_for_all_that_there_is() -> None:
    inside = look(small_subject(p=7))
    charts = {chart.name: chart for chart in panels(inside)}
    waves, answers = charts["spectrum"], charts["answers"]
    assert (waves.x.low, waves.x.high) == (0, 4)  # frequencies 1, 2, 3
    assert waves.y.low == 0
    assert waves.y.high == pytest.approx(1.05)  # of the largest
    assert [key.name for key in waves.legend.keys] == ["embedding", "unembedding"]
    assert [key.name for key in charts["logits"].legend.keys] == ["logit"]
    assert answers.cells is not None
    assert (answers.cells.low, answers.cells.high) == (0, 3)  # of the four kinds
    cells = charts["attention0a0"].cells
    assert cells is not None
    assert (cells.low, cells.high) == (0, 1)  # a share
