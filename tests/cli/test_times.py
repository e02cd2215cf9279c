"""`grok times` on runs written by hand."""

import csv
import json
import math
import statistics
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from grok_cli.cli.times import _print_pairs
from grok_cli.results.survival import seeds_needed
from tests.typed import Grok
from tests.written_runs import make_run

README = Path(__file__).parents[2] / "README.md"
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
    assert groups[0].split("\t")[4] == "mean to 1,000"
    assert (off[4], pre[4]) == ("600", "483")  # (200 + 250 + 1000) / 3
    assert pairs[0].startswith("ratio of medians\t")
    assert pairs[1].split("\t")[3].startswith("2.4 (")
    assert power[1].split("\t")[0] == "0.95"
    assert done.stderr.splitlines()[1] == "p: log-rank test"  # of one pair, nothing to correct


def test_pairs_come_by_their_corrected_probability_at_the_strictest_threshold(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def at(threshold: float, *corrected: float | None) -> tuple[Any, list[Any]]:
        groups = ((0, 1), (0, 2), (1, 2))
        return SimpleNamespace(threshold=threshold), [
            SimpleNamespace(first=one, second=two, ratio=f"{threshold}", p=0.5, corrected=p)
            for (one, two), p in zip(groups, corrected, strict=True)
        ]

    found, pairs = zip(at(0.9, 0.1, 0.2, 0.3), at(0.99, 0.9, 0.0004, None), strict=True)
    _print_pairs(found, pairs, ["a", "b", "c"])
    told = capsys.readouterr()
    assert told.out.splitlines()[1:] == [
        "ratio of medians\t≥ 0.9\t≥ 0.99",
        "a / c\t0.9, p 0.200\t0.99, p < 0.001",
        "a / b\t0.9, p 0.100\t0.99, p 0.900",
        "b / c\t0.9, p 0.300\t0.99, p –",
    ]
    assert told.err == "p: log-rank test, corrected for 3 pairs (Holm)\n"


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


def test_seeds_that_are_needed_are_told_for_each_threshold(typed: Grok, runs: Path) -> None:
    """Of runs that reach 0.95 at once and 0.995 at 500, 600 and 700."""
    done = typed("times", "--where", "ln_type=off", "--power", "2", "--json")
    rows = json.loads(done.stdout)["power"]
    assert [row["threshold"] for row in rows] == [0.95, 0.99, 0.995]
    spread = statistics.stdev(map(math.log, (500, 600, 700)))
    assert [row["spread"] for row in rows] == pytest.approx([0, spread, spread])
    assert rows[2]["seeds"] == seeds_needed(2.0, spread)
    assert {row["ratio"] for row in rows} == {2.0}


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
        (("--power", "nan"), "--power nan: expected a positive ratio other than 1"),
        (("--power", "inf"), "--power inf: expected a positive ratio other than 1"),
        (("nowhere",), "nowhere: no such file or directory"),
    ],
)
def test_what_means_nothing_is_refused(
    typed: Grok, runs: Path, typed_in: tuple[str, ...], told: str
) -> None:
    refused = typed("times", *typed_in)
    assert (refused.returncode, told in refused.stderr) == (2, True)


# Tables of runs that are no longer there.


def test_a_summary_tells_what_the_runs_told(typed: Grok, runs: Path) -> None:
    for run in runs.iterdir():  # as training writes it
        times = json.loads((run / "summary.json").read_text())
        at = next((step for step, share in accuracies(run) if share >= 0.995), None)
        (run / "summary.json").write_text(json.dumps(times | {"step": 1000, "generalised_at": at}))
    made = make_run(runs, {"step": [50], "test/accuracy": [0.1]}, "diverged", train__seed=9)
    summary = json.loads((made / "summary.json").read_text())
    (made / "summary.json").write_text(json.dumps(summary | {"step": 50, "generalised_at": None}))
    typed("export-csv", "runs", "--summary", "--all")
    of_runs = typed("times", "runs", "--threshold", "0.995", "--json")
    of_table = typed("times", "export/summary.csv", "--json")
    assert json.loads(of_table.stdout) == json.loads(of_runs.stdout)
    assert json.loads(of_table.stdout)["groups"][0]["diverged"] == 1


def accuracies(run: Path) -> list[tuple[int, float]]:
    with (run / "metrics.csv").open() as file:
        return [(int(row["step"]), float(row["test/accuracy"])) for row in csv.DictReader(file)]


def test_a_table_of_ones_own_is_read_and_chosen_from(typed: Grok, tmp_path: Path) -> None:
    rows = ["group,train.seed,step,generalised_at"]
    rows += ["mine,1,900,100", "mine,2,900,300.0", "mine,3,900,", "theirs,1,900,200"]
    (tmp_path / "own.csv").write_text("\n".join(rows) + "\n")
    told = json.loads(typed("times", "own.csv", "--where", "seed!=1", "--json").stdout)
    (group,) = told["groups"]
    assert (group["group"], group["runs"], group["events"], group["median"]) == ("mine", 2, 1, 300)
    told = json.loads(typed("times", "own.csv", "--json").stdout)
    assert [row["group"] for row in told["groups"]] == ["mine", "theirs"]
    drawn = typed("plot", "times", "own.csv", "--terminal")
    assert "1 to 3 seeds a group" in drawn.stdout


def test_what_a_table_does_not_tell_is_not_made_up(typed: Grok, tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("group,step,generalised_at\nmine,900,100\n")
    for options, told in [
        (("--threshold", "0.9"), "a summary notes when accuracy was 0.995, no more"),
        (("--group-by", "seed"), "--group-by has no effect with CSV files"),
        (("--event", "memorised"), "no run there measured train/accuracy"),
    ]:
        refused = typed("times", "own.csv", *options)
        assert (refused.returncode, told in refused.stderr) == (2, True)
    refused = typed("plot", "accuracy", "own.csv", "--terminal")
    assert "no curve there; `grok plot times` draws a summary" in refused.stderr


def test_table_of_the_readme_is_what_its_command_prints(typed: Grok) -> None:
    readme = README.read_text()
    command = next(line for line in readme.splitlines() if line.startswith("$ grok times examples"))
    file = README.parent / command.split()[-1]
    told = json.loads(typed("times", str(file), "--json").stdout)
    for row in told["groups"]:
        ends = (
            "–" if row[end] is None else f"{row[end]:,.0f}" for end in ("median_low", "median_high")
        )
        median = f"{row['median']:,.0f} ({'..'.join(ends)})"
        assert f"{median}, {row['events']} of {row['runs']}" in readme
    for row in told["pairs"][:3]:  # no norm against the others
        text = f"{row['ratio']:.3g} ({row['ratio_low']:.3g}..{row['ratio_high']:.3g})"
        assert f"{text} | {row['log_rank_p_holm']:.3f} |" in readme


def test_figure_counts_runs_that_diverged(typed: Grok, runs: Path) -> None:
    rows = {"step": [50], "train/accuracy": [0.1], "test/accuracy": [0.1]}
    make_run(runs, rows, "diverged", model__ln_type="off", train__seed=9)
    drawn = typed("plot", "times", "--terminal")
    assert drawn.returncode == 0
    assert "3 to 4 seeds a group" in drawn.stdout
