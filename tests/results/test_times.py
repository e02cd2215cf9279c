"""Times of runs at any threshold, from what they measured."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grok_cli.core.phases import Phases
from grok_cli.errors import UsageError
from grok_cli.results import Results, Run
from grok_cli.results.run import Source
from grok_cli.results.survival import Ratio, Sample
from grok_cli.results.times import (
    End,
    end_of,
    end_told,
    group_rows,
    median_told,
    pair_rows,
    time_to,
    times_to,
)

ACCURACY = "test/accuracy"


def run(
    accuracies: list[float], seed: int = 1, every: int = 100, placement: str = "off", **summary: Any
) -> Run:
    steps = range(every, every * len(accuracies) + 1, every)
    tables = {}
    for metric in (ACCURACY, "train/accuracy"):
        tables[metric] = pl.DataFrame(
            {"step": steps, metric: accuracies},
            schema={"step": pl.Int64, metric: pl.Float64},
        )
    settings = {"model.ln_type": placement, "train.seed": seed, "train.steps": 5000}
    return Run(
        f"{placement}-s{seed}", settings, {"status": "finished"} | summary, None, Source.of(tables)
    )


@given(st.lists(st.sampled_from([0.5, 0.99, 0.995, 1.0]), min_size=1, max_size=30))
def test_times_at_the_usual_thresholds_are_the_phases_of_the_run(values: list[float]) -> None:
    phases = Phases()
    for number, value in enumerate(values, 1):
        phases.see_train(100 * number, value)
        phases.see_test(100 * number, value)
    found = {
        "memorised": (0.99, phases.memorised),
        "generalised": (0.995, phases.generalised),
        "sustained": (0.995, phases.sustained),
    }
    for event, (threshold, step) in found.items():
        ended = end_of(run(values), event, threshold)
        assert ended is not None
        assert (ended.step if ended.happened else None) == step


def test_run_that_ends_within_a_row_may_have_begun_there_what_it_was_to_sustain() -> None:
    steps = np.array([100, 200, 300, 400])
    values = np.array([0.0, 1.0, 0.0, 1.0])
    assert time_to(steps, values, 0.9, 500) == (400, False)
    assert time_to(steps[:3], values[:3], 0.9, 500) == (300, False)
    assert time_to(steps, values, 0.9) == (200, True)
    assert time_to(steps, values, 2.0) == (400, False)


def test_diverged_run_stays_among_those_that_did_not_for_all_its_steps() -> None:
    runs = [run([0.0] * 2, 1, status="diverged"), run([0.0] * 9 + [1.0], 2), run([1.0], 3)]
    times = times_to(Results.of(runs), "generalised", 0.995)
    (group,) = times.groups
    assert [end.diverged for end in group.ends] == [200, None, None]
    assert group.sample.steps.tolist() == [5000, 1000, 100]
    assert (group.median.step, group.diverged) == (1000, 1)  # without it, 100 would be half
    (row,) = group_rows(times)
    assert (row["runs"], row["events"], row["diverged"], row["horizon"]) == (3, 2, 1, 5000)
    assert row["restricted_mean"] == pytest.approx((100 + 1000 + 5000) / 3)


def test_the_row_of_a_group_has_its_interval_and_the_mean_up_to_the_common_horizon() -> None:
    """With one that ended at 300, all curves are known until there."""
    runs = [run([0.0] * n + [1.0], n) for n in range(1, 10)]
    runs += [run([0.0] * 3, 1, placement="pre"), run([1.0], 2, placement="pre")]
    times = times_to(Results.of(runs), "generalised", 0.995)
    off, pre = group_rows(times)
    median = times.groups[0].median
    assert (off["median"], off["median_low"], off["median_high"]) == (600, median.low, median.high)
    assert median.low < 600 < median.high  # type: ignore[operator]
    assert (pre["diverged"], pre["runs"] - pre["events"], pre["last_step"]) == (0, 1, 300)
    assert (off["last_step"], off["horizon"], pre["horizon"]) == (1000, 300, 300)
    assert off["restricted_mean"] == pytest.approx((200 + 8 * 300) / 9)
    assert pre["restricted_mean"] == pytest.approx((100 + 300) / 2)


def test_what_a_seed_does_to_both_groups_drops_out_of_their_ratio() -> None:
    """Each seed comes twice as late in one group: so does the median of every resample."""
    runs = [
        run([0.0] * (place * n - 1) + [1.0], n, placement=name)
        for place, name in enumerate(("off", "pre"), 1)
        for n in (3, 1, 9)
    ]
    (pair,) = times_to(Results.of(runs), "generalised", 0.995).pairs()
    assert (pair.ratio.value, pair.ratio.low, pair.ratio.high) == (0.5, 0.5, 0.5)


def test_of_a_run_on_disk_its_metrics_tell_and_not_its_summary() -> None:
    noted = Run("a", {}, {"generalised_at": 7, "step": 9})
    assert end_of(noted, "generalised", 0.995) == End(noted, 7, True)
    assert end_of(replace(noted, path=Path("a")), "generalised", 0.995) is None
    measured = run([0.0, 0.0, 1.0], generalised_at=7)
    assert end_of(measured, "generalised", 0.995) == End(measured, 300, True)


def test_no_pair_depends_on_which_others_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is drawn from the beginning of the same random numbers."""
    runs = [
        run([0.0] * (n * place) + [1.0], n, placement=name)
        for place, name in enumerate(("off", "post", "pre"), 1)
        for n in (1, 2, 3, 4)
    ]
    three = times_to(Results.of(runs), "generalised", 0.995)
    drawn: list[int] = []

    def ratio(one: Sample, other: Sample, generator: np.random.Generator) -> Ratio:
        drawn.append(int(generator.integers(2**60)))
        return Ratio(one.steps[0] / other.steps[0], "", None, one.steps[0], other.steps[0])

    monkeypatch.setattr("grok_cli.results.times.median_ratio", ratio)
    pairs = three.pairs()
    assert drawn == [drawn[0]] * 3
    names = [group.group.name for group in three.groups]
    rows = pair_rows(three, pairs)
    assert [(row["group"], row["other"]) for row in rows] == list(combinations(names, 2))
    ends = [(row["ratio_low"], row["ratio_high"]) for row in rows]
    assert ends == [(200, 300), (200, 400), (300, 400)]


def test_a_row_tells_each_event_at_the_threshold_that_it_notes() -> None:
    noted = {"memorised_at": 5, "generalised_at": 60, "sustained_at": 560, "step": 900}
    row = Run("a", {}, noted)
    for event, threshold, step in (
        ("memorised", 0.99, 5),
        ("generalised", 0.995, 60),
        ("sustained", 0.995, 560),
    ):
        for asked in (0.95, 0.99, 0.995):
            found = end_of(row, event, asked)
            assert (found and found.step) == (step if asked == threshold else None)


@pytest.mark.parametrize(("last", "begun"), [(None, False), (0, False), (1, True)])
def test_a_run_has_begun_after_its_first_step(last: int | None, begun: bool) -> None:
    found = end_told(Run("a", {}, {"step": last, "generalised_at": None}), "generalised_at")
    assert (found is not None) is begun


def test_run_that_diverged_afterwards_did_generalise() -> None:
    (group,) = times_to(Results.of([run([1.0, 0.0], status="diverged")]), "generalised", 0.9).groups
    assert (group.diverged, group.median.step) == (0, 100)


def test_row_of_a_run_that_ended_early_in_a_row_of_good_evaluations_says_no_more() -> None:
    def end(**noted: int | None) -> tuple[int, bool]:
        found = end_of(Run("a", {}, {"sustained_at": None, **noted}), "sustained", 0.995)
        assert found is not None
        return found.step, found.happened

    assert end(step=5000, generalised_at=4800) == (4800, False)  # a row may have begun then
    assert end(step=5000, generalised_at=900) == (4500, False)  # or less than 500 before the end
    assert end(step=5000, generalised_at=None) == (5000, False)  # there was no good evaluation
    assert end(step=300) == (1, False)  # nobody noted whether there was
    assert end(step=5000, sustained_at=2000) == (2000, True)


def test_threshold_is_of_the_analysis() -> None:
    results = Results.of([run([0.96, 0.992, 1.0])])
    steps = [times_to(results, "generalised", t).groups[0].median.step for t in (0.95, 0.99, 0.995)]
    assert steps == [100, 200, 300]


def test_runs_that_measured_nothing_are_not_counted() -> None:
    with pytest.raises(UsageError, match="no run there measured test/accuracy"):
        times_to(Results.of([run([])]), "generalised", 0.9)
    (group,) = times_to(Results.of([run([], 1), run([1.0], 2)]), "generalised", 0.9).groups
    assert group.median.count == "1 of 1"


def test_pairs_are_told_in_both_directions_of_the_same_numbers() -> None:
    runs = [run([0.0] * n + [1.0], seed, placement="off") for seed, n in enumerate((5, 7, 9))]
    runs += [run([0.0] * n + [1.0], seed, placement="pre") for seed, n in enumerate((1, 2, 3))]
    times = times_to(Results.of(runs), "generalised", 0.995)
    (pair,) = times.pairs()
    assert pair == times.pairs()[0]
    assert pair.ratio.value == pytest.approx(800 / 300)
    (row,) = pair_rows(times, [pair])
    assert {"group": "model.ln_type: off", "other": "model.ln_type: pre"}.items() <= row.items()
    assert (row["ratio"], row["log_rank_p"]) == (pair.ratio.value, row["log_rank_p_holm"])


def test_median_of_summaries_counts_runs_that_did_not() -> None:
    runs = [
        run([], 1, generalised_at=300, step=1000),
        run([], 2, generalised_at=None, step=1000),
        run([], 3, generalised_at=None, step=200, status="diverged"),
        run([], 4),  # did not begin
    ]
    median = median_told(runs, "generalised_at")
    assert median is not None
    assert (str(median).partition(" (")[0], median.count) == ("> 5,000", "1 of 3")
    assert median_told([runs[3]], "generalised_at") is None
