"""How long runs will take: from the speed of runs that finished on this machine, scaled by the work
of a step, or else from a few steps that are measured."""

import json
import math
import socket
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from grok_cli.core.config import Config
from grok_cli.core.placement import PLACEMENTS
from grok_cli.runs.directory import RunDir
from grok_cli.runs.settings import flat_settings
from grok_cli.sweeps.plan import PlannedRun, steps_left

# The settings that a step's time depends on; runs that agree in them are equally fast.
PACE = (
    "data.task",
    "data.modulus",
    "data.test_ratio",
    "model.n_layers",
    "model.d_model",
    "model.mlp_ratio",
    "train.batch_size",
    "train.dtype",
    "train.eval_every",
    "measure.diagnostics",
)
USUAL_SPEED = 20.0  # steps per second of the published run, on one core
STEP_OVERHEAD = 5e7  # multiply-adds in the time that a step takes whatever its size
MEASURING_SECONDS, MEASURING_STEPS = 1.0, 50  # at most


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
    every = train.eval_every if train.eval_spacing == "linear" else train.steps
    return row * (3 * batch + test / every) + STEP_OVERHEAD


class Speeds:
    """Steps per second of runs that were measured.

    Args:
        measured: pairs of a run's configuration and its steps per second.
    """

    def __init__(self, measured: Iterable[tuple[Config, float]]) -> None:
        self._by_pace: dict[str, list[float]] = {}
        self._works: list[tuple[float, float]] = []  # of a step, and of a second
        for config, speed in measured:
            self._by_pace.setdefault(pace(config), []).append(speed)
            work = step_work(config)
            self._works.append((work, work * speed))

    @classmethod
    def usual(cls) -> "Speeds":
        """Those of a usual core, where nothing was measured: for orders of magnitude."""
        return cls([(Config(), USUAL_SPEED)])

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
    here = socket.gethostname()
    return Speeds(
        (run.config(), speed)
        for run in runs
        if run.exists() and _host(run) == here and (speed := _speed(run.recorded_summary()))
    )


def measured_speeds(
    config: Config, threads: int | None = None, clock: Callable[[], float] = time.perf_counter
) -> Speeds:
    """The speed of a few steps of a run, made now: a second or two."""
    from grok_cli.core.process import prepare_process
    from grok_cli.core.training import Recorder, Trainer

    prepare_process(threads)
    marks: list[float] = []

    def enough() -> bool:
        marks.append(clock())
        return len(marks) > 1 and (
            marks[-1] - marks[0] > MEASURING_SECONDS or len(marks) > MEASURING_STEPS
        )

    trainer = Trainer(config)
    trainer.run(Recorder(), (), enough)
    if len(marks) < 2:
        return Speeds([])
    return Speeds([(config, (len(marks) - 1) / max(marks[-1] - marks[0], 1e-9))])


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
    runs: Sequence[PlannedRun],
    summaries: Sequence[dict[str, Any]],
    speeds: Speeds,
    workers: int | None,
) -> Forecast:
    """How long the runs will take; steps that were made already do not count."""
    steps = [steps_left(run, summary) for run, summary in zip(runs, summaries, strict=True)]
    times: list[float] = []
    for run, left in zip(runs, steps, strict=True):
        speed = speeds.of(run.config)
        if left and speed is None:
            return Forecast(sum(steps), workers, None)
        if left and speed:
            times.append(left / speed)
    seconds = max(sum(times) / max(workers or 1, 1), max(times, default=0.0))
    return Forecast(sum(steps), workers, seconds)


def _speed(summary: dict[str, Any]) -> float | None:
    speed = summary.get("steps_per_second")
    finished = summary["status"] == "finished"
    return float(speed) if finished and isinstance(speed, (int, float)) and speed > 0 else None


def _host(run: RunDir) -> str | None:
    """The machine that trained a run last; None if that is not known."""
    try:
        return str(json.loads(run.environment_file.read_text())[-1]["host"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
