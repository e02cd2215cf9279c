"""Are our runs the published ones? Each group gets one of four results, all together a sentence.

Replayed: our runs start from the published runs' own weights, with all their seeds; the mean, the
    lowest and the highest curve of the losses agree with the published ones at least up to step
    100; and the first seed, the mean and the last seed generalise near the published steps. What
    "agree" and "near" mean stands in `replay`.
Reproduced: not replayed, but compatible with the published seeds by the test in `precedence`. That
    is the best that can be said of runs with other seeds or other initial weights.
Not reproduced: that test tells the two apart.
Undecided: our runs are too few or too short.

Generalisation is told by test accuracy (>= 0.995) where that was published, else by test loss
(<= 0.01).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from grok_cli.report.precedence import COMPATIBLE, INCOMPATIBLE, Precedence, precedence
from grok_cli.report.published import Published, PublishedGroup
from grok_cli.report.replay import (
    BY_ACCURACY,
    BY_LOSS,
    LOSSES,
    Agreement,
    Reached,
    Seeds,
    agreements,
    compression_epoch,
    reached,
    seed_steps,
)
from grok_cli.results.survival import Median

NAMED = 4  # groups in a sentence
ALONE = "No published number to compare with."
LEAST = 100  # steps; agreement up to an earlier one is no replay
REPLAYED, REPRODUCED = "replayed", "reproduced"
NOT_REPRODUCED, UNDECIDED = "not reproduced", "undecided"


@dataclass(frozen=True)
class Comparison:
    """A group of ours beside the published one.

    Attributes:
        runs: how many of ours are compared.
        exact: whether ours start from the published runs' own weights, with all their seeds.
        steps: when each of our seeds generalised; infinite for one that has not.
        agreements: how far the curves agree; () without an exact start.
        accuracy, loss: when the threshold is reached, ours beside the published step; () where
            that is not published, or not measured.
        compressed: compression epochs by metric, (ours, published).
        test: the test on distributions; None for a group that is replayed.
        result, reason: one of the four, and why in words.
    """

    published: PublishedGroup
    runs: int
    exact: bool
    steps: tuple[float, ...]
    agreements: tuple[Agreement, ...]
    accuracy: tuple[Reached, ...]
    loss: tuple[Reached, ...]
    compressed: Mapping[str, tuple[int | None, int]]
    test: Precedence | None
    result: str
    reason: str

    @property
    def upto(self) -> int:
        """The last step up to which all curves agree; 0 if one never does, or none is compared."""
        return _upto(self.agreements)

    @property
    def parted(self) -> Agreement | None:
        """The agreement that ends first; None if none ends."""
        return _parted(self.agreements)

    @property
    def generalised(self) -> tuple[Reached, ...]:
        """When both generalised, by the criterion that tells."""
        return self.accuracy or self.loss

    @property
    def median(self) -> float:
        """Median over our seeds; infinite if half of them or more have not generalised."""
        return statistics.median(self.steps) if self.steps else math.inf


def compare(
    group: PublishedGroup, ours: Mapping[str, Seeds], exact: bool, known: Published, groups: int
) -> Comparison:
    """Our runs of a group beside the published ones.

    Args:
        ours: by metric; with an exact start, of the published seeds only.
        groups: how many groups are compared at once.
    """
    curves = {metric: seeds.curves for metric, seeds in ours.items()}
    shared = [metric for metric in LOSSES if metric in curves and metric in group.curves]
    agreed = tuple(
        agreement
        for metric in shared
        if exact
        for agreement in agreements(metric, curves[metric], group.curves[metric])
    )
    milestones = {BY_ACCURACY: group.accuracy, BY_LOSS: group.loss}
    by = {
        criterion: tuple(reached(criterion, curves[criterion.metric], steps, known.length))
        for criterion, steps in milestones.items()
        if criterion.metric in curves
    }
    criterion = BY_ACCURACY if by.get(BY_ACCURACY) else BY_LOSS
    steps = seed_steps(criterion, ours[criterion.metric]) if criterion in by else []
    result, reason = _replay(agreed, by.get(criterion, ()))
    test = None
    if result != REPLAYED:
        first, last = (milestones[criterion].get(which) for which in ("first", "last"))
        test = precedence(
            steps, first, last, length=known.length, seeds=len(known.seeds), groups=groups
        )
        outcome = {COMPATIBLE: REPRODUCED, INCOMPATIBLE: NOT_REPRODUCED}
        result = result or outcome.get(test.result, UNDECIDED)
        reason = "; ".join(filter(None, (reason, test.reason)))
    return Comparison(
        published=group,
        runs=max((len(seeds.values) for seeds in ours.values()), default=0),
        exact=exact,
        steps=tuple(step for step, _ in steps),
        agreements=agreed,
        accuracy=by.get(BY_ACCURACY, ()),
        loss=by.get(BY_LOSS, ()),
        compressed={
            metric: (compression_epoch(curves[metric].steps, curves[metric].mean), step)
            for metric, step in group.compressed.items()
            if metric in curves
        },
        test=test,
        result=result,
        reason=reason,
    )


def _replay(agreed: Sequence[Agreement], generalised: Sequence[Reached]) -> tuple[str, str]:
    """The result as far as a replay tells, "" if it leaves that to the test; and why."""
    if not agreed:
        return "", ""
    upto, parted = _upto(agreed), _parted(agreed)
    apart = f", parts at {parted.parted:,} ({_where(parted)})" if parted else ""
    if upto < LEAST:
        return "", f"the same start, but {apart[2:] or f'compared to step {upto} only'}"
    near = [step.near for step in generalised]
    if False in near:
        return "", f"follows to step {upto:,}{apart}, then generalises elsewhere"
    short = any(step.near is None and step.ended < step.length for step in generalised)
    if True in near and not short:
        return REPLAYED, f"follows to step {upto:,}{apart}"
    return UNDECIDED, f"follows to step {upto:,}{apart}; ours end before generalisation"


def _upto(agreed: Sequence[Agreement]) -> int:
    return min((agreement.upto for agreement in agreed), default=0)


def _parted(agreed: Sequence[Agreement]) -> Agreement | None:
    ended = [agreement for agreement in agreed if agreement.parted is not None]
    return min(ended, key=lambda agreement: agreement.upto, default=None)


def _where(parted: Agreement) -> str:
    """The curve that parts, with both values."""
    what = parted.metric.replace("/", " ")
    return f"{parted.curve} {what}: {parted.ours:.5g}, published {parted.published:.5g}"


def same_order(comparisons: Sequence[Comparison]) -> bool | None:
    """Whether groups whose published seeds do not overlap have their medians in that order.

    A description, not a test. Medians, since one seed that never generalises makes a mean
    infinite; groups of ours without a finite one are left out. None if no two groups can be
    compared so.
    """
    pairs = [
        (first.median, second.median)
        for first, second in permutations(comparisons, 2)
        if _step(first, "last") < _step(second, "first")
        and math.isfinite(first.median)
        and math.isfinite(second.median)
    ]
    return all(first < second for first, second in pairs) if pairs else None


def _step(comparison: Comparison, which: str) -> float:
    """A published step of generalisation; nan, which is in no order, if it is not known."""
    found = [step.published for step in comparison.generalised if step.which == which]
    return found[0] if found else math.nan


def overall(comparisons: Sequence[Comparison]) -> str:
    """The verdict on all groups together, as a sentence."""
    named = {
        result: [c.published.name for c in comparisons if c.result == result]
        for result in (REPLAYED, REPRODUCED, NOT_REPRODUCED, UNDECIDED)
    }
    count = len(comparisons)
    replayed = [c for c in comparisons if c.result == REPLAYED]
    if len(replayed) == count:
        who = f"all {count} groups" if count > 1 else replayed[0].published.name
        return f"Replayed: {who}, {_extent(replayed)}."
    parts = []
    if named[NOT_REPRODUCED]:
        names = ", ".join(named[NOT_REPRODUCED])
        parts.append(f"Not reproduced: {names} not compatible with the published seeds.")
    if named[UNDECIDED]:
        parts.append(f"Undecided: {', '.join(named[UNDECIDED])} cannot be compared yet.")
    if named[REPRODUCED]:
        names = ", ".join(named[REPRODUCED])
        if len(named[REPRODUCED]) == count > 1:
            names = f"all {count} groups"
        parts.append(
            f"Reproduced: {names} compatible with the published seeds{_order(comparisons)}."
        )
    if replayed:
        names = ", ".join(named[REPLAYED])
        parts.append(f"Replayed: {names}, {_extent(replayed)}.")
    return " ".join(parts)


def halves(medians: Mapping[str, Median]) -> str:
    """The verdict where nothing was published: when half of the runs of each group generalised.

    Args:
        medians: of all runs begun, by the group's name.
    """
    within = f"within {max(found.last for found in medians.values()):,.0f} steps"
    if not any(found.events for found in medians.values()):
        return f"No run generalised {within}."

    def who(names: Sequence[str]) -> str:
        name = " with {}" if len(medians) > 1 else ""
        told = [f"{name.format(each)} ({medians[each].count})" for each in names[:NAMED]]
        return ",".join(told) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")

    steps = {name: found.step for name, found in medians.items() if found.step is not None}
    order = sorted(steps, key=lambda name: steps[name])
    late = [name for name in medians if name not in steps]
    shown = order if len(order) <= NAMED else [order[0], order[-1]]
    text = ", ".join(f"by step {steps[name]:,.0f}{who([name])}" for name in shown)
    if len(shown) < len(order):
        text += f", {len(order) - len(shown)} groups between them"
    if not order:
        return f"Fewer than half of the runs generalised {within}{who(late)}."
    rest = f"; fewer than half {within}{who(late)}" if late else ""
    return f"Half of the runs generalised {text}{rest}."


def _order(comparisons: Sequence[Comparison]) -> str:
    order = same_order(comparisons)
    if order is None:
        return ""
    return ", and in the published order" if order else ", but in another order"


def _extent(replayed: Sequence[Comparison]) -> str:
    """To which step groups follow the published curves, and how near they generalise."""
    steps = sorted({comparison.upto for comparison in replayed})
    to = f"step {steps[0]:,}" if len(steps) == 1 else f"steps {steps[0]:,} to {steps[-1]:,}"
    known = [step.off for c in replayed for step in c.generalised if step.off is not None]
    off = max(map(abs, known), default=0)
    near = (
        f"generalisation within {off:.1%} of the published steps"
        if known
        else ("as there without generalisation")
    )
    return f"the published curves up to {to}, {near}"
