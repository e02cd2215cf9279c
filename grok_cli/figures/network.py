"""What one network looks like inside: a function a panel, each a chart. `panels` has them all."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from grok_cli.diagnostics.inside import Inside
from grok_cli.figures.chart import Array, Axis, Cells, Chart, Dots, Factors, Key, Legend, Line
from grok_cli.figures.style import BLUE, ORANGE, Look

KINDS = ("test, wrong", "test, right", "training, wrong", "training, right")
TABLES = Legend("", (Key("embedding", Look(BLUE, "o")), Key("unembedding", Look(ORANGE, "s"))))
LOGIT = Legend("", (Key("logit", Look(BLUE, "o")),))
TO = ("a", "b")
EDGES = (0.55, 0.8, 1.15, 2.0)  # of the planes: a circle that is all there is has radius 1


def panels(inside: Inside, to: Sequence[str] = TO[:1]) -> list[Chart]:
    """All panels of one network, in their order on a sheet.

    Args:
        to: to which elements the attention of the answer's position is shown, of "a" and "b".
    """
    layers, heads = inside.attention.shape[:2]
    return [
        *(circle(inside, place) for place in range(len(inside.keys))),
        spectrum(inside),
        logit_wave(inside),
        *(
            attention(inside, layer, head, element)
            for layer in range(layers)
            for element in to
            for head in range(heads)
        ),
        answers(inside),
    ]


def circle(inside: Inside, place: int) -> Chart:
    """The embedding in the plane of a key frequency k; a's colour is where a perfect circle has
    it."""
    points, key = _array(inside.circles[place]), inside.keys[place]
    edge = min(edge for edge in EDGES if edge >= min(float(inside.circles.abs().max()), 2))
    return Chart(
        name=f"circle{place}",
        about=f"tokens, k = {key}",
        note="the embedding in the plane of a key frequency; radius 1: a circle that is all of it",
        x=Axis("", low=-edge, high=edge),
        y=Axis("", low=-edge, high=edge),
        legend=Legend("", ()),
        dots=Dots(points[:, 0], points[:, 1], np.arange(inside.p) * key % inside.p / inside.p),
    )


def spectrum(inside: Inside) -> Chart:
    """Norms of the waves in embedding and unembedding, each as a share of its largest."""
    tables = [_array(norms) for norms in (inside.embed, inside.unembed)]
    lines = [_line(key, "norm", 1, norms / norms.max()) for key, norms in enumerate(tables)]
    return Chart(
        name="spectrum",
        about="waves",
        note="of each frequency, as a share of the largest",
        x=Axis("frequency", low=0, high=len(inside.embed) + 1),
        y=Axis("", low=0, high=1.05),
        legend=TABLES,
        lines=tuple(lines),
    )


def logit_wave(inside: Inside) -> Chart:
    """The mean logit of the class at each distance from the right answer: a sum of waves."""
    values = _array(inside.by_distance)
    half = inside.p // 2  # the right answer in the middle
    span = max(1.0, float(np.abs(values).max())) * 1.05
    return Chart(
        name="logits",
        about="mean logit",
        note="of the class at that distance from the right answer, less the mean",
        x=Axis("distance", low=-half - 1, high=inside.p - half),
        y=Axis("", low=-span, high=span),
        legend=LOGIT,
        lines=(_line(0, "logit", -half, np.roll(values, half)),),
    )


def attention(inside: Inside, layer: int, head: int, element: str) -> Chart:
    """How much the answer's position attends to a or b, over all pairs; from 0 to 1."""
    of = TO.index(element)
    factors = None
    if layer == 0:
        first, second = inside.scores()
        factors = Factors(_array(first[head]), _array(second[head]), of)
    deep = f"layer {layer}, " if len(inside.attention) > 1 else ""
    return Chart(
        name=f"attention{layer}{element}{head}",
        about=f"{deep}head {head}: = to {element}",
        note="attention weight of the answer's position over all pairs, dark 0, light 1",
        x=Axis("b", low=-0.5, high=inside.p - 0.5),
        y=Axis("a", low=inside.p - 0.5, high=-0.5),
        legend=Legend("", ()),
        cells=Cells(_array(inside.attention[layer, head, of]), factors=factors),
    )


def answers(inside: Inside) -> Chart:
    """Which pairs are answered rightly, and which are training pairs."""
    kinds = inside.right + 2 * inside.train
    return Chart(
        name="answers",
        about="answers",
        note="right and wrong, of all pairs; training pairs are marked",
        x=Axis("b", low=-0.5, high=inside.p - 0.5),
        y=Axis("a", low=inside.p - 0.5, high=-0.5),
        legend=Legend("", ()),
        cells=Cells(_array(kinds), high=len(KINDS) - 1, names=KINDS),
    )


def caption(inside: Inside) -> str:
    """What stands above the panels: phase, losses, accuracies."""
    parts = [inside.phase]
    parts += [
        f"{split}: loss {inside.loss[split]:.3g}, accuracy {inside.accuracy[split]:.4f}"
        for split in ("train", "test")
    ]
    return "   ·   ".join(parts)


def _line(key: int, metric: str, start: int, values: Array) -> Line:
    x = np.arange(start, start + len(values), dtype=np.float64)
    return Line(key, metric, x, values, values, values)


def _array(values: Any) -> Array:
    return np.asarray(values, dtype=np.float64)
