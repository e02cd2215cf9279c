"""`grok times` on runs written by hand."""

import csv
import json
from pathlib import Path

import pytest

from tests.typed import Grok
from tests.written_runs import make_run

AT = {"off": (500, 600, 700), "pre": (200, 250, None)}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for placement, steps in AT.items():
        for seed, at in enumerate(steps):
            grid = range(50, 1001, 50)
            accuracy = [0.96 if at is None or step < at else 1.0 for step in grid]
            rows = {"step": list(grid), "train/accuracy": [1.0] * 20, "test/accuracy": accuracy}
            make_run(tmp_path / "runs", rows, model__ln_type=placement, train__seed=seed)
    return tmp_path / "runs"


def test_table_has_medians_with_counts_at_each_threshold(typed: Grok, runs: Path) -> None:
    done = typed("times", "--power", "1.5")
    groups, pairs, power = (part.splitlines() for part in done.stdout.split("\n\n"))
    assert groups[0].split("\t")[:4] == ["group", "≥ 0.95", "≥ 0.99", "≥ 0.995"]
    off, pre = (line.split("\t") for line in groups[1:])
    assert (off[1], off[3]) == ("50 (50..–), 3 of 3", off[2])
    assert off[2].startswith("600 (500..")
    assert off[2].endswith("), 3 of 3")
    assert pre[2].endswith("), 2 of 3")
    assert pairs[0].startswith("ratio of medians\t")
    assert pairs[1].split("\t")[3].startswith("2.4 (")
    assert power[1].split("\t")[0] == "0.95"
    assert done.stderr.splitlines()[1] == "p: log-rank test"  # of one pair, nothing to correct


def test_json_and_csv_hold_the_same_numbers(typed: Grok, runs: Path, tmp_path: Path) -> None:
    done = typed("times", "--threshold", "0.99", "--json", "--csv", "times.csv")
    told = json.loads(done.stdout)
    assert [(row["runs"], row["events"], row["median"]) for row in told["groups"]] == [
        (3, 3, 600),
        (3, 2, 250),
    ]
    (pair,) = told["pairs"]
    assert (pair["group"], pair["ratio"]) == ("model.ln_type: off", 2.4)
    with (tmp_path / "times.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["median"]) for row in rows] == [600, 250]


def test_where_and_event_choose(typed: Grok, runs: Path) -> None:
    done = typed(
        "times", "--where", "ln_type=pre", "--event", "memorised", "--threshold", "1", "--json"
    )
    told = json.loads(done.stdout)
    assert [row["median"] for row in told["groups"]] == [50]
    assert told["pairs"] == []


@pytest.mark.parametrize(
    ("typed_in", "told"),
    [
        (("--threshold", "95"), "--threshold 95: expected numbers above 0, at most 1"),
        (("--threshold", "x"), "--threshold x: expected numbers above 0, at most 1"),
        (("--power", "1"), "--power 1: expected a positive ratio other than 1"),
        (("nowhere",), "nowhere: no such directory"),
    ],
)
def test_what_means_nothing_is_refused(
    typed: Grok, runs: Path, typed_in: tuple[str, ...], told: str
) -> None:
    refused = typed("times", *typed_in)
    assert (refused.returncode, told in refused.stderr) == (2, True)


def test_figure_counts_runs_that_diverged(typed: Grok, runs: Path) -> None:
    rows = {"step": [50], "train/accuracy": [0.1], "test/accuracy": [0.1]}
    make_run(runs, rows, "diverged", model__ln_type="off", train__seed=9)
    drawn = typed("plot", "times", "--terminal")
    assert drawn.returncode == 0
    assert "3 to 4 seeds a group" in drawn.stdout
