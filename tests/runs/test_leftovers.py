"""What killed processes leave behind, and processes that write at the same time."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grok_cli.errors import GrokWarning
from grok_cli.runs import claim
from grok_cli.runs.claim import Claim, process_identity, read_claim
from grok_cli.runs.files import keep_previous
from grok_cli.runs.measured import read_measured

DEAD = {"pid": 2**22 + 1, "started": "1", "token": "gone"}


def test_two_that_measure_keep_each_others_values(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from grok_cli.runs.measured import add_measured\n"
        "for step in range(60): add_measured(Path(sys.argv[1]), {step: {sys.argv[2]: 1.5}})"
    )
    file = tmp_path / "measured.csv"
    command = [sys.executable, "-c", code, str(file)]
    both = [subprocess.Popen([*command, name]) for name in ("a", "b")]
    assert [process.wait() for process in both] == [0, 0]
    assert read_measured(file) == {step: {"a": 1.5, "b": 1.5} for step in range(60)}
    assert list(tmp_path.iterdir()) == [file]


def test_state_that_is_the_previous_one_already_leaves_no_third_name(tmp_path: Path) -> None:
    """A kill before the next state is written leaves one file with both names."""
    state, previous = tmp_path / "resume.pt", tmp_path / "resume.previous.pt"
    state.write_text("state")
    for _ in range(2):
        keep_previous(state, previous)
        assert {path.name for path in tmp_path.iterdir()} == {"resume.pt", "resume.previous.pt"}
    assert previous.read_text() == "state"


def test_next_owner_removes_what_the_killed_left(tmp_path: Path) -> None:
    dead = json.dumps(process_identity() | DEAD)
    (tmp_path / "snapshots").mkdir()
    for name in ("claim.json", ".claim.gone", ".claim.takeover"):
        (tmp_path / name).write_text(dead)
    (tmp_path / ".resume.pt.abc.tmp").touch()
    (tmp_path / "snapshots" / ".step_000001.pt.abc.tmp").touch()
    (tmp_path / ".measured.csv.abc.tmp").touch()  # somebody may be writing it
    alive = json.dumps(process_identity() | {"token": "other"})
    (tmp_path / ".claim.other").write_text(alive)
    began = time.monotonic()
    with Claim(tmp_path):
        assert time.monotonic() - began < 5
        names = {path.name for path in tmp_path.rglob("*")}
    assert names == {"claim.json", "snapshots", ".measured.csv.abc.tmp", ".claim.other"}


def test_waiting_for_a_takeover_elsewhere_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "EXPIRES", 0.5)
    monkeypatch.setattr(claim, "SILENT", 0.0)
    elsewhere = json.dumps(process_identity() | DEAD | {"host": "far", "pid": 7})
    (tmp_path / ".claim.takeover").write_text(elsewhere)
    (tmp_path / "claim.json").write_text(json.dumps(process_identity() | DEAD))
    with pytest.warns(GrokWarning, match="waiting for process 7 on far"), Claim(tmp_path):
        pass


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"pid": "x"}', "7", '{"a": ' * 3000, '{"host": [], "pid": {}}']
)
def test_claim_of_odd_types_is_void(tmp_path: Path, content: str) -> None:
    (tmp_path / "claim.json").write_text(content)
    assert read_claim(tmp_path / "claim.json") is None
    with Claim(tmp_path):
        pass


@pytest.mark.parametrize("key", ["host", "system", "pid", "started", "token"])
def test_claim_with_a_value_of_another_type_is_void(tmp_path: Path, key: str) -> None:
    (tmp_path / "claim.json").write_text(json.dumps(process_identity() | DEAD | {key: [1]}))
    with Claim(tmp_path):
        pass
