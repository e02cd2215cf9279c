"""A run is trained once: what another sweep trained is linked, and read wherever runs are read."""

import json
import shutil
from pathlib import Path

import pytest

from grok_cli.errors import GrokError, UsageError
from grok_cli.runs.directory import RunDir, create_run, find_runs
from grok_cli.runs.launch import train_run
from grok_cli.sweeps.plan import PlannedRun, plan_runs, take_over
from grok_cli.sweeps.reuse import TrainedRuns, link_run, runs_beside, runs_named, same_run_in
from grok_cli.sweeps.spec import Spec
from tests.conftest import SMALL_FLAGS, small_config
from tests.typed import Grok

SPEC = Spec(grid={"model.ln_type": ["off", "pre"]}, seeds=[1])


def planned(directory: Path, **settings: object) -> list[PlannedRun]:
    return plan_runs(SPEC, settings, None, directory)


def done(run: PlannedRun, status: str = "finished", step: int = 10_000) -> Path:
    """Write a run's directory as training leaves it."""
    run.create()
    run.run.summary_file.write_text(json.dumps({"status": status, "step": step}))
    return run.run.path


def beside(directory: Path) -> TrainedRuns:
    return TrainedRuns(runs_beside(directory))


def test_a_finished_run_beside_is_taken_over_by_a_relative_link(tmp_path: Path) -> None:
    off, _ = planned(tmp_path / "first")
    theirs = done(off)
    mine, other = take_over(planned(tmp_path / "second"), beside(tmp_path / "second"))
    assert mine.taken_from is not None
    assert other.taken_from is None
    assert mine.summary()["status"] == "finished"
    assert not (tmp_path / "second").exists()
    mine.create()
    assert mine.run.path.readlink() == Path("../first") / theirs.name
    again, _ = take_over(planned(tmp_path / "second"), TrainedRuns())
    assert again.taken_from is not None
    assert again.taken_from.path == theirs


def test_what_was_measured_makes_no_other_run(tmp_path: Path) -> None:
    off, _ = planned(tmp_path / "first", **{"measure.diagnostics": {"rank": 10}})
    done(off)
    mine, _ = take_over(planned(tmp_path / "second"), beside(tmp_path / "second"))
    assert mine.taken_from is not None


def test_a_run_that_is_not_done_goes_on_where_it_is(tmp_path: Path) -> None:
    off, pre = planned(tmp_path / "first")
    off.create()  # its sweep is just starting it
    done(pre, "interrupted", 400)
    new, begun = take_over(planned(tmp_path / "second"), beside(tmp_path / "second"))
    assert new.taken_from is not None
    assert begun.taken_from is not None
    assert (new.summary()["status"], begun.summary()["step"]) == ("new", 400)


def test_a_run_that_another_sweep_starts_meanwhile_is_found(tmp_path: Path) -> None:
    mine, _ = planned(tmp_path / "second")
    mine.run.path.parent.mkdir()
    digest = mine.config.digest()
    assert same_run_in(tmp_path, mine.run.path, digest) is None
    done(planned(tmp_path / "first")[0], "interrupted", 10)
    found = same_run_in(tmp_path, mine.run.path, digest)
    assert found is not None
    assert found.path == tmp_path / "first" / mine.name
    done(mine)  # nearer to its end, and no other
    again = same_run_in(tmp_path, mine.run.path, digest)
    assert again is not None
    assert again.path == found.path
    assert [run.path.parent.name for run in runs_beside(tmp_path / "second")] == ["first"]


def test_the_run_nearest_to_its_end_is_taken(tmp_path: Path) -> None:
    """Each that comes is nearer than those before it, and stands behind them."""
    for name, status, step in (
        ("a", "new", 0),
        ("b", "interrupted", 20),
        ("c", "interrupted", 900),
        ("d", "diverged", 5),
        ("e", "finished", 10),
    ):
        done(planned(tmp_path / name)[0], status, step)
        if status == "new":
            planned(tmp_path / name)[0].run.summary_file.unlink()
        mine, _ = take_over(planned(tmp_path / "z"), beside(tmp_path / "z"))
        assert mine.taken_from is not None
        assert mine.taken_from.path.parent.name == name
    done(planned(tmp_path / "f")[0])  # another that is done: the first stays
    mine, _ = take_over(planned(tmp_path / "z"), beside(tmp_path / "z"))
    assert mine.taken_from is not None
    assert mine.taken_from.path.parent.name == "e"


def test_a_directory_of_another_name_counts_if_its_run_is_equal(tmp_path: Path) -> None:
    off, _ = planned(tmp_path / "own")
    theirs = done(off)
    theirs.rename(theirs.with_name("my-run"))
    mine, _ = take_over(planned(tmp_path / "own"), TrainedRuns(find_runs(tmp_path / "own")))
    assert (mine.name, mine.taken_from) == ("my-run", None)


def test_an_edited_run_is_not_taken_for_what_it_was_edited_into(tmp_path: Path) -> None:
    """Its directory is named by what it was trained with, and its snapshots say the same."""
    config = small_config(train__steps=20)
    run = create_run(tmp_path / "first" / config.run_name(), config)
    assert train_run(run, config).status == "finished"
    edited = small_config(train__steps=20, opt__learning_rate=0.5)
    text = run.config_file.read_text()
    run.config_file.write_text(text.replace("learning_rate: 0.001", "learning_rate: 0.5"))
    trained = TrainedRuns(find_runs(tmp_path))
    assert trained.find(edited.digest()) is None
    earlier = run.path.rename(run.path.with_name("add-off-s456-0123456789"))
    RunDir(earlier).config_file.write_text(text)  # a name that an earlier version gave
    assert TrainedRuns(find_runs(tmp_path)).find(config.digest()) is not None


def test_an_edited_configuration_in_the_sweep_is_refused_with_the_key(tmp_path: Path) -> None:
    off, _ = planned(tmp_path)
    path = done(off)
    file = path / "config.yaml"
    file.write_text(file.read_text().replace("weight_decay: 1.0", "weight_decay: 2.0"))
    with pytest.raises(UsageError, match=r"edited: opt\.weight_decay: 2\.0, and was 1\.0;"):
        take_over(planned(tmp_path), TrainedRuns())


def test_a_link_whose_run_is_gone_gets_a_clear_message(tmp_path: Path) -> None:
    off, _ = planned(tmp_path / "first")
    theirs = done(off)
    mine, _ = take_over(planned(tmp_path / "second"), beside(tmp_path / "second"))
    mine.create()
    shutil.rmtree(theirs)
    (found,) = find_runs(tmp_path / "second")
    with pytest.raises(GrokError, match=r"link to \.\./first/.*no run is any more"):
        found.config()
    with pytest.raises(GrokError, match="no run is any more"):
        take_over(planned(tmp_path / "second"), beside(tmp_path / "second"))
    done(planned(tmp_path / "third")[0])  # the same run elsewhere: the link is mended
    mended, _ = take_over(planned(tmp_path / "second"), beside(tmp_path / "second"))
    mended.create()
    assert mended.run.path.resolve().parent.name == "third"


def test_find_runs_follows_links_and_yields_each_run_once(tmp_path: Path) -> None:
    off, pre = planned(tmp_path / "first")
    for run in (off, pre):
        done(run)
    second = tmp_path / "second"
    link_run(second / off.name, off.run.path)
    link_run(second / "another-name", off.run.path)
    assert [run.path.name for run in find_runs(second)] == [off.name]
    assert [run.path.parent.name for run in find_runs(tmp_path)] == ["first"] * 2
    far = tmp_path / "elsewhere" / "deep"
    link_run(far / pre.name, pre.run.path)
    assert (far / pre.name).readlink().is_absolute()


def test_only_a_directory_with_runs_can_be_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such directory"):
        list(runs_named([tmp_path / "nowhere"]))
    with pytest.raises(UsageError, match="holds no runs"):
        list(runs_named([tmp_path]))


def test_links_in_a_ring_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "ring").symlink_to("ring")
    assert not [*find_runs(tmp_path), *find_runs(tmp_path / "ring")]
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/add-off-s456-4d36bd0181").symlink_to("../ring")
    (found,) = find_runs(tmp_path / "runs")
    assert TrainedRuns([found]).find("4d36bd0181") is None
    with pytest.raises(UsageError, match="no run is any more"):
        found.config()


def test_what_is_in_the_way_of_a_link_stays(tmp_path: Path) -> None:
    off, _ = planned(tmp_path / "first")
    theirs = done(off)
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / off.name).write_text("mine")
    with pytest.raises(UsageError, match="in the way"):
        link_run(tmp_path / "second" / off.name, theirs)
    assert (tmp_path / "second" / off.name).read_text() == "mine"


def test_second_sweep_trains_nothing_and_measures_what_is_missing(
    typed: Grok, tmp_path: Path
) -> None:
    sweep = ["sweep", *SMALL_FLAGS, "--seeds=1", "--jobs=1"]
    first = typed(*sweep, "--grid=model.ln_type=off", "--runs-dir=runs/a")
    assert first.returncode == 0, first.stderr
    (theirs,) = find_runs(tmp_path / "runs" / "a")
    metrics = theirs.metrics_file.read_bytes()

    second = [*sweep, "--grid=model.ln_type=off", "--runs-dir=runs/b", "--measure=rank:20"]
    plan = typed(*second, "--dry-run")
    assert ", 0 steps to go" in plan.stdout
    assert "1 taken from runs/a" in plan.stdout
    result = typed(*second)
    assert result.returncode == 0, result.stderr
    (mine,) = find_runs(tmp_path / "runs" / "b")
    assert mine.path.is_symlink()
    assert mine.metrics_file.read_bytes() == metrics
    header, *rows = theirs.measured_file.read_text().splitlines()
    assert "alpha_req/effective_rank_test" in header
    assert [row.split(",")[0] for row in rows] == ["1", "20", "40", "60"]
    assert len(json.loads(theirs.environment_file.read_text())) == 1  # trained once

    stamp = theirs.measured_file.stat().st_mtime_ns
    assert typed(*second).returncode == 0
    assert theirs.measured_file.stat().st_mtime_ns == stamp  # measured once, too
    anew = typed(*second, "--no-reuse", "--dry-run", "--json")
    assert json.loads(anew.stdout)["steps_left"] == 0  # a link that is there stays
    own = typed(*sweep, "--grid=model.ln_type=off", "--runs-dir=runs/c", "--no-reuse", "--dry-run")
    assert ", 60 steps to go" in own.stdout
    named = typed(*sweep, "--grid=model.ln_type=off", "--runs-dir=d/d", "--reuse=runs", "--dry-run")
    assert ", 0 steps to go" in named.stdout
    export = typed("export-csv", "runs/b", "--out", "b.csv")
    assert export.returncode == 0, export.stderr
    assert list((tmp_path / "b.csv").iterdir())
