"""The process that measures: `python -m grok_cli.bench.worker JOB`, JSON in and out.

A process keeps its pool of threads, so that each number of threads is measured in a new one.
"""

import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from grok_cli.bench.products import ProductsAlone, matmul_gflops, step_works
from grok_cli.bench.stopwatch import StepTime, Stopwatch, work_clock
from grok_cli.core.config import Config
from grok_cli.core.process import one_thread, prepare_process
from grok_cli.core.training import Recorder, Row, Trainer
from grok_cli.errors import GrokError

ENGINES = {"plain": ("plain", "torch"), "fast": ("fast", "auto"), "torch": ("fast", "torch")}
PLATEAU_LOSS, PLATEAU_STEPS = 1e-6, 1500


def bench_config(ln_type: str, engine: str, kernels: str = "auto") -> Config:
    """The published run with this placement, on the CPU."""
    run = {"engine": engine, "kernels": kernels, "device": "cpu"}
    return Config.model_validate({"model": {"ln_type": ln_type}, "run": run})


class _Plateau(Recorder):
    """Tells when the training loss was low enough."""

    reached = False

    def rows(self, rows: Sequence[Row]) -> None:
        self.reached = self.reached or rows[-1]["train/loss"] < PLATEAU_LOSS


def train_to_plateau(ln_type: str, file: str) -> dict[str, Any]:
    """Write the state of a run in its plateau."""
    trainer, plateau = Trainer(bench_config(ln_type, "fast")), _Plateau()
    trainer.run(plateau, (), lambda: plateau.reached or trainer.step >= PLATEAU_STEPS)
    torch.save(trainer.state(), file)
    return {"step": trainer.step}


def compare(ln_type: str, phases: dict[str, str | None], rounds: int) -> dict[str, Any]:
    """Step times of the plain engine, the fast one, and that with torch's kernels, in turn, from
    the states in files (None: the first steps), and of the products that the fast engine makes."""
    with one_thread():
        works = step_works(Trainer(bench_config(ln_type, "fast", "onednn")))  # sums in torch, too
    products = [ProductsAlone(work.products) for work in works]
    gflops: list[float] = []
    alone: list[list[float]] = [[], []]
    phase_times = {}
    for phase, file in phases.items():
        clock = work_clock()
        watches = {
            name: _watch(ln_type, engine, file, clock, kernels)
            for name, (engine, kernels) in ENGINES.items()
        }
        for watch in watches.values():
            watch.warm_up()
        for _ in range(rounds):
            for watch in watches.values():
                watch.turn()
            for times, made in zip(alone, products, strict=True):
                times.append(made.milliseconds())
            gflops.append(matmul_gflops())
        phase_times[phase] = {name: asdict(watch.best()) for name, watch in watches.items()}
    return {
        "kernels": watches["fast"].trainer.engine.kernels,
        "phases": phase_times,
        "matmul_gflops": max(gflops),
        "products_ms": asdict(_step([min(times) for times in alone])),
        "product_gflop": asdict(_step([1e-9 * work.product_flop for work in works])),
        "sum_gflop": asdict(_step([1e-9 * work.sum_flop for work in works])),
    }


def alone(ln_type: str, file: str | None, rounds: int) -> dict[str, Any]:
    """Step times of the fast engine, with whatever else runs, the memory it takes, and the cores
    that it had on average."""
    watch = _watch(ln_type, "fast", file)
    watch.warm_up()
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(rounds):
        watch.turn()
    cores = (time.process_time() - processor) / (time.perf_counter() - wall)
    return {"times": asdict(watch.usual()), "peak_mb": peak_mb(), "cores": cores}


def _step(parts: Sequence[float]) -> StepTime:
    """From what the training rows take and what the test rows do, what a step takes."""
    step, evaluation = parts
    return StepTime(step, step + evaluation)


def _watch(
    ln_type: str,
    engine: str,
    file: str | None,
    clock: Callable[[], float] = time.perf_counter,
    kernels: str = "auto",
) -> Stopwatch:
    watch = Stopwatch(bench_config(ln_type, engine, kernels), clock)
    if file is not None:
        watch.trainer.load(copy.deepcopy(torch.load(file)))
    return watch


def peak_mb() -> float:
    """Largest memory that this process has held, in MB."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (FileNotFoundError, IndexError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)


JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "plateau": train_to_plateau,
    "compare": compare,
    "alone": alone,
}


def work(jobs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Do jobs (the name as `job`, `threads`, and its arguments) at the same time, each in a
    process of its own.

    Raises:
        GrokError: one of them failed.
    """
    command = [sys.executable, "-m", "grok_cli.bench.worker"]
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
