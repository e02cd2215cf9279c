"""Counts stand beside every mean."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from grok_cli.errors import UsageError
from grok_cli.results import Group, Results, Run
from grok_cli.results.phases import (
    PhaseStats,
    compressed,
    compression_step,
    generalised,
    generalised_groups,
    group_phases,
    phase_stats,
)
from grok_cli.results.run import Source
from tests.written_runs import make_run

ACCURACY, RANK = "test/accuracy", "alpha_req/effective_rank_test"


def run_of(seed: int, summary: dict[str, object] | None = None, **values: list[float]) -> Run:
    """A run measured at steps 10, 20, ...; metrics by "accuracy" and "rank"."""
    names = {"accuracy": ACCURACY, "rank": RANK}
    series = {
        names[key]: pl.DataFrame(
            {"step": range(10, 10 * len(column) + 1, 10), names[key]: column},
            schema_overrides={"step": pl.Int64},
        )
        for key, column in values.items()
    }
    settings = {"model.ln_type": "off", "train.seed": seed}
    return Run(f"s{seed}", settings, summary or {}, source=Source.of(series))


def test_a_mean_over_some_runs_says_over_how_many() -> None:
    one_of_four = PhaseStats.of([380, None, None, None])
    assert str(one_of_four) == "380 (1 of 4)"
    assert one_of_four.count == "1 of 4"
    assert str(PhaseStats.of([None, None])) == "never (0 of 2)"
    assert str(PhaseStats.of([1000, 3001])) == "2,000"
    assert PhaseStats.of([5, None, 8]) == PhaseStats(3, 2, 6.5, 5, 8)
    assert PhaseStats.of([]).mean is None


def test_groups_count_finished_and_generalised_runs() -> None:
    finished = {"status": "finished", "memorised_at": 5, "generalised_at": 100}
    runs = [
        run_of(1, finished),
        run_of(2, finished | {"generalised_at": None}),
        run_of(3, {"status": "diverged", "generalised_at": 300}),
        run_of(4, {"status": "running", "memorised_at": 7}),
    ]
    (phases,) = group_phases(Results.of(runs))
    assert (phases.finished, phases.memorised.count) == (2, "3 of 4")
    assert phases.generalised == PhaseStats(4, 2, 200.0, 100, 300)
    assert phases.as_dict() | {"settings": None} == {
        **{"label": "model.ln_type: off", "settings": None, "runs": 4, "finished": 2},
        **{"memorised": 3, "generalised": 2, "generalised_mean": 200.0},
        **{"generalised_min": 100, "generalised_max": 300},
    }


@pytest.mark.parametrize("odd", ["12", [1], {}, True, float("nan"), float("inf")])
def test_what_is_no_step_in_a_summary_counts_as_none(odd: object) -> None:
    assert phase_stats([run_of(1, {"generalised_at": odd})], "generalised_at").events == 0


def test_generalised_is_the_first_step_of_each_run_not_the_last() -> None:
    runs = [run_of(1, accuracy=[0.1, 0.995, 0.2, 1.0]), run_of(2, accuracy=[0.1, 0.9, 0.994, 0.99])]
    (found,) = generalised(Results.of(runs))
    assert found.steps == (20, None)
    assert (found.of_mean, found.earliest, found.latest, found.middle) == (40, 20, 20, 20)
    assert found.stats.count == "1 of 2"


def test_the_mean_crosses_only_where_all_runs_have_a_value() -> None:
    runs = [run_of(1, accuracy=[0.1, 0.1, 1.0]), run_of(2, accuracy=[0.1, 0.1])]
    (found,) = generalised(Results.of(runs))
    assert found.of_mean is None


def test_of_a_mean_alone_the_bounds_cross() -> None:
    nothing = pl.lit(None, pl.Float64)
    mean = pl.DataFrame(
        {"step": [10, 20, 30], "mean": [0.5, 0.9, 1], "min": [0.4, 0.8, 1], "max": [0.6, 1, 1]},
        schema_overrides={"mean": pl.Float64, "min": pl.Float64, "max": pl.Float64},
    ).with_columns(std=nothing, runs=pl.lit(None, pl.UInt32))
    (found,) = generalised(Results((Group({}, means={ACCURACY: mean}, text="mine"),)))
    assert (found.steps, found.of_mean, found.earliest, found.latest) == ((), 30, 20, 30)
    assert found.middle == 30


def test_generalisation_needs_test_accuracy() -> None:
    with pytest.raises(UsageError, match=r"not measured there \(test/accuracy\); there are alpha"):
        generalised_groups(Results.of([run_of(1, rank=[1.0])]))


def test_compression_is_half_way_from_the_maximum_to_the_end() -> None:
    steps = np.arange(10, 70, 10)
    assert compression_step(steps, np.array([1, 10, 8, 6.1, 6, 2.0])) == 50
    assert compression_step(steps, np.array([1, 10, np.nan, 6, 4, 2.0])) == 40
    assert compression_step(steps, np.array([1, 10, 9.9, 9.8, 9.5, 9.1])) is None  # by 9 %
    assert compression_step(steps, np.array([1, 10, 9.9, 9.8, 9.5, 9.0])) == 50  # by 10 %
    assert compression_step(steps, np.full(6, np.nan)) is None


def test_a_run_that_compressed_and_generalised_is_a_point() -> None:
    falls, stays = [1.0, 10.0, 2.0], [1.0, 1.0, 1.0]
    runs = [
        run_of(1, rank=falls, accuracy=[0.0, 0.0, 1.0]),
        run_of(2, rank=falls, accuracy=[0.0, 0.0, 0.0]),
        run_of(3, rank=stays, accuracy=[1.0, 1.0, 1.0]),
    ]
    (found,) = compressed(Results.of(runs))
    assert (found.points, found.runs) == (((30, 30),), 3)
    assert compressed(Results.of(runs[1:])) == []


def test_phases_of_runs_on_disk_are_those_of_their_metrics(tmp_path: Path) -> None:
    make_run(tmp_path, {"step": [1, 2, 3], ACCURACY: [0.1, None, 1.0]})
    (found,) = generalised(Results.from_disk(tmp_path))
    assert found.steps == (3,)
