"""What a run records of its sessions: with what, for how long, and what follows for the next."""

import json
import os
import platform
import re
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from grok_cli.core.process import ProcessFacts
from grok_cli.core.training import Trainer
from grok_cli.errors import GrokWarning
from grok_cli.runs import environment as environment_module
from grok_cli.runs import recorder
from grok_cli.runs.directory import RunDir
from grok_cli.runs.environment import environment, warn_of_other_kernels, with_its_kernels
from grok_cli.runs.launch import train_run
from grok_cli.version import __version__
from tests.conftest import small_config, small_run


def test_a_run_that_goes_on_counts_all_its_time_and_knows_what_was_measured_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step takes a second; one metric is measured at step 1 only."""
    now = 0.0

    def stop(at: int) -> bool:
        nonlocal now
        now += 1
        return now == at

    monkeypatch.setattr(recorder, "time", SimpleNamespace(monotonic=lambda: now))
    config = small_config(run__kernels="torch", measure__diagnostics={"margin": 1000})
    run = RunDir(tmp_path)
    run.write_config(config)
    for last in (10, 60):
        train_run(run, config, should_stop=lambda last=last: stop(last % 60))
        summary = run.summary()
        told = [summary[key] for key in ("step", "seconds", "steps_per_second")]
        assert told == [last, last, 1.0]
        assert "test/top2_margin" in summary["final"]
    assert [session["from_step"] for session in run.sessions()] == [0, 10]


def test_times_are_told_to_the_thousandth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(10**6))
    clock = SimpleNamespace(monotonic=lambda: next(now) * 0.12345)
    monkeypatch.setattr(recorder, "time", clock)
    run, config = small_run(tmp_path, train__steps=20), small_config(train__steps=20)
    train_run(run, config)
    summary = json.loads(run.summary_file.read_text())
    for value in (summary["seconds"], summary["steps_per_second"]):
        assert len(str(value).partition(".")[2]) == 3, value
    assert summary["steps"] == summary["step"] == 20


def test_a_run_goes_on_with_the_kernels_of_its_last_session(tmp_path: Path) -> None:
    run, fast = small_run(tmp_path), {"engine": "FastEngine", "device": "cpu"}
    assert with_its_kernels(run, small_config()).run.kernels == "auto"
    run.origin_file.write_text(json.dumps(fast | {"kernels": "numba"}))  # a branch that has begun
    assert with_its_kernels(run, small_config()).run.kernels == "numba"
    for sessions, kernels in (
        ([fast | {"kernels": "numba"}, fast | {"kernels": "torch"}], "torch"),
        ([fast | {"kernels": "torch"}, fast | {"kernels": "numba"}], "numba"),
        ([fast], "torch"),  # of a version that had no others
        ([fast | {"kernels": "numba", "device": "cuda"}], "auto"),
        ([fast | {"kernels": "numba", "engine": "PlainEngine"}], "auto"),
    ):
        run.environment_file.write_text(json.dumps(sessions))
        assert with_its_kernels(run, small_config()).run.kernels == kernels
        typed = small_config(run__kernels="torch")
        assert with_its_kernels(run, typed).run.kernels == "torch"


def test_going_on_with_other_kernels_is_said(tmp_path: Path) -> None:
    run, fast = small_run(tmp_path), {"engine": "FastEngine", "device": "cpu", "kernels": "numba"}
    run.environment_file.write_text(json.dumps([fast]))
    trainer = Trainer(small_config(run__kernels="torch"))
    with pytest.warns(
        GrokWarning, match=r"goes on with run\.kernels torch and had numba: from step 1"
    ):
        warn_of_other_kernels(run, trainer)
    train_run(run, small_config(run__kernels="torch"), should_stop=lambda: True)
    run.environment_file.write_text(json.dumps([fast]))
    with pytest.warns(GrokWarning, match="from step 2 on"):
        train_run(run, small_config(run__kernels="torch"))
    run.environment_file.write_text(json.dumps([fast, fast | {"kernels": "torch"}]))
    warn_of_other_kernels(run, trainer)  # a warning would be an error


def test_the_environment_says_what_computed(tmp_path: Path) -> None:
    for engine, name in (("plain", "PlainEngine"), ("fast", "FastEngine")):
        trainer = Trainer(small_config(run__engine=engine))
        facts = environment(trainer, ProcessFacts(3, True))
        assert (facts["engine"], facts["threads"], facts["flush_denormal"]) == (name, 3, True)
        assert (facts["torch"], facts["device"]) == (torch.__version__, "cpu")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", facts["started"])


def test_the_environment_names_versions_machine_and_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/grok", "train", "--name", "my run"])
    facts = environment(Trainer(small_config(train__loss_dtype="float64")), ProcessFacts(1, False))
    assert list(facts) == [
        *("started", "command", "grok_cli", "git", "python", "torch", "host", "system", "cpu"),
        *("cores", "threads", "flush_denormal", "device", "gpu", "engine", "kernels"),
        "loss_dtype",
    ]
    assert facts["command"] == "grok train --name 'my run'"
    assert (facts["grok_cli"], facts["python"]) == (__version__, platform.python_version())
    assert (facts["host"], facts["cores"]) == (socket.gethostname(), os.cpu_count())
    assert (facts["system"], facts["loss_dtype"]) == (platform.platform(), "float64")
    assert facts["gpu"] is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("processor: 0\nmodel name\t: AMD EPYC: 3\nmodel name: second", "AMD EPYC: 3"),
        ("processor: 0", "what the platform says"),
        (None, "what the platform says"),
    ],
)
def test_the_processor_is_the_first_that_the_system_names(
    text: str | None, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_text(path: Path, *arguments: object, **options: object) -> str:
        if text is None or path != Path("/proc/cpuinfo"):
            raise FileNotFoundError
        return text

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(platform, "processor", lambda: "what the platform says")
    assert environment_module._cpu_model() == named
