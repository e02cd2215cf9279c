"""Facts of the runs that a page looks into: which, how many, and what is told of each."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grok_cli.figures.network import caption, panels
from grok_cli.report.report import Report, make_report
from grok_cli.report.scrubber import (
    FRAMES,
    MOST_FRAMES,
    MOST_RUNS,
    POINTS,
    USUAL,
    Frames,
    make_scrubber,
)
from tests.diagnostics.builders import small_subject
from tests.written_runs import Rows, make_run

ROWS: Rows = {"step": [10, 20], "test/loss": [2.0, 1.0], "test/accuracy": [0.1, 1.0]}


def looked(files: Sequence[Path]) -> Frames:
    """Instead of a look into networks: one frame a file."""
    from grok_cli.diagnostics.inside import look

    inside = look(small_subject())
    steps = [int(file.stem[5:]) for file in files]
    return steps, [caption(inside)] * len(files), [panels(inside)] * len(files)


def head_of(report: Report, inside: int | None = None) -> dict[str, Any]:
    made = make_scrubber(report, inside, looked)
    assert made is not None
    head: dict[str, Any] = json.loads(made.head)
    assert made.looked == sum("panels" in run for run in head["runs"])
    return head


def with_snapshots(run: Path, count: int) -> Path:
    (run / "snapshots").mkdir(exist_ok=True)
    for number in range(count):
        (run / "snapshots" / f"step_{number * 10:09d}.pt").touch()
    return run


def test_frames_are_spread_over_all_snapshots_and_fewer_where_many_runs_are_looked_into(
    tmp_path: Path,
) -> None:
    with_snapshots(make_run(tmp_path / "runs", ROWS), 100)
    (told,) = head_of(make_report(tmp_path / "runs"), 1)["runs"]
    assert len(told["steps"]) == FRAMES == len(told["captions"])
    assert (told["steps"][0], told["steps"][-1]) == (0, 990)
    assert max(np.diff(told["steps"])) <= 40
    for seed in range(1, 21):
        with_snapshots(make_run(tmp_path / "runs", ROWS, train__seed=seed), 40)
    counts = {
        len(run["steps"])
        for run in head_of(make_report(tmp_path / "runs"), 21)["runs"]
        if "steps" in run
    }
    assert counts == {MOST_FRAMES // 21}


def test_the_seed_of_most_groups_is_looked_into(tmp_path: Path) -> None:
    for placement, seeds in {"off": (1, 2), "pre": (2,), "post": (2, 3)}.items():
        for seed in seeds:
            with_snapshots(make_run(tmp_path, ROWS, model__ln_type=placement, train__seed=seed), 2)
    head = head_of(make_report(tmp_path))
    assert [run["seed"] for run in head["runs"] if "panels" in run] == ["2", "2", "2"]
    assert len(head["runs"]) == 5
    four = [run["seed"] for run in head_of(make_report(tmp_path), 4)["runs"] if "panels" in run]
    assert sorted(four) == ["1", "2", "2", "2"]  # then the seed that comes first


def test_six_runs_are_looked_into_unless_asked_otherwise(tmp_path: Path) -> None:
    for placement in ("off", "pre", "post", "mlp-pre", "attn-pre", "peri", "pre-v"):
        with_snapshots(make_run(tmp_path, ROWS, model__ln_type=placement, train__seed=1), 1)
    report = make_report(tmp_path)
    for asked, count in ((None, USUAL), (7, 7), (0, 0)):
        assert sum("panels" in run for run in head_of(report, asked)["runs"]) == count
    assert USUAL == 6


def test_a_page_has_forty_runs_at_most_among_them_those_looked_into(tmp_path: Path) -> None:
    for seed in range(MOST_RUNS + 2):
        run = make_run(tmp_path, ROWS, train__seed=seed)
        if seed == MOST_RUNS + 1:
            with_snapshots(run, 2)
    runs = head_of(make_report(tmp_path))["runs"]
    assert len(runs) == MOST_RUNS
    assert [run["seed"] for run in runs if "panels" in run] == [str(MOST_RUNS + 1)]


def test_a_run_is_told_with_its_group_colour_and_curves(tmp_path: Path) -> None:
    steps: list[float | None] = [float(step) for step in range(1, 1001)]
    rows: Rows = {"step": list(range(1, 1001)), "test/loss": steps, "train/accuracy": steps}
    make_run(tmp_path, rows, "running", model__ln_type="pre", train__seed=7)
    report = make_report(tmp_path)
    head = head_of(report)
    (run,) = head["runs"]
    assert (run["group"], run["seed"], run["status"]) == ("pre (M+A*)", "7", "interrupted")
    assert run["colour"] == report.legend.keys[0].look.colour
    kinds = [(curve["metric"], curve["split"], curve["values"]["log"]) for curve in run["curves"]]
    assert kinds == [("accuracy", "train", False), ("loss", "test", True)]
    for curve in run["curves"]:
        assert POINTS < curve["steps"]["n"] == curve["values"]["n"] <= 2 * POINTS
        assert curve["values"]["bytes"] == 2
    assert head["curves"] == {"accuracy": False, "loss": True}
