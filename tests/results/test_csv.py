"""Exported files read back: the same numbers, groups and runs, whatever these are called."""

import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grok_cli.errors import UsageError
from grok_cli.results import Results, Run
from grok_cli.results.csv import parse_name, read_groups, wide_columns
from grok_cli.results.export import metric_table, write_long, write_tables
from grok_cli.results.run import Source

METRIC = "test/loss"


def run_of(seed: int, values: dict[int, float], **changes: Any) -> Run:
    """A run of a seed with test losses by step; settings as `section__key=value`."""
    named = {key.replace("__", "."): value for key, value in changes.items()}
    table = pl.DataFrame(
        {"step": list(values), METRIC: list(values.values())},
        schema={"step": pl.Int64, METRIC: pl.Float64},
    )
    kept = {METRIC: table} if values else {}
    return Run(f"run {seed}", {"train.seed": seed, **named}, source=Source.of(kept))


def read_back(results: Results, out: Path, *, per_seed: bool) -> Results:
    files = write_tables(results, results.metrics, out, std=True, per_seed=per_seed)
    return Results.from_csv(list(files))


def equal(first: pl.DataFrame, second: pl.DataFrame) -> bool:
    return first.equals(second, null_equal=True)


def summary_of(tmp_path: Path, *rows: str) -> Results:
    header = "run,group,opt.weight_decay,train.seed,status,step,generalised_at,test/loss"
    (tmp_path / "summary.csv").write_text("\n".join([header, *rows]) + "\n")
    return Results.from_csv(tmp_path / "summary.csv")


def test_rows_of_a_summary_are_runs_with_settings_and_no_metrics(tmp_path: Path) -> None:
    name = "opt.weight_decay: 1"
    results = summary_of(tmp_path, f"'=a,{name},1.0,456,finished,900,,0.5", f"b,{name},1.0,7,,9,9,")
    (group,) = results.groups
    assert (group.name, group.settings) == (name, {"opt.weight_decay": 1})
    assert [run.name for run in group.runs] == [
        "=a",
        "b",
    ]  # as before the spreadsheet was thought of
    assert [run.settings for run in group.runs] == [
        {"opt.weight_decay": 1, "train.seed": seed} for seed in (456, 7)
    ]
    assert [run.metrics() for run in group.runs] == [[], []]
    assert [run.summary["generalised_at"] for run in group.runs] == [None, 9]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("a,x,1,1,finished,900,901,", "row 1: generalised_at 901 lies after the run's last step"),
        ("a,x,1,1,finished,soon,,", "step: expected whole numbers, found 'soon'"),
        ("a,x,1,1,finished,,,", "step: expected whole numbers, found an empty cell"),
        ("a,x,1,1,diverged,900,,", "expected a column train.steps"),
    ],
)
def test_rows_that_contradict_themselves_are_refused(tmp_path: Path, row: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        summary_of(tmp_path, row)


@pytest.mark.parametrize("event", ["memorised_at", "generalised_at", "sustained_at"])
def test_a_table_of_one_event_is_one_of_runs(tmp_path: Path, event: str) -> None:
    file = tmp_path / "own.csv"
    file.write_text(f"group,step,{event}\nmine,900,900\nmine,900,\n")
    (group,) = Results.from_csv(file).groups
    assert [run.summary[event] for run in group.runs] == [900, None]
    assert [run.name for run in group.runs] == [f"{file}, row 1", f"{file}, row 2"]
    file.write_text(f"group,step,{event}\nmine,900,901\n")
    with pytest.raises(UsageError, match=f"row 1: {event} 901 lies after"):
        Results.from_csv(file)


def test_curves_and_rows_of_one_group_are_one_group(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_text(f"group,seed,step,metric,value\ng,1,5,{METRIC},0.5\n")
    (tmp_path / "rows.csv").write_text("group,train.seed,step,generalised_at\ng,2,9,7\n")
    (group,) = Results.from_csv([tmp_path / "long.csv", tmp_path / "rows.csv"]).groups
    assert [run.seed for run in group.runs] == [1, 2]


@pytest.mark.parametrize(
    "text",
    [
        f"group,seed,step,metric,value\ng,1,7,{METRIC},3\ng,1,5,{METRIC},1\n",
        f"Step,g - {METRIC}__SEED_1\n7,3\n5,1\n",
        f"step,g - {METRIC}__RUN_a\n7,3\n5,1\n",
    ],
)
def test_values_are_in_the_order_of_their_steps(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    ((run,),) = (group.runs for group in Results.from_csv(tmp_path / "x.csv").groups)
    assert run.series(METRIC).rows() == [(5, 1.0), (7, 3.0)]


@pytest.mark.parametrize("seed", [0, 7, None])
def test_seeds_come_back_and_that_there_is_none(tmp_path: Path, seed: int | None) -> None:
    results = Results.of([run_of(1, {5: 1.0}, train__seed=seed)])
    long = Results.from_csv(write_long(results, [METRIC], tmp_path))
    for back in (long, read_back(results, tmp_path, per_seed=True)):
        assert [run.seed for run in back.runs] == [seed]


def test_groups_of_a_file_stay_what_it_calls_them_when_some_are_chosen(tmp_path: Path) -> None:
    rows = [f"{name},{seed},1,{METRIC},0.5" for name in ("mine", "theirs") for seed in (1, 2)]
    (tmp_path / "long.csv").write_text("\n".join(["group,seed,step,metric,value", *rows]) + "\n")
    results = Results.from_csv(tmp_path / "long.csv")
    assert [group.name for group in results.where([]).groups] == ["mine", "theirs"]
    chosen = results.where(["train.seed=2"]).groups
    assert [[run.seed for run in group.runs] for group in chosen] == [[2], [2]]


values = st.dictionaries(
    st.integers(0, 50),
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
    max_size=6,
).map(lambda found: dict(sorted(found.items())))
drawn_runs = st.lists(
    st.tuples(values, st.sampled_from(["off", "pre"]), st.sampled_from([0.1, 1.0, 1e-05, 3])),
    min_size=1,
    max_size=8,
).map(
    lambda drawn: [
        run_of(seed, found, model__ln_type=placement, opt__weight_decay=decay)
        for seed, (found, placement, decay) in enumerate(drawn)
    ]
)
relaxed = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@relaxed
@given(drawn_runs)
def test_export_then_import_is_the_identity(tmp_path: Path, runs: list[Run]) -> None:
    results = Results.of(runs)
    kept = [group for group in results.groups if METRIC in group.metrics()]
    if not kept:
        return
    for per_seed in (True, False):
        back = read_back(results, tmp_path, per_seed=per_seed)
        assert [g.name for g in back.groups] == [g.name for g in kept]
        assert [dict(g.settings) for g in back.groups] == [dict(g.settings) for g in kept]
        columns = ["step", "mean", "min", "max", "std", *(["runs"] if per_seed else [])]
        for before, after in zip(kept, back.groups, strict=True):
            expected = before.mean(METRIC).select(columns)
            assert equal(expected, after.mean(METRIC).select(columns))
        assert back.keys == results.keys


@relaxed
@given(drawn_runs, st.randoms())
def test_groups_do_not_depend_on_the_order_of_runs(runs: list[Run], random: Any) -> None:
    shuffled = list(runs)
    random.shuffle(shuffled)
    first, second = Results.of(runs), Results.of(shuffled)
    assert [[run.name for run in group.runs] for group in first.groups] == [
        [run.name for run in group.runs] for group in second.groups
    ]
    assert set(first.keys) == set(second.keys)
    assert equal(first.frame(), second.frame())
    for one, other in zip(first.groups, second.groups, strict=True):
        assert equal(one.mean(METRIC), other.mean(METRIC))


@relaxed
@given(drawn_runs)
def test_long_files_hold_every_value(tmp_path: Path, runs: list[Run]) -> None:
    results = Results.of(runs)
    if not results.metrics:
        return
    back = Results.from_csv(write_long(results, results.metrics, tmp_path))
    wanted = ["seed", "step", "metric", "value"]
    before, after = results.frame().select(wanted), back.frame().select(wanted)
    assert equal(before.sort(wanted), after.sort(wanted))


AWKWARD = ["a - b", "x - y - z", "a__MIN", "b__SEED_4", "c, opt.eps: 1", "[a]", "=1", "", "n: m"]


@pytest.mark.parametrize("name", AWKWARD)
def test_runs_keep_their_values_whatever_their_names(tmp_path: Path, name: str) -> None:
    runs = [
        Run(run_name, {"train.seed": 1, "data.task": "add"}, source=run_of(1, {5: value}).source)
        for run_name, value in (("first", 1.0), (name, 2.0), (f"{name} - last", 4.5))
    ]
    results = Results.of(runs, ["data.task"])
    (group,) = read_back(results, tmp_path, per_seed=True).groups
    assert sorted(run.series(METRIC)[METRIC][0] for run in group.runs) == [1.0, 2.0, 4.5]
    assert {run.name for run in group.runs} == {run.name for run in runs}
    assert group.mean(METRIC)["mean"].to_list() == [2.5]
    assert dict(group.settings) == {"data.task": "add"}


@pytest.mark.parametrize("value", ["a - b", "x, y", "pre__MIN", "[1]", "7", "null", "", " a "])
def test_groups_of_awkward_values_stay_groups(tmp_path: Path, value: str) -> None:
    runs = [
        run_of(seed, {1: float(seed)}, wandb__name=name)
        for seed, name in ((1, value), (2, value), (3, "other"))
    ]
    results = Results.of(runs, ["wandb.name"])
    back = read_back(results, tmp_path, per_seed=True)
    assert sorted(len(group.runs) for group in back.groups) == [1, 2]
    assert {group.name for group in back.groups} == {group.name for group in results.groups}


def test_values_that_are_shown_alike_make_groups_of_their_own(tmp_path: Path) -> None:
    runs = [run_of(1, {1: 1.0}, wandb__name="null"), run_of(2, {1: 2.0}, wandb__name=None)]
    results = Results.of(runs, ["wandb.name"])
    assert len(results.groups) == 2
    means = [name for name in metric_table(results, METRIC).columns if name.endswith(METRIC)]
    assert len(set(means)) == 2
    assert len(read_back(results, tmp_path, per_seed=False).groups) == 2


def test_downloads_of_the_console_are_read(tmp_path: Path) -> None:
    """As W&B writes them, runs by their names: no seeds, a mean with its bounds."""
    (tmp_path / "down.csv").write_text(
        '"Step","my - run - test/loss","my - run - test/loss__MIN","my - run - test/loss__MAX"\n'
        '"1","0.5","0.25","1"\n"2","","",""\n"3","NaN","NaN","NaN"\n'
    )
    results = Results.from_csv(tmp_path / "down.csv")
    (group,) = results.groups
    assert (group.label, group.name, dict(group.settings)) == ("my - run", "my - run", {})
    assert results.metrics == [METRIC]
    first, last = group.mean(METRIC).select("step", "mean", "min", "max", "runs").rows()
    assert first == (1, 0.5, 0.25, 1.0, None)
    assert last[0] == 3
    assert math.isnan(last[1])


def test_seeds_are_joined_from_several_files_and_twice_is_an_error(tmp_path: Path) -> None:
    files = []
    for seed in (1, 2):
        results = Results.of([run_of(seed, {1: float(seed)}, model__ln_type="pre")])
        out = tmp_path / str(seed)
        files += list(write_tables(results, [METRIC], out, std=False, per_seed=True))
    (group,) = Results.from_csv(files).groups
    assert [run.seed for run in group.runs] == [1, 2]
    with pytest.raises(
        UsageError, match=r"another file holds test/loss of model\.ln_type: pre, too"
    ):
        Results.from_csv([files[0], files[0]])


@pytest.mark.parametrize(
    "text", ["a,b\n1,2\n", "Step,loss\n1,2\n", "Step\n", "", "Step,g - m\n1,2,3\n"]
)
def test_other_files_are_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(UsageError, match=r"x\.csv"):
        Results.from_csv(tmp_path / "x.csv")
    with pytest.raises(UsageError, match="no such file"):
        Results.from_csv(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Step,g - m\n1,2\nx,3\n", "found 'x'"),
        ("Step,g - m\n1,2\n,3\n", "found an empty cell"),
        ("Step,g - m__SEED_1\n1,2\nnan,3\n", "found 'nan'"),
        ("group,seed,step,metric,value\ng,1,x,m,2\n", "found 'x'"),
    ],
)
def test_a_step_that_is_no_number_is_named(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(UsageError, match=rf"x\.csv: [Ss]tep: expected whole numbers, {found}"):
        Results.from_csv(tmp_path / "x.csv")


def test_a_long_file_of_coarse_groups_is_refused(tmp_path: Path) -> None:
    runs = [run_of(1, {1: 1.0}, model__ln_type=name) for name in ("pre", "off")]
    file = write_long(Results.of(runs, ["data.task"]), [METRIC], tmp_path)
    with pytest.raises(UsageError, match="--group-by"):
        Results.from_csv(file)


def test_columns_belong_to_the_one_that_they_extend() -> None:
    columns = wide_columns(
        ["g - m", "g - m__MIN", "g - m__RUN_a - b__MAX", "g - m__MIN - m", "h - m__SEED_1"]
    )
    assert columns == {
        ("g", "m"): {"": "g - m", "MIN": "g - m__MIN", "RUN_a - b__MAX": "g - m__RUN_a - b__MAX"},
        ("g - m__MIN", "m"): {"": "g - m__MIN - m"},
        ("h", "m"): {"SEED_1": "h - m__SEED_1"},
    }


def test_names_of_groups_state_settings_or_none() -> None:
    assert parse_name("model.ln_type: off, opt.weight_decay: 0.5") == {
        "model.ln_type": "off",
        "opt.weight_decay": 0.5,
    }
    assert parse_name("data.split_seed: null") == {"data.split_seed": None}
    assert parse_name("my run: good, better") == {}


def test_groups_of_a_table_leave_out_what_most_of_them_have(tmp_path: Path) -> None:
    names = [
        "model.ln_type: off, model.norm: layernorm",
        "model.ln_type: pre, model.norm: layernorm",
    ]
    names += ["model.ln_type: pre, model.norm: dyt"]
    file = tmp_path / "runs.csv"
    file.write_text("group,step,generalised_at\n" + "".join(f'"{name}",9,5\n' for name in names))
    assert {group.label for group in read_groups([file])} == {"off", "pre", "pre, dyt"}
