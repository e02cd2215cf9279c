"""When a claim on a run directory holds, and for whom."""

import errno
import json
import os
import time
from pathlib import Path

import pytest

from grok_cli.runs import claim
from grok_cli.runs.claim import EXPIRES, Claim, ClaimedError, live_owner, process_identity


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
