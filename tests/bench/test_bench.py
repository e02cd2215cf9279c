"""The benchmark: what it counts and reports, and that its workers work. No speed is asserted."""

import itertools
import json
import time
from dataclasses import asdict, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

from grok_cli.bench import products, worker
from grok_cli.bench.compare import Estimate, Result, _estimate, _results, measure
from grok_cli.bench.products import ProductsAlone, step_works, work_of
from grok_cli.bench.stopwatch import StepTime, Stopwatch, work_clock
from grok_cli.cli.bench import bench as bench_command
from grok_cli.core.config import Config
from grok_cli.core.engines.fast.products import OneDnnProducts
from grok_cli.core.training import Trainer
from grok_cli.errors import GrokError, UsageError
from tests.conftest import small_config


def test_time_of_a_step_is_the_mean_over_steps_with_and_without_evaluation() -> None:
    time = StepTime(bare=20.0, evaluating=50.0)
    assert (time.at(0), time.at(1), time.at(10)) == (20.0, 50.0, 23.0)
    assert time.evaluation == 30.0


@pytest.mark.parametrize(
    "train",
    [
        {"train__eval_every": 7},
        {"train__eval_spacing": "log", "train__evals_per_decade": 3},
        {"train__steps": 3, "train__until_grokked": True},
    ],
    ids=str,
)
def test_a_stopwatch_tells_steps_that_evaluate_from_those_that_do_not(
    train: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is read after each step, which takes 1 s, and an evaluation 4 s."""
    watch = Stopwatch(small_config(**train), lambda: watch.trainer.step + 4.0 * len(evaluated))
    evaluated: list[int] = []
    evaluate = watch.trainer.engine.evaluate

    def noted(rows: torch.Tensor) -> object:
        evaluated.append(watch.trainer.step)
        return evaluate(rows)

    monkeypatch.setattr(watch.trainer.engine, "evaluate", noted)
    watch.trainer.phases.sustained = 1
    watch.warm_up()
    assert watch.turns == []
    for _ in range(3):  # that begin at odd and at even steps
        watch.turn(seconds=4.0)
    assert watch.turns == [StepTime(bare=1000.0, evaluating=5000.0)] * 3


def test_the_least_of_a_stopwatchs_turns_is_reported() -> None:
    watch = Stopwatch(small_config())
    watch.turns = [StepTime(3.0, 9.0), StepTime(2.0, 12.0), StepTime(40.0, 10.0)]
    assert watch.best() == StepTime(2.0, 9.0)
    assert watch.usual() == StepTime(3.0, 10.0)


def test_a_stopwatch_says_that_a_run_diverges() -> None:
    ticks = itertools.count()
    watch = Stopwatch(small_config(opt__learning_rate=1e30), lambda: 1.0 * next(ticks))
    with pytest.raises(GrokError, match="not finite"):
        watch.turn(seconds=100.0)


def test_products_and_sums_are_counted() -> None:
    a, b, c = torch.ones(2, 3), torch.ones(3, 5), torch.ones(4, 2, 3)

    def code() -> None:
        a @ b  # 2 * 3 * 5 multiply-adds
        torch.zeros(2, 5).addmm_(a, b)  # the same
        c @ c.mT  # 4 * 2 * 3 * 2
        OneDnnProducts.of(a, b.T)  # the first again
        torch.embedding_bag(a, torch.tensor([0, 1, 1]), torch.tensor([0]))  # 3 lines of 3
        a * a + a  # no product

    work = work_of(code)
    assert work.product_flop == 2 * (30 + 30 + 48 + 30)
    assert work.sum_flop == 2 * 9
    assert ProductsAlone(work.products).milliseconds() > 0


def test_speed_is_operations_of_a_product_by_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 x 64 x 64 multiply-adds in half a second."""
    ticks = iter((10.0, 10.5))
    monkeypatch.setattr(products, "MATMUL_SIZE", 64)
    monkeypatch.setattr(products, "work_clock", lambda: lambda: next(ticks))
    assert products.matmul_gflops() == pytest.approx(2 * 64**3 / 0.5 / 1e9)


def test_one_thread_is_timed_by_the_processor_and_several_by_the_wall_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for threads, clock in ((1, time.process_time), (2, time.perf_counter)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert work_clock() is clock


def test_memory_is_the_most_that_was_held_in_megabytes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    status = tmp_path / "status"
    status.write_text("VmPeak:\t  999999 kB\nVmHWM:\t  2048 kB\nVmRSS:\t   1024 kB\n")
    monkeypatch.setattr(worker, "Path", lambda place: status)
    assert worker.peak_mb() == 2.0


def test_a_step_makes_three_products_a_row_and_an_evaluation_one() -> None:
    """hidden * vocab multiply-adds a row forward, and twice that for the gradient; the rest are
    products of factors, which do not grow with the rows."""
    trainer = Trainer(small_config(model__ln_type="off"))
    dataset, hidden = trainer.dataset, trainer.config.model.d_mlp
    per_row = 2 * hidden * dataset.vocab
    of_rows = [
        sum(product.flop for product in work.products if rows in product.left.size)
        for work, rows in zip(
            step_works(trainer), (len(dataset.train), len(dataset.test)), strict=True
        )
    ]
    assert of_rows == [3 * per_row * len(dataset.train), per_row * len(dataset.test)]
    # 2 terms a head and a constant, each a line of the table: forward, and the gradients of table
    # and weights; and the gradient of three scores a row and head.
    heads, columns = trainer.config.model.n_heads, trainer.engine.form.kernel.columns
    sums = [work.sum_flop for work in step_works(trainer)]
    per_row = 2 * (2 * heads + 1) * columns
    assert sums == [
        (3 * per_row + 2 * 3 * heads) * len(dataset.train),
        per_row * len(dataset.test),
    ]


@pytest.fixture
def small_bench(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Measures small models, in this process; returns the jobs that were asked for."""

    def config(ln_type: str, engine: str, kernels: str = "auto") -> Config:
        return small_config(
            **{"model__ln_type": ln_type, "train__steps": 10_000},
            **{"run__engine": engine, "run__kernels": kernels},
        )

    asked: list[list[str]] = []

    def work(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        asked.append([job["job"] for job in jobs])
        hidden = ("job", "threads")
        return [
            worker.JOBS[job["job"]](**{k: v for k, v in job.items() if k not in hidden})
            for job in jobs
        ]

    monkeypatch.setattr(worker, "bench_config", config)
    monkeypatch.setattr(worker, "PLATEAU_STEPS", 30)
    monkeypatch.setattr(products, "MATMUL_SIZE", 64)
    monkeypatch.setattr(Stopwatch.turn, "__defaults__", (0.0,))
    monkeypatch.setattr(worker, "work", work)
    return asked


def test_there_is_a_result_for_every_combination(small_bench: list[list[str]]) -> None:
    timings = measure(["off", "pre"], [0, 10], threads=[1, 2], rounds=1, cores=2)
    results = asdict(timings)["results"]
    assert [list(result) for result in results] == [[f.name for f in fields(Result)]] * 16
    combinations = {(r["ln_type"], r["eval_every"], r["threads"], r["phase"]) for r in results}
    assert len(combinations) == 16
    for result in timings.results:
        assert result.speedup == pytest.approx(result.plain_ms / result.fast_ms, rel=0.2)
        assert result.other_ms == pytest.approx(result.fast_ms - result.products_ms, abs=0.02)
        assert result.matmul_share * result.fast_ms * result.matmul_gflops == pytest.approx(
            1e3 * result.product_gflop, rel=0.2
        )
        assert result.peak_mb > 50
        assert result.kernels == "numba"
        assert result.step_gain > 0
    assert small_bench[0] == ["plateau", "plateau"]
    # One thread on two cores: two processes side by side; two threads: one.
    assert small_bench[1:5] == [["compare"], ["alone", "alone"], ["compare"], ["alone"]]
    assert [(e.threads, e.processes) for e in timings.estimates[:3:2]] == [(1, 2), (2, 1)]
    first = timings.estimates[0]
    assert 0 < first.cores < 3
    in_plateau = next(r for r in timings.results if r.phase == "plateau")
    assert first.run_minutes == round(in_plateau.fast_ms * 10_000 / 60_000, 1)


TIMES = {"plain": StepTime(40, 60), "torch": StepTime(8, 14), "fast": StepTime(4, 6)}
COMPARED = {
    "kernels": "numba",
    "phases": {"start": {name: asdict(time) for name, time in TIMES.items()}},
    "products_ms": asdict(StepTime(2, 4)),
    "product_gflop": asdict(StepTime(1, 3)),
    "sum_gflop": asdict(StepTime(0.5, 0.7)),
    "matmul_gflops": 1000.0,
}
CROWD = [
    {"peak_mb": 300.0, "cores": 0.9, "times": asdict(StepTime(5, 5))},
    {"peak_mb": 400.0, "cores": 0.8, "times": asdict(StepTime(7, 7))},
]


def test_a_line_of_the_table_on_paper() -> None:
    """Milliseconds of a step and of one that evaluates; every tenth does."""
    (result,) = _results("pre", 2, 10, COMPARED, CROWD)
    assert result == Result(
        **{"ln_type": "pre", "eval_every": 10, "threads": 2, "phase": "start", "kernels": "numba"},
        **{"plain_ms": 42.0, "torch_ms": 8.6, "fast_ms": 4.2, "speedup": 10.0},
        **{"step_gain": 2.0, "evaluation_gain": 3.0},
        **{"products_ms": 1.1, "other_ms": 3.1},  # 2.2 ms of two threads
        **{"product_gflop": 1.2, "sum_gflop": 0.52, "matmul_gflops": 1000.0},
        **{"matmul_share": 0.285714, "peak_mb": 400.0},  # 1.2 ms of 4.2
    )
    # 10,000 steps of 4.2 ms; 20 runs of 10,000 steps of 6 ms in two processes.
    assert _estimate(result, CROWD) == Estimate("pre", 10, 2, 0.7, 2, 10.0, 0.8)


def test_runs_are_in_their_plateau_side_by_side_as_many_as_fit_and_one_at_least(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def work(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        asked.extend(jobs)
        assert {job["threads"] for job in jobs} == {jobs[0]["threads"]}
        return [COMPARED if job["job"] == "compare" else CROWD[0] for job in jobs]

    monkeypatch.setattr(worker, "work", work)
    measure(["off"], [10], threads=[1], rounds=7, cores=1)
    (trained, compared, alone), asked[:] = asked, []
    assert compared["phases"] == {"start": None, "plateau": trained["file"]}
    assert alone["file"] == trained["file"]
    assert compared["rounds"] == alone["rounds"] == 7
    timings = measure(["off"], [10], threads=[1, 2, 3, 5], plateau=False, cores=4)
    assert {job.get("file") for job in asked} == {None}
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)  # as many cores, unless told otherwise
    (of_all,) = measure(["off"], [10], threads=[2], plateau=False).estimates
    assert of_all.processes == 3
    assert [(e.threads, e.processes) for e in timings.estimates] == [(1, 4), (2, 2), (3, 1), (5, 1)]


class Canned:
    """A stopwatch, and what makes products: the least or best, and the usual, are known."""

    trainer = SimpleNamespace(engine=SimpleNamespace(kernels="numba"))

    def __init__(self, products: str = "") -> None:
        self.turns = 0
        self.alone = iter((4.0, 3.0, 2.0, 5.0) if products == "train" else (1.0, 0.5, 2.0, 3.0))

    def warm_up(self) -> None:
        assert self.turns == 0

    def turn(self) -> None:
        self.turns += 1

    def best(self) -> StepTime:
        return StepTime(self.turns, 10)

    def usual(self) -> StepTime:
        return StepTime(self.turns, 20)

    def milliseconds(self) -> float:
        return next(self.alone)


def test_engines_are_compared_by_their_best_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    works = [
        SimpleNamespace(products="train", product_flop=3e9, sum_flop=5e8),
        SimpleNamespace(products="test", product_flop=1e9, sum_flop=1e8),
    ]
    speeds, begun = iter((100.0, 200.0, 150.0, 50.0)), []

    def watch(ln_type: str, engine: str, file: str | None, *how: object) -> Canned:
        begun.append((engine, file, *how[1:]))
        return Canned()

    monkeypatch.setattr(worker, "_watch", watch)
    monkeypatch.setattr(worker, "Trainer", lambda config: None)
    monkeypatch.setattr(worker, "step_works", lambda trainer: works)
    monkeypatch.setattr(worker, "ProductsAlone", Canned)
    monkeypatch.setattr(worker, "matmul_gflops", lambda: next(speeds))
    found = worker.compare("off", {"start": None, "plateau": "state.pt"}, rounds=2)
    engines = [("plain", "torch"), ("fast", "auto"), ("fast", "torch")]
    assert begun == [(e, file, k) for file in (None, "state.pt") for e, k in engines]
    assert found == {
        "kernels": "numba",
        "phases": dict.fromkeys(
            ("start", "plateau"),
            dict.fromkeys(("plain", "fast", "torch"), asdict(StepTime(2, 10))),
        ),
        "matmul_gflops": 200.0,
        "products_ms": asdict(StepTime(2.0, 2.5)),
        "product_gflop": asdict(StepTime(3.0, 4.0)),
        "sum_gflop": asdict(StepTime(0.5, 0.6)),
    }
    monkeypatch.setattr(worker, "_watch", lambda *_: Canned())
    alone = worker.alone("off", None, rounds=3)
    assert alone["times"] == asdict(StepTime(3, 20))  # with whatever else runs


def test_a_run_is_trained_until_its_loss_is_low_or_for_so_many_steps(
    small_bench: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "state.pt"
    assert worker.train_to_plateau("off", str(file)) == {"step": 30}
    monkeypatch.setattr(worker, "PLATEAU_LOSS", 1e9)
    step = worker.train_to_plateau("off", str(file))["step"]
    assert step < 5
    assert torch.load(file)["step"] == step


def test_a_measuring_process_begins_with_the_state_of_its_phase(
    small_bench: list[list[str]], tmp_path: Path
) -> None:
    trainer = Trainer(worker.bench_config("off", "plain"))
    trainer.run(should_stop=lambda: trainer.step == 3)
    torch.save(trainer.state(), tmp_path / "state.pt")
    watched = worker._watch("off", "plain", str(tmp_path / "state.pt")).trainer
    assert watched.step == 3
    assert watched.model.embed.equal(trainer.model.embed)
    assert worker._watch("off", "plain", None).trainer.step == 0


def test_engines_are_measured_under_their_names() -> None:
    found = {name: worker.bench_config("pre", *which) for name, which in worker.ENGINES.items()}
    assert {
        name: (c.run.engine, c.run.kernels) for name, c in found.items() if name != "plain"
    } == {
        "torch": ("fast", "torch"),
        "fast": ("fast", "auto"),
    }
    assert found["plain"].run.engine == "plain"
    assert {(c.run.device, c.model.ln_type) for c in found.values()} == {("cpu", "pre")}


def test_cores_are_processor_seconds_a_second(
    small_bench: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks = {"perf_counter": iter((100.0, 110.0)), "process_time": iter((7.0, 12.0))}
    fake = SimpleNamespace(**{name: lambda of=of: next(of) for name, of in clocks.items()})
    monkeypatch.setattr(worker, "time", fake)
    assert worker.alone("off", None, rounds=1)["cores"] == 0.5


def test_a_step_that_evaluates_takes_both() -> None:
    assert worker._step([3.0, 4.0]) == StepTime(bare=3.0, evaluating=7.0)


def test_a_measuring_process_that_fails_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended:
        def __init__(self, command: list[str], **_: object) -> None:
            self.returncode = json.loads(command[-1])["exit"]

        def communicate(self) -> tuple[str, None]:
            return "[]", None

        def kill(self) -> None:
            """It has ended."""

    monkeypatch.setattr(worker.subprocess, "Popen", Ended)
    assert worker.work([{"exit": 0}]) == [[]]
    with pytest.raises(GrokError, match="ended with exit code 3"):
        worker.work([{"exit": 0}, {"exit": 3}])


def test_the_quick_form_measures_the_start_only(small_bench: list[list[str]]) -> None:
    timings = measure(["off"], [10], threads=[1], rounds=1, plateau=False, cores=1)
    assert [result.phase for result in timings.results] == ["start"]
    assert small_bench == [["compare"], ["alone"]]


def test_command_prints_the_timings_as_json(small_bench: list[list[str]]) -> None:
    app = typer.Typer()
    app.command()(bench_command)
    flags = ["--ln-type", "off", "--eval-every", "10", "--threads", "1", "--rounds", "1"]
    answer = CliRunner().invoke(app, [*flags, "--json"])
    assert answer.exit_code == 0, answer.output
    timings = json.loads(answer.stdout)
    assert [r["phase"] for r in timings["results"]] == ["start"]
    assert timings["results"][0]["matmul_gflops"] > 0
    table = CliRunner().invoke(app, [*flags, "--full"])
    assert "plateau" in table.stdout
    assert "GFLOP/s on 1" in table.stdout


@pytest.mark.parametrize(
    "flags", [["--threads", "0"], ["--eval-every", "ten"], ["--ln-type", "nowhere"]]
)
def test_wrong_lists_are_usage_errors(flags: list[str]) -> None:
    app = typer.Typer()
    app.command()(bench_command)
    answer = CliRunner().invoke(app, flags)
    assert isinstance(answer.exception, UsageError)
    assert flags[0] in str(answer.exception)


def test_a_measuring_process_reports_step_time_and_memory(tmp_path: Path) -> None:
    job = {"job": "alone", "threads": 1, "ln_type": "off", "file": None, "rounds": 1}
    (result,) = worker.work([job])
    assert min(result["times"].values()) > 0
    assert 50 < result["peak_mb"] < 1000
