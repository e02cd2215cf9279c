"""Runs on disk: the file that is read is the run's own, and one damaged run stops no other."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grok_cli.errors import UsageError
from grok_cli.results import Results, series
from grok_cli.results.disk import sound_summary
from grok_cli.results.series import Disk, Memory, read_series
from grok_cli.runs.directory import RunDir
from grok_cli.runs.measured import add_measured
from tests.written_runs import Rows, make_run

ROWS: Rows = {"step": [1, 2], "train/loss": [2.0, 1.0], "test/accuracy": [None, 0.5]}
ODD_NAMES = [
    *("[a]", "run[1-9]", "r*n", "ru?", "{x,y}", "$HOME", "~", "a - b", "a, b: c", "%d", "#1"),
    *(
        "=1+1",
        "@x",
        "-x",
        "tab\there",
        "line\nbreak",
        "\x1b[31mred",
        "öäü",
        " ",
        "a__MIN",
        "r" * 200,
    ),
]


def losses(value: float) -> Rows:
    return {"step": [1, 2], "train/loss": [value, value]}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_run_of_any_name_gives_its_own_numbers(tmp_path: Path, name: str) -> None:
    """Beside runs that the name, read as a pattern, would find."""
    for number, other in enumerate([name, "a", "run1", "run", "x", "y"]):
        run = make_run(tmp_path / "made", losses(float(number)), train__seed=number)
        run.rename(tmp_path / other)
    results = Results.from_disk(tmp_path)
    (run,) = [run for run in results.runs if run.name == name]
    assert run.series("train/loss")["train/loss"].to_list() == [0.0, 0.0]
    alone = Results.from_disk(tmp_path / name)
    assert [run.name for run in alone.runs] == [name]
    assert alone.groups[0].mean("train/loss")["mean"].to_list() == [0.0, 0.0]


def test_runs_of_odd_names_are_told_apart_where_memory_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(["[ab]", "a", "b"]):
        made = make_run(tmp_path / "made", losses(float(number)), train__seed=number)
        made.rename(tmp_path / name)
    monkeypatch.setattr(series, "KEPT_BYTES", 0)
    results = Results.from_disk(tmp_path)
    found = {run.name: run.series("train/loss")["train/loss"][0] for run in results.runs}
    assert found == {"[ab]": 0.0, "a": 1.0, "b": 2.0}


def damage_config(run: Path) -> None:
    (run / "config.yaml").write_text("model: {ln_type: [")


def empty_config(run: Path) -> None:
    (run / "config.yaml").write_text("")


def unreadable_config(run: Path) -> None:
    (run / "config.yaml").write_bytes(b"\xff\xfe\x00")


def text_in_metrics(run: Path) -> None:
    (run / "metrics.csv").write_text("step,train/loss\n1,text\n")


def other_metrics(run: Path) -> None:
    (run / "metrics.csv").write_text("no,steps\n1,2\n")


def empty_metrics(run: Path) -> None:
    (run / "metrics.csv").write_text("")


def ragged_metrics(run: Path) -> None:
    (run / "metrics.csv").write_text("step,train/loss\n1,2,3\n")


def damaged_measured(run: Path) -> None:
    (run / "measured.csv").write_text("step,rank\nx,2\n")


@pytest.mark.parametrize(
    ("damage", "file"),
    [
        (damage_config, "config.yaml"),
        (empty_config, "config.yaml"),
        (unreadable_config, "config.yaml"),
        (text_in_metrics, "metrics.csv"),
        (other_metrics, "metrics.csv"),
        (empty_metrics, "metrics.csv"),
        (ragged_metrics, "metrics.csv"),
        (damaged_measured, "measured.csv"),
    ],
)
def test_a_damaged_run_is_named_and_the_others_are_read(
    tmp_path: Path, damage: Callable[[Path], None], file: str
) -> None:
    good = make_run(tmp_path, ROWS, train__seed=1)
    bad = make_run(tmp_path, ROWS, train__seed=2)
    damage(bad)
    results = Results.from_disk(tmp_path)
    assert [run.name for run in results.runs] == [good.name]
    (problem,) = results.problems
    assert str(bad / file) in problem
    assert "\n" not in problem


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"status": ', "\x00", "[" * 100_000])
def test_a_damaged_summary_is_named_and_the_run_is_still_listed(tmp_path: Path, text: str) -> None:
    run = make_run(tmp_path, ROWS)
    (run / "summary.json").write_text(text)
    results = Results.from_disk(tmp_path, include="all")
    assert any(str(run) in problem for problem in results.problems)


def test_odd_types_in_a_summary_are_left_empty(tmp_path: Path) -> None:
    run = make_run(tmp_path, ROWS)
    odd = {
        **{"status": "finished", "step": "many", "delay": [1], "message": 5, "seconds": "1"},
        **{"generalised_at": 3, "memorised_at": True, "final": {"test/loss": "x", "a": 1.5}},
    }
    (run / "summary.json").write_text(json.dumps(odd))
    results = Results.from_disk(tmp_path)
    (found,) = results.runs
    assert found.summary["generalised_at"] == 3
    assert found.summary["final"] == {"a": 1.5}
    assert all(found.summary[key] is None for key in ("step", "delay", "message", "seconds"))
    (problem,) = results.problems
    assert "step, delay, message, seconds, memorised_at, final" in problem
    assert sound_summary({"status": "new"}) == {"status": "new"}
    for key in ("step", "memorised_at", "generalised_at", "sustained_at", "delay"):
        assert sound_summary({key: 2.5}) == {key: None}  # a step is whole
    for key in ("seconds", "steps_per_second"):
        assert [sound_summary({key: value})[key] for value in (2.5, "2.5", True)] == [
            2.5,
            None,
            None,
        ]


@pytest.mark.parametrize(
    ("status", "damaged"), [("finished", True), ("diverged", True), ("running", False)]
)
def test_a_run_that_ended_has_metrics_and_one_that_begins_may_have_none(
    tmp_path: Path, status: str, damaged: bool
) -> None:
    run = make_run(tmp_path, ROWS, status)
    (run / "metrics.csv").write_text("")
    results = Results.from_disk(tmp_path, include="all")
    assert (len(results.runs), len(results.problems)) == ((0, 1) if damaged else (1, 0))


def test_metrics_that_nobody_asks_for_are_not_read(tmp_path: Path) -> None:
    run = make_run(tmp_path, ROWS, "diverged")
    (run / "metrics.csv").write_text("damaged")
    listed = Results.from_disk(tmp_path, include="all", metrics=False)
    assert ([found.name for found in listed.runs], listed.problems) == ([run.name], ())
    finished = Results.from_disk(tmp_path)
    assert ([found.name for found in finished.left_out], finished.problems) == ([run.name], ())


def test_no_directory_and_no_run_are_different_messages(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such directory"):
        Results.from_disk(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds no runs"):
        Results.from_disk(tmp_path)


def test_a_run_found_twice_counts_once_and_equal_names_are_told_apart(tmp_path: Path) -> None:
    first = make_run(tmp_path / "one", ROWS)
    second = make_run(tmp_path / "two", ROWS)
    assert first.name == second.name
    results = Results.from_disk([tmp_path / "one", tmp_path / "two", first])
    assert [run.name for run in results.runs] == [str(first), str(second)]


def test_the_first_file_counts_where_two_hold_a_metric(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("step,rank\n1,5.0\n2,\n")
    (tmp_path / "b.csv").write_text("step,rank,extra\n0,9.0,1.0\n1,6.0,2.0\n2,7.0,\n")
    found = read_series([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert found["rank"].rows() == [(0, 9.0), (1, 5.0), (2, 7.0)]
    assert found["extra"].rows() == [(0, 1.0), (1, 2.0)]


def test_a_last_line_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("step,rank\n1,5.0\n2,7")
    assert read_series([tmp_path / "a.csv"])["rank"].rows() == [(1, 5.0)]


def test_lines_may_end_as_windows_ends_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"step,rank\r\n1,5.0\r\n2,\r\n")
    assert read_series([tmp_path / "a.csv"])["rank"].rows() == [(1, 5.0)]


def test_rows_out_of_order_are_put_in_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("step,rank\n3,1.0\n1,5.0\n1,6.0\n2,7.0\n")
    assert read_series([tmp_path / "a.csv"])["rank"].rows() == [(1, 5.0), (2, 7.0), (3, 1.0)]
    (tmp_path / "a.csv").write_text("step,rank\n1,5.0\n1,6.0\n2,7.0\n")
    assert read_series([tmp_path / "a.csv"])["rank"].rows() == [(1, 5.0), (2, 7.0)]


# Training flushes subnormal numbers to 0 for the whole process.
NORMAL = st.floats(allow_subnormal=False)


@given(st.lists(NORMAL | st.floats(width=32, allow_subnormal=False), min_size=1, max_size=20))
def test_what_is_kept_is_what_was_read(tmp_path_factory: Any, values: list[float]) -> None:
    file = tmp_path_factory.getbasetemp() / "kept.csv"
    file.write_text("step,x\n" + "".join(f"{i},{v!r}\n" for i, v in enumerate(values)))
    read = read_series([file])["x"]
    assert Memory().read([file]).series("x").equals(read)
    assert Memory(0).read([file]).series("x").equals(read)
    assert list(map(repr, read["x"])) == list(map(repr, values))


def test_what_memory_has_no_room_for_lies_in_a_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("step,x\n1,0.5\n2,0.1\n")  # 0.1 needs 64 bits
    (tmp_path / "b.csv").write_text("step,x\n1,0.5\n2,0.25\n")
    memory = Memory(limit=20)
    kept = memory.read([tmp_path / "a.csv"])
    assert memory.left == 4
    others = [memory.read([tmp_path / name]) for name in ("b.csv", "a.csv")]
    assert memory.left == 4
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).unlink()  # each was read once
    rows = [source.series("x").rows() for source in (kept, *others)]
    assert rows == [[(1, 0.5), (2, 0.1)], [(1, 0.5), (2, 0.25)], [(1, 0.5), (2, 0.1)]]


def test_metrics_stay_in_memory_where_a_temporary_file_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Disk, values: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Disk, "keep", full)
    (tmp_path / "a.csv").write_text("step,x\n1,0.5\n")
    assert Memory(0).read([tmp_path / "a.csv"]).series("x").rows() == [(1, 0.5)]


def test_columns_of_old_runs_are_read_by_their_present_names(tmp_path: Path) -> None:
    run = tmp_path
    old = ["attention/attn_out_eff_rank", "attention/layer1/attn_out_eff_rank", "test/loss"]
    (run / "metrics.csv").write_text(",".join(["step", *old]) + "\n1,3.0,4.0,2.0\n")
    (run / "measured.csv").write_text("step,hessian/min_eigenval\n1,-2.0\n")
    found = read_series([run / "metrics.csv", run / "measured.csv"])
    assert {name: table[name].to_list() for name, table in found.items()} == {
        "attention/answer_out_effective_rank": [3.0],
        "attention/layer1/answer_out_effective_rank": [4.0],
        "test/loss": [2.0],
        "hessian/smallest_eigenval": [-2.0],
    }
    name = "attention/answer_out_effective_rank"
    assert read_series([run / "metrics.csv"], [name])[name][name].to_list() == [3.0]


def test_the_phase_of_old_runs_is_read_by_its_present_name(tmp_path: Path) -> None:
    run = make_run(tmp_path, losses(1.0))
    (run / "summary.json").write_text(json.dumps({"status": "finished", "phase": "grokked"}))
    (found,) = Results.from_disk(tmp_path).runs
    assert found.summary["phase"] == "generalised"


def test_a_summary_of_an_old_run_is_sound_and_read_by_present_names(tmp_path: Path) -> None:
    run = make_run(tmp_path, ROWS)
    summary = {"status": "finished", "final": {"hessian/min_eigenval": -2.0}}
    (run / "summary.json").write_text(json.dumps(summary))
    results = Results.from_disk(tmp_path)
    assert results.problems == ()
    assert results.runs[0].summary["final"] == {"hessian/smallest_eigenval": -2.0}


def test_measuring_an_old_run_again_leaves_one_column(tmp_path: Path) -> None:
    file = tmp_path / "measured.csv"
    file.write_text("step,hessian/min_eigenval\n1,-2.0\n")
    add_measured(file, {2: {"hessian/smallest_eigenval": -3.0}})
    assert file.read_text() == "step,hessian/smallest_eigenval\n1,-2.0\n2,-3.0\n"


@pytest.mark.parametrize("keeps_its_name", [True, False])
def test_an_edited_configuration_is_not_what_a_run_is_shown_as(
    tmp_path: Path, keeps_its_name: bool
) -> None:
    """By the digest in the directory's name, or else by what the run recorded of its start."""
    good = make_run(tmp_path, ROWS, train__seed=1)
    edited = make_run(tmp_path, ROWS, train__seed=2)
    if not keeps_its_name:
        identity = RunDir(edited).config().identity()
        (edited / "environment.json").write_text(json.dumps([{"identity": identity}]))
        edited = edited.rename(tmp_path / "mine")
    file = edited / "config.yaml"
    file.write_text(file.read_text().replace("seed: 2", "seed: 3"))
    results = Results.from_disk(tmp_path)
    assert [run.name for run in results.runs] == [good.name]
    (problem,) = results.problems
    assert str(file) in problem
    assert keeps_its_name or "train.seed: 3, and was 2" in problem
