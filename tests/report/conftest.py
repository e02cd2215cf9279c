"""Runs that the tests of reports share."""

import json
from pathlib import Path

import pytest

from grok_cli.runs.directory import RunDir
from tests.groups import train_groups

HOSTILE = "</script><img src=x onerror=alert(1)> \"'&`{{7*7}}|*_"


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs; the message of one is an attempt to inject HTML and script."""
    directory = train_groups(tmp_path_factory.mktemp("report") / "ln-positions")
    run = RunDir(sorted(directory.iterdir())[0])
    summary = json.loads(run.summary_file.read_text()) | {"message": HOSTILE}
    run.summary_file.write_text(json.dumps(summary))
    return directory
