"""Measures how fast training is on this machine, with the plain and with the fast engine.

What is timed is real training: steps of `Trainer.run`, with the optimiser and the norms that it
records. The engines take turns in one process, as other load on the machine slows both, and
medians are reported. Each number of threads is measured in a process of its own, since a process
keeps its pool of threads. Two phases are measured:

    start    the first steps of a run
    plateau  weights after the training loss first was below 1e-6, or after 1,500 steps where it
             does not get there (with norms it hovers higher)
"""

import copy
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from grok_cli.core.config import Config
from grok_cli.core.placement import PLACEMENTS
from grok_cli.core.process import prepare_process
from grok_cli.core.training import Recorder, Row, Trainer
from grok_cli.errors import GrokError

PLATEAU_LOSS, PLATEAU_STEPS = 1e-6, 1500
MATMUL_SIZE = 2048
RUN_STEPS, SWEEP_RUNS = 10_000, 20
BLOCK_FAST, BLOCK_PLAIN = 8, 2  # steps that an engine makes in its turn


@dataclass(frozen=True)
class StepTime:
    """Median milliseconds of a training step without and with an evaluation of the test rows."""

    bare: float
    evaluating: float

    def at(self, eval_every: int) -> float:
        """Mean milliseconds of a step if every so many evaluate (0: none)."""
        share = 1 / eval_every if eval_every else 0.0
        return self.bare + share * (self.evaluating - self.bare)


@dataclass(frozen=True)
class Result:
    """One line of the table; `matmul_share` is explained at `multiply_adds`."""

    ln_type: str
    eval_every: int
    threads: int
    phase: str
    plain_ms: float
    fast_ms: float
    speedup: float
    matmul_share: float
    peak_mb: float


@dataclass(frozen=True)
class Estimate:
    """What runs of 10,000 steps take, from the plateau, where most steps are.

    Attributes:
        run_minutes: one run alone.
        processes: how many processes run side by side in a sweep.
        sweep_minutes: 20 runs in that many processes, measured side by side.
    """

    ln_type: str
    eval_every: int
    threads: int
    run_minutes: float
    processes: int
    sweep_minutes: float


@dataclass(frozen=True)
class Timings:
    """All measurements; `asdict` of it is the command's JSON."""

    matmul_gflops: float
    results: list[Result]
    estimates: list[Estimate]


def bench_config(ln_type: str, engine: str, eval_every: int = 2) -> Config:
    """The published run with this placement, on the CPU."""
    train = {"eval_every": eval_every, "steps": 2 * RUN_STEPS}
    run = {"engine": engine, "device": "cpu"}
    return Config.model_validate({"model": {"ln_type": ln_type}, "train": train, "run": run})


def multiply_adds(config: Config, vocab: int, n_train: int, n_test: float) -> float:
    """Multiply-adds that the factored form of a one-layer model needs for a training step.

    A row takes d * inputs + d * vocab + hidden * vocab of them (with a norm before the MLP d * d
    more, for its variance), and with the gradient three times that. This counts the attention's
    part as matrix products; the fast engine sums table lines there, which are fewer, so that a
    share of the machine's matrix-product speed computed from it may exceed 1.

    Args:
        n_train: rows of the step.
        n_test: rows that are evaluated besides, a step.
    """
    model = config.model
    inputs = model.d_mlp * (2 if model.mlp_type == "gated" else 1)
    per_row = model.d_model * (inputs + vocab) + model.d_mlp * vocab
    if "mlp" in PLACEMENTS[model.ln_type].sites:
        per_row += model.d_model**2
    return per_row * (3 * n_train + n_test)


def measure(
    ln_types: Sequence[str],
    eval_every: Sequence[int],
    threads: Sequence[int],
    rounds: int = 8,
    cores: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Timings:
    """Measure all combinations.

    Args:
        eval_every: steps between evaluations of the test rows; 0 for none.
        rounds: turns of each engine.
        cores: how many cores a sweep may use; None for all.
        say: is told what is being done.
    """
    cores = cores or torch.get_num_threads()
    results: list[Result] = []
    estimates: list[Estimate] = []
    gflops = []
    with tempfile.TemporaryDirectory() as directory:
        files = {ln_type: str(Path(directory) / f"{ln_type}.pt") for ln_type in ln_types}
        say(f"training to the plateau: {', '.join(files)}")
        training = {"job": "plateau", "threads": 1}
        _work([training | {"ln_type": ln_type, "file": file} for ln_type, file in files.items()])
        for ln_type, file in files.items():
            for n in threads:
                say(f"{ln_type}: {n} threads, plain and fast in turn")
                job = {"ln_type": ln_type, "threads": n, "file": file, "rounds": rounds}
                (compared,) = _work([job | {"job": "compare"}])
                gflops.append(compared["matmul_gflops"])
                say(f"{ln_type}: {n} threads, fast alone and side by side")
                alone = job | {"job": "alone"}
                (single,) = _work([alone])
                crowd = _work([alone] * max(1, cores // n))
                for every in eval_every:
                    results += _results(ln_type, n, every, compared, single["peak_mb"])
                    estimates.append(_estimate(ln_type, n, every, single, crowd))
    return Timings(max(gflops), results, estimates)


def _results(
    ln_type: str, threads: int, every: int, compared: dict[str, Any], peak_mb: float
) -> Iterable[Result]:
    """The results of both phases."""
    config = bench_config(ln_type, "fast")
    n_test = compared["n_test"] / every if every else 0
    flops = 2 * multiply_adds(config, compared["vocab"], compared["n_train"], n_test)
    for phase, times in compared["phases"].items():
        plain, fast = (StepTime(**times[engine]).at(every) for engine in ("plain", "fast"))
        yield Result(
            ln_type=ln_type,
            eval_every=every,
            threads=threads,
            phase=phase,
            plain_ms=round(plain, 2),
            fast_ms=round(fast, 2),
            speedup=round(plain / fast, 2),
            matmul_share=round(flops / (fast * 1e6) / compared["matmul_gflops"], 6),
            peak_mb=round(peak_mb, 1),
        )


def _estimate(
    ln_type: str, threads: int, every: int, single: dict[str, Any], crowd: list[dict[str, Any]]
) -> Estimate:
    run, *side_by_side = (StepTime(**one["times"]).at(every) for one in [single, *crowd])
    minutes = RUN_STEPS / 60_000
    return Estimate(
        ln_type=ln_type,
        eval_every=every,
        threads=threads,
        run_minutes=round(run * minutes, 1),
        processes=len(crowd),
        sweep_minutes=round(statistics.mean(side_by_side) * minutes * SWEEP_RUNS / len(crowd), 1),
    )


# What follows runs in the processes that measure.


class _Plateau(Recorder):
    """Tells when the training loss was low enough."""

    reached = False

    def rows(self, rows: Sequence[Row]) -> None:
        self.reached = self.reached or rows[-1]["train/loss"] < PLATEAU_LOSS


class _Stopwatch:
    """Step times of a trainer, by whether the step evaluated the test rows."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.bare: list[float] = []
        self.evaluating: list[float] = []

    def run(self, steps: int) -> None:
        """Make one step unmeasured, then this many measured ones."""
        marks: list[float] = []

        def should_stop() -> bool:
            marks.append(time.perf_counter())
            if len(marks) > 1:
                even = self.trainer.step % 2 == 0  # eval_every is 2
                (self.evaluating if even else self.bare).append(marks[-1] - marks[-2])
            return len(marks) > steps

        self.trainer.run(Recorder(), (), should_stop)

    def times(self) -> dict[str, float]:
        """The medians, as the fields of `StepTime`."""
        bare, evaluating = statistics.median(self.bare), statistics.median(self.evaluating)
        return {"bare": 1e3 * bare, "evaluating": 1e3 * evaluating}


def _train_to_plateau(ln_type: str, file: str) -> dict[str, Any]:
    config = bench_config(ln_type, "fast", eval_every=RUN_STEPS)
    trainer, plateau = Trainer(config), _Plateau()
    trainer.run(plateau, (), lambda: plateau.reached or trainer.step >= PLATEAU_STEPS)
    torch.save(trainer.state(), file)
    return {"step": trainer.step}


def _compare(ln_type: str, file: str, rounds: int) -> dict[str, Any]:
    matmul: list[float] = []
    phases = {}
    for phase, state in (("start", None), ("plateau", torch.load(file))):
        watches = {name: _watch(ln_type, name, state) for name in ("plain", "fast")}
        for turn in range(rounds + 1):
            if turn == 1:  # the first was to warm up
                watches = {name: _Stopwatch(watch.trainer) for name, watch in watches.items()}
            watches["plain"].run(BLOCK_PLAIN)
            watches["fast"].run(BLOCK_FAST)
            matmul.append(_matmul_seconds())
        phases[phase] = {name: watch.times() for name, watch in watches.items()}
    dataset = watches["fast"].trainer.dataset
    return {
        "matmul_gflops": round(2e-9 * MATMUL_SIZE**3 / statistics.median(matmul), 1),
        "phases": phases,
        "vocab": dataset.vocab,
        "n_train": len(dataset.train),
        "n_test": len(dataset.test),
    }


def _alone(ln_type: str, file: str, rounds: int) -> dict[str, Any]:
    watch = _watch(ln_type, "fast", torch.load(file))
    watch.run(BLOCK_FAST)
    watch = _Stopwatch(watch.trainer)
    watch.run(BLOCK_FAST * rounds)
    return {"times": watch.times(), "peak_mb": _peak_mb()}


def _watch(ln_type: str, engine: str, state: dict[str, Any] | None) -> _Stopwatch:
    trainer = Trainer(bench_config(ln_type, engine))
    if state is not None:
        trainer.load(copy.deepcopy(state))
    return _Stopwatch(trainer)


def _matmul_seconds() -> float:
    a, b = torch.ones(2, MATMUL_SIZE, MATMUL_SIZE).unbind()
    out = torch.empty_like(a)
    start = time.perf_counter()
    torch.mm(a, b, out=out)
    return time.perf_counter() - start


def _peak_mb() -> float:
    """Largest memory that this process has held, in MB."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (FileNotFoundError, IndexError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)


JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "plateau": _train_to_plateau,
    "compare": _compare,
    "alone": _alone,
}


def _work(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Do the jobs at the same time, each in a process of its own."""
    command = [sys.executable, "-m", "grok_cli.bench"]
    workers = [
        subprocess.Popen([*command, json.dumps(job)], stdout=subprocess.PIPE, text=True)
        for job in jobs
    ]
    try:
        outputs = [worker.communicate()[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()  # one that has ended does not mind
    for worker in workers:
        if worker.returncode:
            raise GrokError(
                f"a measuring process ended with exit code {worker.returncode}; what it said, if "
                "anything, stands above"
            )
    return [json.loads(output) for output in outputs]


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    prepare_process(arguments.pop("threads"))
    try:
        print(json.dumps(JOBS[arguments.pop("job")](**arguments)))
    except KeyboardInterrupt:
        sys.exit(130)
