"""What reaches Weights & Biases. wandb itself runs, offline, and its files are read back."""

import json
import math
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import polars as pl
import pytest
import yaml

from grok_cli.runs.directory import RunDir, find_runs
from tests.conftest import SMALL_FLAGS
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

BLOCK = 32768  # the file is a LevelDB log: records in pieces that do not cross blocks
FULL, LAST = 1, 4  # kinds of pieces that end a record


def read_records(file: Path) -> Iterator[Any]:
    """The records in a .wandb file, as far as they were written whole."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, record = file.read_bytes(), 7, b""
    assert content.startswith(b":W&B")
    while at + 7 <= len(content):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        if kind == 0 or at + 7 + length > len(content):
            return
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (FULL, LAST):
            yield Record.FromString(record)
            record = b""


def sessions(run: RunDir) -> list[list[Any]]:
    """The records of each session of a run, oldest first."""
    return [
        list(read_records(file)) for file in sorted(run.path.glob("wandb/offline-run-*/*.wandb"))
    ]


def logged_rows(records: list[Any]) -> list[dict[str, float]]:
    rows = []
    for record in records:
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            keys = [item.key or "/".join(item.nested_key) for item in items]
            row = dict(zip(keys, (yaml.safe_load(item.value_json) for item in items), strict=True))
            row["_step"] = record.history.step.num
            rows.append({k: float(v) for k, v in row.items() if k == "_step" or k[0] != "_"})
    return rows


def recorded_rows(run: RunDir) -> list[dict[str, float]]:
    rows = pl.read_csv(run.metrics_file, infer_schema_length=None).rename({"step": "_step"})
    return [{k: v for k, v in row.items() if v is not None} for row in rows.to_dicts()]


STEPS = 2000  # more than are made before the test has looked and killed


def offline(runs_dir: Path) -> list[str]:
    flags = [*SMALL_FLAGS, "--set=data.modulus=11", f"--set=train.steps={STEPS}"]
    command = [sys.executable, "-m", "grok_cli", "train", "--quiet", "--wandb=offline", *flags]
    return [*command, "--set=wandb.tags=[a,b]", f"--runs-dir={runs_dir}"]


def test_a_killed_and_resumed_run_is_logged_once(tmp_path: Path) -> None:
    process = subprocess.Popen(offline(tmp_path), stdout=subprocess.PIPE)
    run = wait_for(lambda: next(find_runs(tmp_path), None))
    wait_for(lambda: run.metrics_file.exists() and run.metrics_file.read_text().count("\n") > 200)
    wait_for(lambda: list(run.path.glob("wandb/offline-run-*/*.wandb")))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    first_id = json.loads(run.wandb_file.read_text())["id"]
    resume = [sys.executable, "-m", "grok_cli", "train", "--resume", str(run.path)]
    result = subprocess.run(resume, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr

    records = [record for session in sessions(run) for record in session]
    rows = logged_rows(records)
    assert [row["_step"] for row in rows] == list(range(1, STEPS + 1))
    assert rows == recorded_rows(run)

    started = [record.run for record in records if record.HasField("run")]
    assert {item.run_id for item in started} == {first_id}
    assert started[0].project == "grokking"
    assert started[0].display_name == run.path.name
    assert list(started[0].tags) == ["a", "b"]
    config = {item.key: yaml.safe_load(item.value_json) for item in started[0].config.update}
    assert config["model"]["ln_type"] == "off"
    assert config["train"]["steps"] == STEPS
    exits = [record.exit.exit_code for record in records if record.HasField("exit")]
    assert exits == [0]
    assert f"wandb sync {run.path}/wandb/offline-run-*-{started[0].run_id}" in result.stderr
    assert [found.path for found in find_runs(tmp_path)] == [run.path]  # W&B has a config.yaml too


def test_a_missing_login_is_one_message_and_costs_no_row(
    grok: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    env = clean | {"HOME": str(tmp_path), "WANDB_BASE_URL": "http://127.0.0.1:9"}
    result = grok("train", "-q", *SMALL_FLAGS, "--wandb=online", env=env)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("grok: W&B:") == 1
    assert "wandb login" in result.stderr
    (run,) = find_runs(tmp_path / "runs")
    assert [row["_step"] for row in recorded_rows(run)] == list(range(1, 61))
    assert all(math.isfinite(row["train/loss"]) for row in recorded_rows(run))
