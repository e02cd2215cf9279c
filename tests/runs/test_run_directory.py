"""Run directories: killed, resumed, contended, damaged."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas
import pytest
import torch

from grok_cli.core.training import Recorder
from grok_cli.errors import GrokError
from grok_cli.runs import claim as claims
from grok_cli.runs.checkpoints import load_snapshot
from grok_cli.runs.claim import Claim, ClaimedError
from grok_cli.runs.directory import RunDir, create_run
from grok_cli.runs.files import write_atomically
from grok_cli.runs.launch import train_run
from grok_cli.runs.tensor_files import CheckpointError
from tests.conftest import SMALL_FLAGS, small_config, stopped_run
from tests.typed import Grok
from tests.waiting import PATIENCE, wait_for


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run of 60 steps that nothing disturbed."""
    config = small_config()
    run = create_run(tmp_path_factory.mktemp("runs") / "whole", config)
    assert train_run(run, config).status == "finished"
    return run


def test_directory_holds_what_it_says(finished: RunDir) -> None:
    names = {path.name for path in finished.path.iterdir()}
    assert names == {
        "config.yaml",
        "environment.json",
        "metrics.csv",
        "resume.pt",
        "resume.previous.pt",
        "snapshots",
        "summary.json",
    }
    assert finished.config() == small_config()
    summary = finished.summary()
    assert (summary["status"], summary["step"]) == ("finished", 60)
    facts = json.loads(finished.environment_file.read_text())
    assert facts[0]["torch"] == torch.__version__
    assert facts[0]["threads"] == 1
    assert facts[0]["identity"] == small_config().identity()


def test_metrics_open_in_pandas_and_numbers_round_trip(finished: RunDir) -> None:
    table = pandas.read_csv(finished.metrics_file, float_precision="round_trip")
    assert table["step"].tolist() == list(range(1, 61))
    assert table["test/loss"].notna().sum() == 7  # step 1 and every tenth
    final = finished.summary()["final"]
    assert table["train/loss"].iloc[-1] == final["train/loss"]
    assert table["grads/update_norm"].iloc[-1] == final["grads/update_norm"]


def test_snapshot_reloads_the_model_that_was_measured(finished: RunDir) -> None:
    snapshot = load_snapshot(finished.snapshots()[-1])
    dataset = snapshot.dataset()
    logits = snapshot.model(dataset.vocab)(dataset.tokens[dataset.test])
    accuracy = (logits.argmax(1) == dataset.labels[dataset.test]).double().mean().item()
    assert snapshot.step == 60
    assert accuracy == pytest.approx(finished.summary()["final"]["test/accuracy"], abs=1e-12)


@pytest.mark.slow
def test_run_killed_at_any_moment_resumes_to_the_same_bytes(
    finished: RunDir, tmp_path: Path
) -> None:
    """SIGKILL after more and more rows, then resume until the run is finished."""
    run = create_run(tmp_path / "killed", small_config())
    command = [sys.executable, "-m", "grok_cli", "train", "--quiet", "--resume", str(run.path)]
    for rows_before_kill in (3, 43):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            if run.metrics_file.exists() and run.metrics_file.read_bytes().count(b"\n") > (
                rows_before_kill
            ):
                break
            time.sleep(0.002)
        process.kill()
        process.wait()
        assert run.summary()["status"] in ("interrupted", "finished")
    assert subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0
    assert run.metrics_file.read_bytes() == finished.metrics_file.read_bytes()
    assert [p.name for p in run.snapshots()] == [p.name for p in finished.snapshots()]
    for mine, other in zip(run.snapshots(), finished.snapshots(), strict=True):
        weights = load_snapshot(other).weights
        assert all(t.equal(weights[name]) for name, t in load_snapshot(mine).weights.items())
    assert not list(run.path.rglob("*.tmp")) or run.summary()["status"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_and_exits_130(
    finished: RunDir, tmp_path: Path, number: signal.Signals
) -> None:
    run = create_run(tmp_path / "run", small_config(train__steps=100_000))
    command = [sys.executable, "-m", "grok_cli", "train", "--resume", str(run.path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not run.metrics_file.exists() or run.metrics_file.stat().st_size < 2000:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert out.splitlines()[-1] == str(run.path)
    assert f"grok train --resume {run.path}" in err
    assert run.summary()["status"] == "interrupted"
    rows = pandas.read_csv(run.metrics_file, float_precision="round_trip")
    assert len(rows) == run.summary()["step"] == torch.load(run.resume_file)["step"]


def test_second_process_is_refused(grok: Grok, tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", small_config())
    with Claim(run.path):
        assert run.summary()["status"] == "running"
        result = grok("train", "--resume", str(run.path))
    assert result.returncode == 1
    assert f"is being trained by process {os.getpid()}" in result.stderr
    assert "Traceback" not in result.stderr


def test_claim_of_a_dead_process_is_void(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    owner = claims.process_identity() | {"pid": dead.pid, "started": "1", "token": "x"}
    (tmp_path / "claim.json").write_text(json.dumps(owner))
    with Claim(tmp_path) as claim:
        assert claim.is_mine()
    assert not list(tmp_path.iterdir())


def test_claim_of_another_host_holds_until_it_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "claim.json"
    elsewhere = {"host": "elsewhere", "system": "", "pid": 1, "started": "1", "token": "x"}
    file.write_text(json.dumps(elsewhere))
    with pytest.raises(ClaimedError, match="elsewhere"), Claim(tmp_path):
        pass
    old = time.time() - claims.EXPIRES - 1
    os.utime(file, (old, old))
    with Claim(tmp_path) as claim:
        assert claim.is_mine()


def test_claim_is_kept_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "TOUCH_EVERY", 0.01)
    with Claim(tmp_path) as claim:
        os.utime(claim.path, (0, 0))
        wait_for(lambda: claim.path.stat().st_mtime > 0)


def test_file_is_whole_or_absent_when_writing_fails(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("old")

    def full_disk(stream: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomically(file, full_disk)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_full_disk_ends_in_one_message_and_the_run_resumes(
    finished: RunDir, tmp_path: Path
) -> None:
    """A limit on file size stands for a full disk: writes fail in the middle of metrics.csv."""
    run = create_run(tmp_path / "full", small_config())
    limited = (
        "import resource, signal, sys;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY));"
        f"sys.argv = ['grok', 'train', '--quiet', '--resume', {str(run.path)!r}];"
        "from grok_cli.__main__ import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", limited], text=True, capture_output=True, check=False
    )
    assert result.returncode == 1
    assert "what was recorded is safe" in result.stderr
    assert "grok train --resume" in result.stderr
    assert "Traceback" not in result.stderr
    assert run.summary()["status"] in ("interrupted", "new")
    assert train_run(run, small_config()).status == "finished"
    assert run.metrics_file.read_bytes() == finished.metrics_file.read_bytes()


def test_checkpoint_with_code_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "evil.pt"
    torch.save({"step": 0, "config": {}, "weights": print}, file)
    with pytest.raises(CheckpointError, match="could run code; refused"):
        load_snapshot(file)


def test_truncated_checkpoint_is_named_as_such(finished: RunDir, tmp_path: Path) -> None:
    file = tmp_path / "cut.pt"
    content = finished.snapshots()[0].read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="truncated"):
        load_snapshot(file)


def test_foreign_checkpoint_is_named_as_such(tmp_path: Path) -> None:
    file = tmp_path / "other.pt"
    torch.save({"weights": torch.zeros(1)}, file)
    with pytest.raises(CheckpointError, match="not a snapshot"):
        load_snapshot(file)


def test_finished_run_is_left_as_it_is(finished: RunDir, typed: Grok) -> None:
    before = finished.metrics_file.read_bytes()
    result = typed("train", "--resume", str(finished.path))
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == str(finished.path)
    assert finished.metrics_file.read_bytes() == before


def test_resume_refuses_other_settings_and_takes_other_hardware(
    finished: RunDir, typed: Grok
) -> None:
    refused = typed("train", "--resume", str(finished.path), "--lr", "0.1")
    assert refused.returncode == 2
    assert "opt.learning_rate" in refused.stderr
    taken = typed("train", "--resume", str(finished.path), "--threads", "2")
    assert taken.returncode == 0


def test_run_is_not_started_over_another(typed: Grok, tmp_path: Path) -> None:
    train_run(create_run(tmp_path / "runs" / "mine", small_config()), small_config())
    result = typed("train", *SMALL_FLAGS, "--name", "mine")
    assert result.returncode == 2
    assert "holds a run already" in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.csv", b"", "lacks rows"),
        ("metrics.csv", None, "lacks rows"),
        ("metrics.csv", b"a,b\n" + 10_000 * b"1,2\n", "does not have the run's columns"),
        ("config.yaml", b"", "is damaged"),
    ],
)
def test_damaged_file_is_named_with_what_to_do(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    run = stopped_run(tmp_path / "run", after=25)
    if content is None:
        (run.path / name).unlink()
    else:
        (run.path / name).write_bytes(content)
    with pytest.raises(GrokError, match=message):
        train_run(run, run.config())


@pytest.mark.parametrize("content", ["", "[]", '{"status": "weird"}'])
def test_damaged_records_do_not_keep_a_run_from_going_on(
    finished: RunDir, tmp_path: Path, content: str
) -> None:
    run = stopped_run(tmp_path / "run", after=25)
    for name in ("summary.json", "environment.json", "claim.json"):
        (run.path / name).write_text(content)
    assert run.summary()["status"] == "interrupted"
    assert train_run(run, run.config()).status == "finished"
    assert run.metrics_file.read_bytes() == finished.metrics_file.read_bytes()


def test_training_outlives_its_watcher(finished: RunDir, tmp_path: Path) -> None:
    class Gone(Recorder):
        def rows(self, rows: object) -> None:
            raise BrokenPipeError(32, "Broken pipe")

    run = create_run(tmp_path / "run", small_config())
    assert train_run(run, small_config(), Gone()).status == "finished"
    assert run.metrics_file.read_bytes() == finished.metrics_file.read_bytes()


def test_float64_snapshot_is_read_without_rounding(tmp_path: Path) -> None:
    config = small_config(train__dtype="float64", train__steps=2)
    run = create_run(tmp_path / "run", config)
    train_run(run, config)
    snapshot = load_snapshot(run.snapshots()[-1])
    weights = snapshot.model(14).state_dict()
    assert all(weights[name].equal(stored) for name, stored in snapshot.weights.items())


def test_same_host_name_on_another_system_is_another_host(tmp_path: Path) -> None:
    owner = {"host": socket.gethostname(), "system": "x", "pid": 1, "started": "1", "token": "x"}
    (tmp_path / "claim.json").write_text(json.dumps(owner))
    with pytest.raises(ClaimedError), Claim(tmp_path):
        pass
