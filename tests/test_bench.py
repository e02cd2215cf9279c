"""The benchmark: what it counts and reports, and that its workers work. No speed is asserted."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

from grok_cli import bench
from grok_cli.bench import StepTime, bench_config, measure, multiply_adds
from grok_cli.cli.bench import bench as bench_command
from grok_cli.core.config import Config
from grok_cli.core.training import Trainer
from grok_cli.errors import UsageError
from tests.conftest import small_config

RESULT_KEYS = "ln_type eval_every threads phase plain_ms fast_ms speedup matmul_share peak_mb"


def test_time_of_a_step_is_the_mean_over_steps_with_and_without_evaluation() -> None:
    time = StepTime(bare=20.0, evaluating=50.0)
    assert (time.at(0), time.at(1), time.at(10)) == (20.0, 50.0, 23.0)


def test_multiply_adds_of_the_published_sizes() -> None:
    # d * hidden + d * vocab + hidden * vocab a row, three times that with the gradient.
    row = 128 * 512 + 128 * 114 + 512 * 114
    off = bench_config("off", "fast")
    assert multiply_adds(off, 114, n_train=0, n_test=1) == row == 138_496
    assert multiply_adds(off, 114, n_train=3831, n_test=0) == 3 * 3831 * row
    assert multiply_adds(bench_config("pre", "fast"), 114, 0, 1) == row + 128 * 128
    assert multiply_adds(bench_config("attn-pre", "fast"), 114, 0, 1) == row


@pytest.fixture
def small_bench(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Measures small models, in this process; returns the jobs that were asked for."""

    def config(ln_type: str, engine: str, eval_every: int = 2) -> Config:
        return small_config(
            model__ln_type=ln_type,
            run__engine=engine,
            train__eval_every=eval_every,
            train__steps=bench.RUN_STEPS,
        )

    asked: list[list[str]] = []

    def work(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        asked.append([job["job"] for job in jobs])
        hidden = ("job", "threads")
        return [
            bench.JOBS[job["job"]](**{k: v for k, v in job.items() if k not in hidden})
            for job in jobs
        ]

    monkeypatch.setattr(bench, "bench_config", config)
    monkeypatch.setattr(bench, "PLATEAU_STEPS", 30)
    monkeypatch.setattr(bench, "MATMUL_SIZE", 64)
    monkeypatch.setattr(bench, "_work", work)
    return asked


def test_there_is_a_result_for_every_combination(small_bench: list[list[str]]) -> None:
    timings = measure(["off", "pre"], [0, 10], threads=[1, 2], rounds=1, cores=2)
    results = asdict(timings)["results"]
    assert [list(result) for result in results] == [RESULT_KEYS.split()] * 16
    combinations = {(r["ln_type"], r["eval_every"], r["threads"], r["phase"]) for r in results}
    assert len(combinations) == 16
    for result in timings.results:
        assert result.speedup == pytest.approx(result.plain_ms / result.fast_ms, rel=0.2)
        assert result.matmul_share > 0
        assert result.peak_mb > 50
    assert timings.matmul_gflops > 0
    assert small_bench[0] == ["plateau", "plateau"]
    # One thread on two cores: two processes side by side; two threads: one.
    assert small_bench[1:4] == [["compare"], ["alone"], ["alone", "alone"]]
    assert small_bench[4:7] == [["compare"], ["alone"], ["alone"]]
    assert [(e.threads, e.processes) for e in timings.estimates[:3:2]] == [(1, 2), (2, 1)]


def test_command_prints_the_timings_as_json(small_bench: list[list[str]]) -> None:
    app = typer.Typer()
    app.command()(bench_command)
    flags = ["--ln-type", "off", "--eval-every", "10", "--threads", "1", "--rounds", "1"]
    answer = CliRunner().invoke(app, [*flags, "--json"])
    assert answer.exit_code == 0, answer.output
    timings = json.loads(answer.stdout)
    assert {"matmul_gflops", "results"} <= set(timings)
    assert [r["phase"] for r in timings["results"]] == ["start", "plateau"]
    table = CliRunner().invoke(app, flags)
    assert "plateau" in table.stdout
    assert "GFLOP/s" in table.stdout


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
    file = tmp_path / "state.pt"
    torch.save(Trainer(bench_config("off", "fast")).state(), file)
    job = {"job": "alone", "threads": 1, "ln_type": "off", "file": str(file), "rounds": 1}
    (result,) = bench._work([job])
    assert min(result["times"].values()) > 0
    assert 50 < result["peak_mb"] < 1000
