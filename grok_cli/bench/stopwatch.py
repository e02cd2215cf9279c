"""Times training steps: real ones, of `Trainer.run`, with the optimiser and the norms it records.

Other work on a machine makes steps slower and never faster, so that a time is the least over
several turns of the median step of a turn. One thread is timed by the processor time it uses, which
other work hardly changes.
"""

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from grok_cli.core.config import Config
from grok_cli.core.training import Recorder, Trainer
from grok_cli.errors import GrokError

EVAL_EVERY = 2  # so that half of the steps evaluate the test rows
BLOCK_SECONDS = 0.4  # of a turn, at least one step of each kind


@dataclass(frozen=True)
class StepTime:
    """Milliseconds of a training step without and with an evaluation of the test rows."""

    bare: float
    evaluating: float

    @property
    def evaluation(self) -> float:
        """Milliseconds of an evaluation of the test rows."""
        return self.evaluating - self.bare

    def at(self, eval_every: float) -> float:
        """Mean milliseconds of a step if every so many evaluate (0: none)."""
        share = 1 / eval_every if eval_every else 0.0
        return self.bare + share * (self.evaluating - self.bare)


def work_clock() -> Callable[[], float]:
    """A clock, in seconds, for what this process computes with torch's present threads."""
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


class Stopwatch:
    """Step times of a trainer, by whether the step evaluated the test rows.

    Args:
        config: of the run, whose steps may evaluate as seldom as they like.
    """

    def __init__(self, config: Config, clock: Callable[[], float] = time.perf_counter) -> None:
        train = {
            "eval_every": EVAL_EVERY,
            "eval_spacing": "linear",
            "steps": 10**9,
            "until_grokked": False,
        }
        self.trainer = Trainer(
            config.model_copy(update={"train": config.train.model_copy(update=train)})
        )
        self.clock = clock
        self.turns: list[StepTime] = []

    def warm_up(self) -> None:
        """Make a step of each kind, unmeasured."""
        self._run(0.0)

    def turn(self, seconds: float = BLOCK_SECONDS) -> None:
        """Make measured steps for so long, and at least one of each kind.

        Raises:
            GrokError: the run diverges.
        """
        self.turns.append(self._run(seconds))

    def _run(self, seconds: float) -> StepTime:
        marks: list[float] = []

        def enough() -> bool:
            marks.append(self.clock())
            return len(marks) > EVAL_EVERY and marks[-1] - marks[0] >= seconds

        first = self.trainer.step + 2  # the step before it starts the clock
        outcome = self.trainer.run(Recorder(), (), enough)
        if outcome.status == "diverged":
            raise GrokError(f"steps cannot be timed: {outcome.message}")
        times = [1e3 * (after - before) for before, after in itertools.pairwise(marks)]
        evaluated = first % EVAL_EVERY  # where in the list the first step that evaluates stands
        return StepTime(
            bare=statistics.median(times[1 - evaluated :: EVAL_EVERY]),
            evaluating=statistics.median(times[evaluated::EVAL_EVERY]),
        )

    def best(self) -> StepTime:
        """The least over the turns."""
        return StepTime(
            min(turn.bare for turn in self.turns), min(turn.evaluating for turn in self.turns)
        )

    def usual(self) -> StepTime:
        """The median over the turns, other work on the machine included."""
        return StepTime(
            statistics.median(turn.bare for turn in self.turns),
            statistics.median(turn.evaluating for turn in self.turns),
        )
