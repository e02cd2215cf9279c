"""When groups of runs generalise and compress, from their metrics."""

from dataclasses import dataclass

import numpy as np

from grok_cli.core.phases import GENERALISED
from grok_cli.errors import UsageError
from grok_cli.figures.bands import Array, Band, Measured

ACCURACY = "test/accuracy"
RANK = "alpha_req/effective_rank_test"
SMALLEST_FALL = 0.1  # of the maximum; less than that is no compression


@dataclass(frozen=True)
class Generalised:
    """When the runs of a group generalised: first step with test accuracy >= 0.995.

    Attributes:
        seeds: that step of each seed, None where it was not reached; {} if not known by seed.
        of_mean: that step of the curve of the mean over seeds.
        earliest, latest: over the seeds that generalised. Without values by seed, where the
            highest and the lowest curve cross.
    """

    label: str
    seeds: dict[str, int | None]
    of_mean: int | None
    earliest: int | None
    latest: int | None

    @property
    def steps(self) -> list[int]:
        """The steps of the seeds that generalised."""
        return [step for step in self.seeds.values() if step is not None]

    @property
    def middle(self) -> float | None:
        """Mean over the seeds that generalised, else where the mean curve crosses."""
        return float(np.mean(self.steps)) if self.steps else self.of_mean


def generalised(measured: Measured) -> list[Generalised]:
    """When each group generalised."""
    return [_generalised(band) for band in measured.bands(ACCURACY)]


def generalised_groups(measured: Measured) -> list[Generalised]:
    """`generalised`, of which there must be some.

    Raises:
        UsageError: test accuracy was not measured.
    """
    groups = generalised(measured)
    if not groups:
        others = [metric for metric in measured.metrics if metric != ACCURACY]
        raise UsageError(
            f"generalisation: not measured there ({ACCURACY}); there are {', '.join(others)}"
        )
    return groups


def _generalised(band: Band) -> Generalised:
    seeds = band.crossings(GENERALISED)
    steps = [step for step in seeds.values() if step is not None]
    if seeds:
        earliest, latest = min(steps, default=None), max(steps, default=None)
    else:
        earliest = Band.crossing(_curve(band, band.high), GENERALISED)
        latest = Band.crossing(_curve(band, band.low), GENERALISED)
    return Generalised(band.label, seeds, band.crossing(GENERALISED), earliest, latest)


def _curve(band: Band, values: Array) -> Band:
    return Band(band.label, band.steps, values, values, values, {})


def compression_step(steps: Array, rank: Array) -> int | None:
    """The compression epoch of a run.

    The first step, after the effective rank of Z on the test rows has been largest, at which it
    has fallen at least half-way from that maximum to its last value. None if it never falls by a
    tenth of the maximum.

    No definition was found in what could be read of the paper's code; this one is ours. Its
    resolution is that of the diagnostic's steps.
    """
    known = ~np.isnan(rank)
    steps, rank = steps[known], rank[known]
    if not len(rank):
        return None
    top = int(rank.argmax())
    if rank[top] - rank[-1] < SMALLEST_FALL * rank[top]:
        return None
    half = (rank[top] + rank[-1]) / 2
    return int(steps[top + int(np.flatnonzero(rank[top:] <= half)[0])])


def compression_points(measured: Measured) -> dict[str, list[tuple[int, int]]]:
    """By group: (compression step, generalisation step) of each seed that has both."""
    generalisation = {g.label: g.seeds for g in generalised(measured)}
    points: dict[str, list[tuple[int, int]]] = {}
    for band in measured.bands(RANK):
        for seed, values in band.seeds.items():
            compressed = compression_step(band.steps, values)
            reached = generalisation.get(band.label, {}).get(seed)
            if compressed is not None and reached is not None:
                points.setdefault(band.label, []).append((compressed, reached))
    return points
