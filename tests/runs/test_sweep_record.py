"""What a sweep leaves in its directory: the command, so that it can be repeated."""

import json
import re
from pathlib import Path

import pytest

from grok_cli import __version__
from grok_cli.runs.sweep_record import git_commit, read_records, record_sweep


def test_each_command_is_kept_once_and_the_last_stands_last(tmp_path: Path) -> None:
    directory = tmp_path / "all" / "runs"
    record_sweep(directory, "grok sweep a", "a", 5)
    record_sweep(directory, "grok sweep b", None, 1)
    started = read_records(directory)[0]["started"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", started)
    record_sweep(directory, "grok sweep a", "a", 5)
    b, a = read_records(directory)
    assert (a["command"], a["spec"], a["runs"]) == ("grok sweep a", "a", 5)
    assert (b["command"], b["spec"]) == ("grok sweep b", None)
    assert (a["started"], a["grok_cli"], a["git"]) == (started, __version__, git_commit())


@pytest.mark.parametrize("text", ["", "[", "5", "[5, {}]", '{"command": 5}', "[" * 5000])
def test_a_damaged_record_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "sweep.json").write_text(text)
    assert read_records(tmp_path) == []
    record_sweep(tmp_path, "grok sweep", None, 1)
    assert len(read_records(tmp_path)) == 1


def test_one_entry_without_a_list_is_read(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps({"command": "grok sweep"}))
    assert read_records(tmp_path) == [{"command": "grok sweep"}]
