"""When a run memorises, generalises and collapses, found while it trains.

Memorised:   first step whose training accuracy is at least 0.99.
Generalised: first evaluation whose test accuracy is at least 0.995 (the paper's criterion).
Sustained:   first of a row of such evaluations that spans at least 500 steps.
Collapsed:   first evaluation after sustained generalisation with test accuracy below 0.9.
Delay:       steps from memorised to generalised.

Steps are those of the metrics' rows: training accuracy is taken before the update of its step, over
the rows of that step (with `train.batch_size` a mini-batch), test accuracy after it.
"""

from dataclasses import asdict, dataclass

MEMORISED = 0.99
GENERALISED = 0.995
SUSTAINED_STEPS = 500
COLLAPSED = 0.9
# Under which names a summary has their steps; `delay` is a number of steps.
PHASE_STEPS = ("memorised_at", "generalised_at", "sustained_at", "delay", "collapsed_at")
GENERALISING = 0.5  # test accuracy from which the live view calls a plateau over


@dataclass
class Phases:
    """The steps at which a run's phases began; None where that has not happened."""

    memorised: int | None = None
    generalised: int | None = None
    sustained: int | None = None
    collapsed: int | None = None
    _streak: int | None = None  # first of the evaluations in a row that are >= GENERALISED
    _test_accuracy: float = 0.0

    def see_train(self, step: int, accuracy: float) -> None:
        """Take note of the training accuracy of a step."""
        if self.memorised is None and accuracy >= MEMORISED:
            self.memorised = step

    def see_test(self, step: int, accuracy: float) -> None:
        """Take note of an evaluation; steps must come in order."""
        self._test_accuracy = accuracy
        good = accuracy >= GENERALISED
        if self.sustained is not None:
            if self.collapsed is None and accuracy < COLLAPSED:
                self.collapsed = step
            return
        if not good:
            self._streak = None
            return
        if self.generalised is None:
            self.generalised = step
        if self._streak is None:
            self._streak = step
        if step >= self._streak + SUSTAINED_STEPS:
            self.sustained = self._streak

    @property
    def delay(self) -> int | None:
        """Steps between memorisation and generalisation (negative if test came first)."""
        if self.memorised is None or self.generalised is None:
            return None
        return self.generalised - self.memorised

    @property
    def now(self) -> str:
        """The present phase: memorising, plateau, generalising, generalised or collapsed."""
        if self._test_accuracy >= GENERALISED:
            return "generalised"
        if self.collapsed is not None and self._test_accuracy < COLLAPSED:
            return "collapsed"
        if self.memorised is None:
            return "memorising"
        return "generalising" if self._test_accuracy >= GENERALISING else "plateau"

    def summary(self) -> dict[str, int | str | None]:
        """What stands in a run's summary."""
        steps = (self.memorised, self.generalised, self.sustained, self.delay, self.collapsed)
        return {"phase": self.now, **dict(zip(PHASE_STEPS, steps, strict=True))}

    def state(self) -> dict[str, int | float | None]:
        """Everything a resumed run needs; `Phases(**state)` restores it."""
        return asdict(self)
