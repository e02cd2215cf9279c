"""How groups look: one colour each for light and dark ground, told apart by all kinds of eyes.

The colours were chosen by minimising how alike the nearest two are, as seen by normal eyes and by
those that lack green or red (matrices of Machado et al. 2009, distances in Oklab), where each has a
contrast of at least 2.7 with white and with the dark page. Where they come close, markers differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grok_cli.results.run import is_number

GREY, ORANGE, BLUE, GREEN = "#73767d", "#df8900", "#0065f9", "#00b282"
PURPLE, RED, OCHRE, SKY = "#9a3db1", "#cb0207", "#a57c00", "#0ba4fb"
MOSS, PINK = "#536c3d", "#f36ac5"
VIOLET, MAGENTA = "#780cfc", "#b400e4"
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, OCHRE, PINK, MOSS, GREY)
# A placement has one colour in every figure and on every ground. No norm is grey.
OF_PLACEMENT = {
    "off": (GREY, "o"),
    "attn-pre": (ORANGE, "s"),
    "pre": (BLUE, "^"),
    "mlp-pre": (GREEN, "D"),
    "attn-pre-qk": (PURPLE, "v"),
    "attn-pre-v": (RED, "P"),
    "pre-qk": (OCHRE, "X"),
    "pre-v": (SKY, "<"),
    "post": (MOSS, "p"),
    "peri": (PINK, "h"),
    "qk-norm": (VIOLET, ">"),
    "sphere": (MAGENTA, "*"),
}
MARKERS = "os^Dv<PXph"
# The same shapes as SVG paths about (0, 0).
SHAPES = {
    "o": "M4 0A4 4 0 1 1 -4 0A4 4 0 1 1 4 0Z",
    "s": "M-3.5 -3.5H3.5V3.5H-3.5Z",
    "^": "M0 -4.5L4.5 3.5H-4.5Z",
    "D": "M0 -4.8L4.8 0L0 4.8L-4.8 0Z",
    "v": "M0 4.5L4.5 -3.5H-4.5Z",
    "<": "M-4.5 0L3.5 -4.5V4.5Z",
    ">": "M4.5 0L-3.5 -4.5V4.5Z",
    "*": "M0 -5L1.2 -1.7L4.8 -1.5L2 0.6L2.9 4L0 2.1L-2.9 4L-2 0.6L-4.8 -1.5L-1.2 -1.7Z",
    "P": "M-1.5 -4.5H1.5V-1.5H4.5V1.5H1.5V4.5H-1.5V1.5H-4.5V-1.5H-1.5Z",
    "X": "M-4 -2.5L-2.5 -4L0 -1.5L2.5 -4L4 -2.5L1.5 0L4 2.5L2.5 4L0 1.5L-2.5 4L-4 2.5L-1.5 0Z",
    "p": "M0 -4.6L4.4 -1.4L2.7 3.7H-2.7L-4.4 -1.4Z",
    "h": "M0 -4.6L4 -2.3V2.3L0 4.6L-4 2.3V-2.3Z",
}
# Numbers in order: the colours between these.
RAMP = ("#3f5be0", "#b0479a", "#df8900")

# Weights from 0 to 1: even in lightness and the same to eyes without green or red (cividis of
# Nuñez et al. 2018, by that name in matplotlib).
WEIGHTS = "cividis"
# Kinds of answers: wrong orange and right blue, training pairs dark, test pairs light.
ANSWERS = ("#f3b25c", "#9cc3f5", "#b3540a", "#2558b0")
# A circle of colours, of equal lightness as far as there are (hues of Oklab at lightness 0.68).
WHEEL = (
    "#e0707f", "#df7669", "#d87e53", "#cd883f", "#bc9231", "#a79c31", "#8da43f", "#6dab57",
    "#48b072", "#14b28f", "#00b2ab", "#00afc4", "#1da9d7", "#54a1e2", "#7c97e6", "#9c8ce1",
    "#b682d5", "#c979c2", "#d673ac", "#de7096",
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """How a group is drawn: its colour, and a marker of matplotlib's."""

    colour: str
    marker: str

    @property
    def shape(self) -> str:
        """The marker as an SVG path."""
        return SHAPES[self.marker]


def looks(firsts: Sequence[Any], rests: Sequence[Any], placements: bool) -> list[Look]:
    """How groups are drawn: what their first setting is gives the colour, the rest the marker.

    Args:
        firsts: that setting's value, of each group.
        rests: the others of each group, compared by whether they are equal.
        placements: whether the first setting is the placement of norms, which has its own colour.
    """
    alone = len(_distinct(firsts)) == len(firsts)
    colours = _colours(_distinct(firsts), placements)
    found, markers = [], _distinct(rests)
    for first, rest in zip(firsts, rests, strict=True):
        number = _distinct(firsts).index(first) if alone else markers.index(rest)
        marker = MARKERS[(number + number // len(COLOURS)) % len(MARKERS)]
        if alone and placements and first in OF_PLACEMENT:
            marker = OF_PLACEMENT[first][1]
        found.append(Look(colours[_distinct(firsts).index(first)], marker))
    return found


def _colours(values: Sequence[Any], placements: bool) -> list[str]:
    if placements:
        return [OF_PLACEMENT[v][0] if v in OF_PLACEMENT else MOSS for v in values]
    if len(values) > 1 and all(map(is_number, values)):
        places = sorted(values)
        return [_ramp(places.index(value) / (len(values) - 1)) for value in values]
    return [COLOURS[number % len(COLOURS)] for number in range(len(values))]


def _ramp(place: float) -> str:
    """The colour at a place from 0 to 1 along the ramp."""
    segment = min(int(place * (len(RAMP) - 1)), len(RAMP) - 2)
    part = place * (len(RAMP) - 1) - segment
    ends = [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in RAMP[segment : segment + 2]]
    mixed = (round(a + (b - a) * part) for a, b in zip(*ends, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def _distinct(values: Sequence[Any]) -> list[Any]:
    """Each value once, in order; they need not be hashable."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


_COMMON: dict[str, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "savefig.bbox": "tight",
    "svg.fonttype": "none",  # texts stay texts
    "pdf.fonttype": 42,
}
_LIGHT = {"grid.color": "#dddddd", "axes.edgecolor": "#555555"}
_DARK = {
    "figure.facecolor": "#16181d",
    "axes.facecolor": "#16181d",
    "savefig.facecolor": "#16181d",
    "text.color": "#e6e6e6",
    "axes.labelcolor": "#e6e6e6",
    "axes.edgecolor": "#9aa0a6",
    "xtick.color": "#c9ccd1",
    "ytick.color": "#c9ccd1",
    "grid.color": "#30343b",
}
_LARGE = {"figure.figsize": (8, 4.8), "font.size": 11, "figure.dpi": 150, "lines.linewidth": 1.5}
# matplotlib types the keys as literals, of which there are hundreds.
SETTINGS: dict[str, Any] = {
    # A column of a paper: 3.4 inches.
    "paper": {
        "figure.figsize": (3.4, 2.4),
        "font.size": 7.5,
        "figure.dpi": 300,
        "lines.linewidth": 0.9,
        "lines.markersize": 3,
        **_COMMON,
        **_LIGHT,
    },
    "screen": _LARGE | _COMMON | _LIGHT,
    "dark": _LARGE | _COMMON | _DARK,
}
