"""The plain engine against the fast one, that with and without its kernels, and how long runs will
take.

They take turns in one process, as other work on the machine slows both. Two phases are
measured:

    start    the first steps of a run
    plateau  weights after the training loss first was below 1e-6, or after 1,500 steps where it
             does not get there (with norms it hovers higher)
"""

import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from grok_cli.bench import worker
from grok_cli.bench.stopwatch import StepTime

RUN_STEPS, SWEEP_RUNS = 10_000, 20


@dataclass(frozen=True)
class Result:
    """One line of the table.

    Attributes:
        kernels: what the fast engine computes with here (`run.kernels`).
        plain_ms, fast_ms: milliseconds of a training step and its share of evaluations.
        torch_ms: the same of the fast engine with `run.kernels: torch`.
        step_gain: how many times as long a step without evaluation takes with torch's kernels.
        evaluation_gain: how many times as long an evaluation of the test rows does.
        products_ms: of them, what the fast engine's matrix products take alone, shared evenly by
            the threads.
        other_ms: what no product explains.
        product_gflop: operations of these products in a step, in billions.
        sum_gflop: operations of its weighted sums of table lines.
        matmul_gflops: speed of a large float32 product, in billions of operations a second.
        matmul_share: what share of the step its products would take at that speed.
    """

    ln_type: str
    eval_every: int
    threads: int
    phase: str
    kernels: str
    plain_ms: float
    torch_ms: float
    fast_ms: float
    speedup: float
    step_gain: float
    evaluation_gain: float
    products_ms: float
    other_ms: float
    product_gflop: float
    sum_gflop: float
    matmul_gflops: float
    matmul_share: float
    peak_mb: float


@dataclass(frozen=True)
class Estimate:
    """What runs of 10,000 steps take by the last phase that was measured.

    Attributes:
        run_minutes: one run alone.
        processes: how many processes run side by side in a sweep.
        sweep_minutes: 20 runs in that many processes, measured side by side.
        cores: how many cores each process had on average meanwhile; less than one if other work
            kept the machine busy.
    """

    ln_type: str
    eval_every: int
    threads: int
    run_minutes: float
    processes: int
    sweep_minutes: float
    cores: float


@dataclass(frozen=True)
class Timings:
    """All measurements; `asdict` of it is the command's JSON."""

    results: list[Result]
    estimates: list[Estimate]


def measure(
    ln_types: Sequence[str],
    eval_every: Sequence[int],
    threads: Sequence[int],
    rounds: int = 8,
    plateau: bool = True,
    cores: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Timings:
    """Measure all combinations.

    Args:
        eval_every: steps between evaluations of the test rows; 0 for none.
        rounds: turns of each engine.
        plateau: measure the plateau, too, to which a run is trained first.
        cores: how many cores a sweep may use; None for all.
        say: is told what is being done.
    """
    cores = cores or torch.get_num_threads()
    results: list[Result] = []
    estimates: list[Estimate] = []
    with tempfile.TemporaryDirectory() as directory:
        files: dict[str, str | None] = dict.fromkeys(ln_types)
        if plateau:
            say(f"training to the plateau: {', '.join(ln_types)}")
            files = {ln_type: str(Path(directory) / f"{ln_type}.pt") for ln_type in ln_types}
            job = {"job": "plateau", "threads": 1}
            worker.work([job | {"ln_type": name, "file": file} for name, file in files.items()])
        for ln_type, file in files.items():
            phases = {"start": None} | ({"plateau": file} if file else {})
            for n in threads:
                job = {"ln_type": ln_type, "threads": n, "rounds": rounds}
                threads_in_words = f"{n} thread{'s' * (n > 1)}"
                say(f"{ln_type}, {threads_in_words}: plain and fast in turn")
                (compared,) = worker.work([job | {"job": "compare", "phases": phases}])
                say(f"{ln_type}, {threads_in_words}: runs side by side")
                alone = job | {"job": "alone", "file": file}
                crowd = worker.work([alone] * max(1, cores // n))
                for every in eval_every:
                    found = list(_results(ln_type, n, every, compared, crowd))
                    results += found
                    estimates.append(_estimate(found[-1], crowd))
    return Timings(results, estimates)


def _results(
    ln_type: str, threads: int, every: int, compared: dict[str, Any], crowd: list[dict[str, Any]]
) -> Iterable[Result]:
    """The results of all phases."""
    products, product_gflop, sum_gflop = (
        StepTime(**compared[name]).at(every)
        for name in ("products_ms", "product_gflop", "sum_gflop")
    )
    for phase, times in compared["phases"].items():
        of_plain, of_torch, of_fast = (StepTime(**times[n]) for n in ("plain", "torch", "fast"))
        plain, fast = of_plain.at(every), of_fast.at(every)
        yield Result(
            ln_type=ln_type,
            eval_every=every,
            threads=threads,
            phase=phase,
            kernels=compared["kernels"],
            plain_ms=round(plain, 2),
            torch_ms=round(of_torch.at(every), 2),
            fast_ms=round(fast, 2),
            speedup=round(plain / fast, 2),
            step_gain=round(of_torch.bare / of_fast.bare, 2),
            evaluation_gain=round(of_torch.evaluation / max(of_fast.evaluation, 1e-6), 2),
            products_ms=round(products / threads, 2),
            other_ms=round(fast - products / threads, 2),
            product_gflop=round(product_gflop, 6),
            sum_gflop=round(sum_gflop, 6),
            matmul_gflops=round(compared["matmul_gflops"], 1),
            matmul_share=round(1e3 * product_gflop / compared["matmul_gflops"] / fast, 6),
            peak_mb=round(max(one["peak_mb"] for one in crowd), 1),
        )


def _estimate(last: Result, crowd: list[dict[str, Any]]) -> Estimate:
    side_by_side = statistics.mean(StepTime(**one["times"]).at(last.eval_every) for one in crowd)
    minutes = RUN_STEPS / 60_000
    return Estimate(
        ln_type=last.ln_type,
        eval_every=last.eval_every,
        threads=last.threads,
        run_minutes=round(last.fast_ms * minutes, 1),
        processes=len(crowd),
        sweep_minutes=round(side_by_side * minutes * SWEEP_RUNS / len(crowd), 1),
        cores=round(min(one["cores"] for one in crowd), 2),
    )
