"""How long runs will take: from the speed of comparable runs that finished on this machine, scaled
by the work of a step, or else as `grok bench` measures a few steps."""

import contextlib
import json
import math
import socket
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grok_cli.core.config import Config
from grok_cli.core.placement import PLACEMENTS
from grok_cli.errors import GrokError
from grok_cli.runs.directory import RunDir
from grok_cli.runs.settings import flat_settings
from grok_cli.sweeps.plan import PlannedRun, steps_left

if TYPE_CHECKING:
    from grok_cli.bench.stopwatch import StepTime

# The settings that a step's time depends on; runs that agree in them are equally fast.
PACE = (
    "data.task",
    "data.modulus",
    "data.test_ratio",
    "model.n_layers",
    "model.d_model",
    "model.mlp_ratio",
    "model.mlp_type",
    "train.batch_size",
    "train.dtype",
    "train.eval_every",
    "train.eval_spacing",
    "run.engine",
    "measure.diagnostics",
)
USUAL_SPEED = 20.0  # steps per second of the published run, on one core
STEP_OVERHEAD = 5e7  # multiply-adds in the time that a step takes whatever its size
COMPARABLE = 3.0  # a run whose step takes at most so many times the work, or as much less
MEASURING_SECONDS = 0.6


def step_work(config: Config) -> float:
    """Multiply-adds of a training step and its share of evaluations, and what a step costs besides.

    The first block is counted as the fast engine computes it: a row takes d * inputs + d * p +
    hidden * p of them, d * d more with a norm before the MLP. Each further block, and all of the
    plain engine's, takes 4 d^2 + (2 or 3) d * hidden at each of three positions. A gradient takes
    twice what the forward pass takes.
    """
    model, train, p = config.model, config.train, config.data.modulus
    d, hidden = model.d_model, model.d_mlp
    gated = model.mlp_type == "gated"
    block = 3 * (4 * d**2 + (3 if gated else 2) * d * hidden)
    if config.run.engine == "plain":
        row = model.n_layers * block + 3 * d * p
    else:
        row = d * hidden * (2 if gated else 1) + (d + hidden) * p + (model.n_layers - 1) * block
        row += d**2 if "mlp" in PLACEMENTS[model.ln_type].sites else 0
    test = config.data.test_ratio * p**2
    batch = min(train.batch_size or math.inf, p**2 - test)
    return row * (3 * batch + test / evaluated_every(config)) + STEP_OVERHEAD


def evaluated_every(config: Config) -> int:
    """Steps from one evaluation of the test rows to the next, on average."""
    train = config.train
    return train.eval_every if train.eval_spacing == "linear" else train.steps


class Speeds:
    """Steps per second of runs that were measured.

    Args:
        measured: pairs of a run's configuration and its steps per second.
    """

    def __init__(self, measured: Iterable[tuple[Config, float]]) -> None:
        self._by_pace: dict[str, list[float]] = {}
        self._works: list[tuple[float, float]] = []  # of a step, and of a second
        for config, speed in measured:
            self.add(config, speed)

    @classmethod
    def usual(cls) -> "Speeds":
        """Those of a usual core, where nothing was measured: for orders of magnitude."""
        return cls([(Config(), USUAL_SPEED)])

    def add(self, config: Config, speed: float) -> None:
        """Take in a run that was measured."""
        self._by_pace.setdefault(pace(config), []).append(speed)
        work = step_work(config)
        self._works.append((work, work * speed))

    def know(self, config: Config) -> bool:
        """Whether a comparable run was measured."""
        work = step_work(config)
        return any(1 / COMPARABLE <= known / work <= COMPARABLE for known, _ in self._works)

    def __bool__(self) -> bool:
        return bool(self._works)

    def of(self, config: Config) -> float | None:
        """Steps per second that a run can be expected to make: the median of equal runs, else
        that of the runs whose steps are nearest in work, scaled. None if no run is known."""
        if equal := self._by_pace.get(pace(config)):
            return statistics.median(equal)
        if not self._works:
            return None
        work = step_work(config)
        distances = [abs(math.log(known / work)) for known, _ in self._works]
        near = min(distances) + 1e-9
        rates = zip(distances, self._works, strict=True)
        return statistics.median(rate for far, (_, rate) in rates if far <= near) / work


def pace(config: Config) -> str:
    """What a step's time depends on, as one text."""
    settings = flat_settings(config)
    return json.dumps([settings[key] for key in PACE], sort_keys=True)


def recorded_speeds(runs: Iterable[RunDir]) -> Speeds:
    """The speeds of those of the runs that finished on this machine."""
    here = [socket.gethostname()]
    speeds = Speeds(())
    for run in runs:
        with contextlib.suppress(GrokError, OSError):  # damaged, which is the matter of others
            speed = _speed(run.recorded_summary())
            if speed and [session.get("host") for session in run.sessions()[-1:]] == here:
                speeds.add(run.config(), speed)
    return speeds


def measure_unknown(
    speeds: Speeds,
    configs: Iterable[Config],
    threads: int | None = None,
    step_time: Callable[[Config, int | None], "StepTime"] | None = None,
) -> None:
    """Make a few steps, now, of each run that no known one is comparable to; less than a second
    each, unless steps are slow.

    Args:
        threads: of a run; None: all cores.
        step_time: what a step of a run takes; by default it is measured.
    """
    for config in configs:
        if speeds.know(config):
            continue
        try:
            time = (step_time or _measured_step)(config, threads)
        except GrokError:  # it diverges at once
            continue
        speeds.add(config, 1000 / time.at(evaluated_every(config)))


def _measured_step(config: Config, threads: int | None) -> "StepTime":
    from grok_cli.bench.stopwatch import Stopwatch
    from grok_cli.core.process import prepare_process

    prepare_process(threads)
    watch = Stopwatch(config)
    watch.turn(MEASURING_SECONDS)
    return watch.best()


@dataclass(frozen=True)
class Forecast:
    """What is left of a sweep.

    Attributes:
        steps: training steps left, each run to its last.
        workers: runs at a time; None if that is not known, as on a cluster.
        seconds: until the last is done, with one run after the other where `workers` is None;
            None if no speed is known.
    """

    steps: int
    workers: int | None
    seconds: float | None


def forecast(
    standing: Iterable[tuple[PlannedRun, Mapping[str, Any]]], speeds: Speeds, workers: int | None
) -> Forecast:
    """How long runs will take; steps that were made already do not count.

    Args:
        standing: each run with its summary.
    """
    left = [(run.config, steps) for run, told in standing if (steps := steps_left(run, told))]
    total = sum(steps for _, steps in left)
    times: list[float] = []
    for config, steps in left:
        speed = speeds.of(config)
        if speed is None:
            return Forecast(total, workers, None)
        times.append(steps / speed)
    seconds = max(sum(times) / max(workers or 1, 1), max(times, default=0.0))
    return Forecast(total, workers, seconds)


def _speed(summary: dict[str, Any]) -> float | None:
    speed = summary.get("steps_per_second")
    if summary["status"] != "finished" or not isinstance(speed, (int, float)):
        return None
    return float(speed) if 0 < speed < math.inf else None
