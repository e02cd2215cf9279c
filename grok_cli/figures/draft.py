"""What all figures of groups of runs share: what may be asked of them, and their legend."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from grok_cli.figures.chart import Axis, Chart, Reference
from grok_cli.figures.names import legend_of
from grok_cli.results import Group, Results


@dataclass(frozen=True)
class Options:
    """What may be asked of any figure.

    Attributes:
        log_x, log_y: None: as suits the figure.
        each_seed: a thin line a seed instead of the band from the lowest to the highest.
        title: above the figure; "": nothing; None: what it shows, of how many seeds.
        source: which runs these are, for the title.
        groups: all groups in their order, where the legend has more than are drawn.
        references: what others measured, to be drawn beneath. What fits no group is left out.
    """

    log_x: bool | None = None
    log_y: bool | None = None
    each_seed: bool = False
    title: str | None = None
    source: str = ""
    groups: Sequence[Group] = ()
    references: Sequence[Reference] = ()


class Draft:
    """A figure in the making: its groups, and their names and looks.

    Args:
        drawn: the groups that are drawn, in the order of the legend; a group may come twice.

    Attributes:
        groups: those of the legend: the ones asked for, else the ones drawn, each once.
    """

    def __init__(self, results: Results, options: Options, drawn: Iterable[Group]) -> None:
        self.results, self.options = results, options
        self.groups = list(options.groups)
        if not self.groups:
            for group in drawn:
                if not any(_same(group, other) for other in self.groups):
                    self.groups.append(group)
        self.legend = legend_of(self.groups)

    def key(self, group: Group) -> int:
        """The number of a group's `Key` in the legend."""
        return next(key for key, other in enumerate(self.groups) if _same(group, other))

    def name(self, key: int) -> str:
        return self.legend.keys[key].name

    def references(self, *metrics: str) -> list[tuple[Reference, int]]:
        """What others measured of these metrics, each with the key of the group it belongs to."""
        return [
            (reference, key)
            for reference in self.options.references
            for key, group in enumerate(self.groups)
            if reference.metric in metrics
            and reference.settings
            and reference.settings.items() <= dict(group.settings).items()
        ]

    def whose(self) -> str:
        """Whose the references are."""
        return ", ".join(dict.fromkeys(reference.label for reference in self.options.references))

    def chart(self, name: str, about: str, note: str, x: Axis, y: Axis, **drawn: Any) -> Chart:
        """The finished chart, with legend and title."""
        options = self.options
        runs = _which(self.results, options.source)
        return Chart(
            name, about, note, x, y, legend=self.legend, runs=runs, title=options.title, **drawn
        )


def decade_below(value: float) -> float:
    """The power of ten at which a logarithmic axis of steps begins."""
    decade: float = 10 ** math.floor(math.log10(value * 0.999))
    return decade


def _same(group: Group, other: Group) -> bool:
    return group.settings == other.settings and group.text == other.text


def _which(results: Results, source: str) -> str:
    """Of how many seeds a figure is, and of which runs: "5 seeds a group, runs/ln-positions"."""
    counts = sorted({len(group.runs) for group in results.groups if group.runs})
    seeds = ""
    if counts:
        number = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
        several = " a group" if len(results.groups) > 1 else ""
        seeds = f"{number} seed{'s' * (counts[-1] > 1)}{several}"
    return ", ".join(filter(None, (seeds, source)))
