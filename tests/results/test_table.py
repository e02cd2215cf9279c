"""Groups carry their settings; values never travel through names."""

from pathlib import Path

import pytest

from grok_cli.errors import UsageError
from grok_cli.results import Results
from tests.written_runs import Rows, make_run

ROWS: Rows = {"step": [1, 2, 3], "train/loss": [3.0, 2.0, 1.0], "test/accuracy": [0.2, None, 1.0]}


def two_groups(root: Path) -> Path:
    """Two seeds of two placements, the second seed of `pre` shorter."""
    for seed in (1, 2):
        make_run(root, ROWS, model__ln_type="off", train__seed=seed)
    make_run(root, ROWS, model__ln_type="pre", train__seed=1)
    short: Rows = {"step": [1, 2], "train/loss": [5.0, 4.0], "test/accuracy": [0.4, None]}
    make_run(root, short, model__ln_type="pre", train__seed=2)
    return root


def test_groups_carry_their_settings(tmp_path: Path) -> None:
    results = Results.from_disk(two_groups(tmp_path))
    assert results.keys == ("model.ln_type",)
    assert [group.settings for group in results.groups] == [
        {"model.ln_type": "off"},
        {"model.ln_type": "pre"},
    ]
    assert [[run.seed for run in group.runs] for group in results.groups] == [[1, 2], [1, 2]]
    assert [group.label for group in results.groups] == ["off", "pre"]
    assert results.metrics == ["train/loss", "test/accuracy"]


def test_the_tidy_table_has_a_row_a_value(tmp_path: Path) -> None:
    table = Results.from_disk(two_groups(tmp_path)).frame(["test/accuracy"])
    assert table.columns == ["group", "run", "seed", "step", "metric", "value"]
    assert table.select("group", "seed", "step", "value").rows() == [
        *((0, 1, 1, 0.2), (0, 1, 3, 1.0), (0, 2, 1, 0.2), (0, 2, 3, 1.0)),
        *((1, 1, 1, 0.2), (1, 1, 3, 1.0), (1, 2, 1, 0.4)),
    ]


def test_means_say_how_many_runs_they_are_of(tmp_path: Path) -> None:
    table = Results.from_disk(two_groups(tmp_path)).groups[1].mean("train/loss")
    assert table.columns == ["step", "mean", "min", "max", "std", "runs"]
    assert table.select("step", "mean", "min", "max", "runs").rows() == [
        (1, 4.0, 3.0, 5.0, 2),
        (2, 3.0, 2.0, 4.0, 2),
        (3, 1.0, 1.0, 1.0, 1),
    ]
    assert table["std"].to_list() == [2**0.5, 2**0.5, None]


@pytest.mark.parametrize("metric", ["train/loss", "test/accuracy"])
def test_values_as_arrays_are_the_aligned_table(tmp_path: Path, metric: str) -> None:
    for group in Results.from_disk(two_groups(tmp_path)).groups:
        steps, values = group.values(metric)
        table = group.aligned(metric).sort("step")
        assert steps.tolist() == table["step"].to_list()
        told = [[None if value != value else value for value in row] for row in values.tolist()]
        assert told == [table[str(i)].to_list() for i in range(len(group.runs))]


def test_where_takes_settings_values_and_the_status(tmp_path: Path) -> None:
    make_run(two_groups(tmp_path), ROWS, "diverged", model__ln_type="peri", train__seed=1)
    results = Results.from_disk(tmp_path, include="all")
    assert len(results.where(["ln_type=pre,off", "train.seed=2"]).runs) == 2
    assert len(results.where(["model.ln_type!=pre"]).runs) == 3
    assert [run.status for run in results.where(["status=diverged"]).runs] == ["diverged"]
    with pytest.raises(UsageError, match=r"did you mean model\.ln_type"):
        results.where(["model.ln_typ=pre"])
    with pytest.raises(UsageError, match="expected KEY=VALUE"):
        results.where(["pre"])


def test_unfinished_runs_are_left_out_by_name(tmp_path: Path) -> None:
    run = make_run(two_groups(tmp_path), ROWS, "diverged", model__ln_type="peri", train__seed=1)
    results = Results.from_disk(tmp_path)
    assert [run.name for run in results.left_out] == [run.name]
    assert len(results.runs) == 4
