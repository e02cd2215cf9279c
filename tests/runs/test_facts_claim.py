"""When a claim on a run directory holds, and for whom."""

import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest

from grok_cli.runs import claim
from grok_cli.runs.claim import (
    EXPIRES,
    Claim,
    ClaimedError,
    live_owner,
    process_identity,
    process_started,
)
from tests.waiting import PATIENCE


def write_claim(directory: Path, age: float = 0.0, **changes: object) -> Path:
    """A claim that somebody left, touched `age` seconds ago."""
    file = directory / "claim.json"
    file.write_text(json.dumps({**process_identity(), "token": "somebody", **changes}))
    touched = time.time() - age
    os.utime(file, (touched, touched))
    return file


def test_a_process_number_that_was_given_to_another_process_keeps_no_claim_alive(
    tmp_path: Path,
) -> None:
    """Same host, same number, but that process started at another time."""
    file = write_claim(tmp_path, started="1")
    assert live_owner(file) is None
    with Claim(tmp_path) as mine:
        assert mine.is_mine()


def test_a_live_process_of_this_host_holds_its_claim_however_old(tmp_path: Path) -> None:
    write_claim(tmp_path, age=10 * EXPIRES)
    with pytest.raises(ClaimedError), Claim(tmp_path):
        pass


def test_a_claim_of_another_host_holds_for_a_minute(tmp_path: Path) -> None:
    write_claim(tmp_path, host="elsewhere", age=45)
    with pytest.raises(ClaimedError), Claim(tmp_path):
        pass
    write_claim(tmp_path, host="elsewhere", age=61)
    with Claim(tmp_path) as mine:
        assert mine.is_mine()


@pytest.mark.parametrize("off_by", [-1e6, 1e6])
def test_age_goes_by_the_clock_of_the_file_system_and_not_by_this_hosts(
    tmp_path: Path, off_by: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    young, old = tmp_path / "young", tmp_path / "old"
    for directory, age in ((young, 0.0), (old, EXPIRES + 10)):
        directory.mkdir()
        write_claim(directory, host="elsewhere", age=age)
    now = time.time
    monkeypatch.setattr(claim.time, "time", lambda: now() + off_by)
    assert live_owner(young / "claim.json") is not None
    assert live_owner(old / "claim.json") is None


def test_a_takeover_that_was_left_behind_does_not_block(tmp_path: Path) -> None:
    """Its owner was killed between taking the claim away and making its own."""
    write_claim(tmp_path, started="1")
    takeover = tmp_path / ".claim.takeover"
    takeover.write_text(json.dumps({**process_identity(), "token": "gone", "started": "1"}))
    long_ago = time.time() - 2 * EXPIRES
    os.utime(takeover, (long_ago, long_ago))
    with Claim(tmp_path) as mine:
        assert mine.is_mine()
    assert not takeover.exists()


def test_a_claim_that_was_lost_is_left_to_its_new_owner(tmp_path: Path) -> None:
    with Claim(tmp_path) as mine:
        file = write_claim(tmp_path)
        assert not mine.is_mine()
    assert json.loads(file.read_text())["token"] == "somebody"


def test_a_claim_that_was_lost_is_not_kept_alive_for_its_new_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Event()
    monkeypatch.setattr(claim, "TOUCH_EVERY", 0.01)

    def two_looks() -> None:
        """The second comes after what followed the first."""
        for _ in range(2):
            looked.clear()
            assert looked.wait(PATIENCE)

    with Claim(tmp_path) as mine:
        is_mine = mine.is_mine
        monkeypatch.setattr(mine, "is_mine", lambda: (looked.set(), is_mine())[1])
        file = write_claim(tmp_path)
        two_looks()
        os.utime(file, (0, 0))
        two_looks()
        assert file.stat().st_mtime == 0


def test_a_released_claim_is_gone(tmp_path: Path) -> None:
    with Claim(tmp_path):
        assert (tmp_path / "claim.json").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_claim_on_a_disk_that_may_only_be_read_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_claim(tmp_path, host="elsewhere", age=30)

    def refuse(path: Path, *arguments: object, **options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    for name in ("touch", "unlink", "write_text"):
        monkeypatch.setattr(Path, name, refuse)
    owner = live_owner(file)
    assert owner is not None
    assert owner["host"] == "elsewhere"
    with pytest.raises(OSError, match="Read-only") as caught, Claim(tmp_path):
        pass
    assert caught.value.filename == str(file)  # and no name that the user has never seen


@pytest.mark.parametrize("age", [0, 2 * EXPIRES])
def test_a_draft_without_content_is_its_writers_for_a_minute(tmp_path: Path, age: float) -> None:
    """Whoever writes it may be between opening it and writing into it."""
    draft = tmp_path / ".claim.0123"
    draft.touch()
    os.utime(draft, (time.time() - age, time.time() - age))
    with Claim(tmp_path):
        assert draft.exists() == (age == 0)


def test_where_processes_have_no_files_a_number_in_use_is_all_there_is_to_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on macOS; the process with number 1 may be another user's."""
    asked: list[tuple[int, int]] = []
    answers: dict[int, type[OSError]] = {1: PermissionError, 2: ProcessLookupError}

    def kill(pid: int, number: int) -> None:
        asked.append((pid, number))
        if pid in answers:
            raise answers[pid]

    def missing(path: Path, *arguments: object, **options: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.setattr(os, "kill", kill)
    found = [process_started(pid) for pid in (1, 2, 3)]
    assert (found, asked) == (["unknown", None, "unknown"], [(1, 0), (2, 0), (3, 0)])


def test_a_claim_that_goes_as_it_is_released_is_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Claim(tmp_path) as mine:
        mine.path.unlink()
        monkeypatch.setattr(mine, "is_mine", lambda: True)
    assert list(tmp_path.iterdir()) == []
