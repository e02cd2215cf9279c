"""A package of another author, as it stands on the page "From Python", installed and used."""

import math
import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import polars as pl
import pytest

from grok_cli.errors import UsageError
from grok_cli.plugins import Parts
from tests.library.test_python_page import PARTS, REPOSITORY, code


def entry_points() -> str:
    """The entry points that the page names, as an installed package has them."""
    named = re.findall(r"[Gg]roup\s+`([\w.]+)`,\s+`([\w-]+) = \"([\w:]+)\"`", PARTS)
    sections = re.findall(r"entry-points\.\"([\w.]+)\"\]\n([\w-]+) = \"([\w:]+)\"", PARTS)
    assert len(named) + len(sections) == 3
    return "\n".join(f"[{group}]\n{name} = {where}" for group, name, where in sections + named)


class Numbers(Parts[int]):
    """Parts that are numbers."""

    kind, expected = "number", "be a number, {}"

    def fits(self, name: str, found: object) -> bool:
        return isinstance(found, int)


def test_own_parts_come_first_and_win_over_those_of_other_packages() -> None:
    numbers = Numbers({"b": 2, "a": "math:tau"})
    points = {
        n: EntryPoint(n, where, "") for n, where in (("d", "x:y"), ("c", "os:O_RDWR"), ("b", "x:y"))
    }
    points["e"] = EntryPoint("e", "math:pi", "")
    vars(numbers)["_plugins"] = points
    assert list(numbers) == ["b", "a", "c", "d", "e"]
    assert len(numbers) == 5
    assert "d" in numbers
    assert (numbers["b"], numbers["a"], numbers["c"]) == (2, math.tau, os.O_RDWR)
    with pytest.raises(
        UsageError, match=r"number 'd' of another package \(x:y\) cannot be imported"
    ):
        numbers["d"]
    with pytest.raises(UsageError, match=r"^math:pi was expected to be a number, e$"):
        numbers["e"]
    with pytest.raises(KeyError):
        numbers["f"]


@pytest.mark.slow
def test_installed_package_brings_task_diagnostic_and_executor(tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "another-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: another\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points())
    for block in code(PARTS):
        name = re.match(r"# (\w+\.py)\n", block)
        assert name is not None
        (site / name[1]).write_text(block)
    command = [
        *(sys.executable, "-m", "grok_cli", "sweep", "--grid", "data.task=cube-sum", "--seeds=1"),
        *("--steps=20", "--modulus=11", "--d-model=16", "--threads=1"),
        *("--measure", "embedding-norm:10", "--executor", "laptop"),
    ]
    path = os.pathsep.join([str(site), str(REPOSITORY)])
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    metrics = next((tmp_path / "runs").glob("cube-sum-*/metrics.csv"))
    table = pl.read_csv(metrics).drop_nulls("mine/embedding_norm")
    assert table["step"].to_list() == [1, 10, 20]
