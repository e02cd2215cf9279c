"""Diagnostics of a run: while it trains, afterwards from snapshots, and as a screen of findings."""

import json
import shutil
from pathlib import Path

import pandas
import pytest
import torch

from grok_cli.cli.measure import thin_out
from grok_cli.core.initial import initial_model
from grok_cli.diagnostics.findings import findings_of
from grok_cli.diagnostics.measures.attention import measure_layers
from grok_cli.diagnostics.subject import Subject
from grok_cli.errors import GrokWarning, UsageError
from grok_cli.runs.checkpoints import load_snapshot
from grok_cli.runs.directory import RunDir, create_run
from grok_cli.runs.launch import train_run
from grok_cli.runs.measured import add_measured, read_measured
from grok_cli.runs.measuring import measure_snapshots, subject_of
from tests.conftest import small_config
from tests.typed import Grok

DIAGNOSTICS = {"rank": 20, "attention": 10, "ntk": 20, "norms": 20}


def trained(path: Path, **changes: object) -> RunDir:
    config = small_config(**changes)
    run = create_run(path, config)
    train_run(run, config)
    return run


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return trained(tmp_path_factory.mktemp("runs") / "plain")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return trained(tmp_path_factory.mktemp("runs") / "measured", measure__diagnostics=DIAGNOSTICS)


def test_measuring_does_not_change_training(plain: RunDir, measured: RunDir) -> None:
    alone, beside = (pandas.read_csv(run.metrics_file) for run in (plain, measured))
    pandas.testing.assert_frame_equal(beside[alone.columns], alone, check_exact=True)
    weights = [torch.load(run.snapshots()[-1])["weights"] for run in (plain, measured)]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])


def test_diagnostics_stand_at_step_1_and_at_multiples(measured: RunDir) -> None:
    table = pandas.read_csv(measured.metrics_file).set_index("step")
    assert table["alpha_req/rank_test"].dropna().index.tolist() == [1, 20, 40, 60]
    assert len(table["attention/attn_score_entropy"].dropna()) == 7


def test_snapshots_give_the_values_of_training(plain: RunDir, measured: RunDir) -> None:
    list(measure_snapshots(plain.snapshots(), ["rank", "attention"]))
    list(measure_snapshots(plain.snapshots()[:3], ["ntk"]))
    during = pandas.read_csv(measured.metrics_file).set_index("step")
    after = pandas.read_csv(plain.measured_file).set_index("step")
    assert after.index.tolist() == [0, 1, 10, 20, 40, 50, 60]
    for metric in ("alpha_req/effective_rank_test", "attention/attn_score_entropy"):
        both = [1, 20, 40, 60]
        assert after.loc[both, metric].tolist() == pytest.approx(during.loc[both, metric].tolist())
    assert after.loc[0, "ntk/relative_distance"] == 0
    assert after["ntk/relative_distance"].notna().sum() == 3


def test_resumed_run_measures_the_distance_from_step_0(measured: RunDir, tmp_path: Path) -> None:
    config = small_config(measure__diagnostics=DIAGNOSTICS)
    run = create_run(tmp_path / "resumed", config)
    steps = iter(range(100))
    assert train_run(run, config, should_stop=lambda: next(steps) == 24).status == "interrupted"
    assert train_run(run, config).status == "finished"
    assert run.metrics_file.read_bytes() == measured.metrics_file.read_bytes()


def test_measured_values_are_merged(tmp_path: Path) -> None:
    file = tmp_path / "measured.csv"
    add_measured(file, {20: {"a": 0.1}, 3: {"a": 1 / 3}})
    add_measured(file, {20: {"b": 2.0}, 3: {"a": 5.0}})
    assert read_measured(file) == {3: {"a": 5.0}, 20: {"a": 0.1, "b": 2.0}}
    assert file.read_text().splitlines()[0] == "step,a,b"


def test_distance_without_the_initial_model_is_refused(plain: RunDir, tmp_path: Path) -> None:
    alone = tmp_path / "alone.pt"
    alone.write_bytes(plain.snapshots()[-1].read_bytes())
    with pytest.raises(UsageError, match=r"alone\.pt.*step 0"):
        list(measure_snapshots([alone], ["ntk"]))
    (measured,) = measure_snapshots([alone], ["rank"])
    assert (measured.place, measured.snapshot.step) == (alone, 60)


def test_thinned_out_values_keep_first_and_last() -> None:
    assert thin_out(range(10), 4) == [0, 3, 6, 9]
    assert thin_out(range(10), 10) == range(10)


def test_measure_takes_lists_either_way(typed: Grok, plain: RunDir, tmp_path: Path) -> None:
    last = str(plain.snapshots()[-1])
    comma = typed("measure", last, "-m", "margin,rank", "--json", "--csv", "m.csv")
    again = typed("measure", last, "-m", "margin", "--measure", "rank", "--json")
    earlier = typed("measure", last, "--metrics", "margin,rank", "--json")
    assert comma.stdout == again.stdout == earlier.stdout
    (record,) = json.loads(comma.stdout)
    (row,) = pandas.read_csv(tmp_path / "m.csv").to_dict("records")
    assert row == pytest.approx(record)


def test_piped_values_are_tab_separated(typed: Grok, plain: RunDir) -> None:
    lines = typed("measure", str(plain.path), "-m", "margin").stdout.splitlines()
    assert lines[0].split("\t") == ["step", "0", "1", "10", "20", "40", "50", "60"]
    assert all(len(line.split("\t")) == 8 for line in lines)


def test_measure_lists_refuses_and_prints(typed: Grok, plain: RunDir) -> None:
    explained = typed("measure", "--list").stdout
    assert "||K_t - K_0||_F" in explained
    assert "arXiv 2301.05217" in explained
    refused = typed("measure", str(plain.path), "-m", "rnak")
    assert (refused.returncode, "did you mean rank?" in refused.stderr) == (2, True)
    printed = typed("measure", str(plain.snapshots()[-1]), "-m", "margin")
    assert "test/top2_margin" in printed.stdout


def clock_subject(p: int = 13) -> Subject:
    """A network whose logits are replaced by the clock's: cos(2 pi 3 (a + b - c) / p)."""
    config = small_config(data__modulus=p)
    from grok_cli.core.data import Dataset

    dataset = Dataset.of(config)
    subject = Subject(initial_model(config, dataset.vocab), dataset)
    angles = 2 * torch.pi * 3 * (dataset.labels[:, None] - torch.arange(p + 1)) / p
    subject.trace.logits = 60 * angles.cos()
    subject.trace.logits[:, p] = -90
    return subject


def test_findings_of_a_clock_are_its_frequency() -> None:
    found = findings_of(clock_subject())
    assert found.accuracy == {"train": 1.0, "test": 1.0}
    assert found.phase == "generalised"
    assert [frequency for frequency, _ in found.keys] == [3]
    assert found.keys[0][1] == pytest.approx(1.0)
    assert found.restricted_loss is not None
    assert found.excluded_loss is not None
    assert found.restricted_loss < 0.1 < 1 < found.excluded_loss


def test_findings_agree_with_the_run(plain: RunDir) -> None:
    subject = subject_of(load_snapshot(plain.snapshots()[-1]))
    found = findings_of(subject)
    final = plain.summary()["final"]
    assert found.accuracy["test"] == final["test/accuracy"]
    assert found.loss["test"] == pytest.approx(final["test/loss"], rel=1e-5)
    assert found.entropy == [layer.score_entropy for layer in measure_layers(subject)]
    for heads in found.attention:
        assert [sum(weights) for weights in heads] == pytest.approx([1.0] * len(heads))


def test_inspect_and_predict_as_typed(typed: Grok, plain: RunDir, tmp_path: Path) -> None:
    shown = typed("inspect", str(plain.path), "--plot", "i.png")
    assert shown.returncode == 0, shown.stderr
    assert "key frequencies" in shown.stdout
    assert len(shown.stdout.splitlines()) <= 30
    assert (tmp_path / "i.png").read_bytes().startswith(b"\x89PNG")
    filmed = typed("animate", str(plain.path), "i.gif", "--width", "300", "--from", "10")
    assert (filmed.returncode, filmed.stdout) == (0, "i.gif\n"), filmed.stderr
    steps = [f"step {int(file.stem[5:])}" for file in plain.snapshots()]
    assert filmed.stderr.splitlines() == [
        step for step in steps if step not in ("step 0", "step 1")
    ]
    assert typed("animate", str(plain.path), "i.gif", "--from", "99999").returncode == 2
    fewer = typed("animate", str(plain.path), "i.gif", "--width", "300", "--frames", "3")
    assert fewer.stderr.splitlines() == [steps[0], steps[(len(steps) - 1) // 2], steps[-1]]

    answer = json.loads(typed("predict", str(plain.path), "3", "5", "--json").stdout)
    assert answer["truth"] == 8
    assert 0 < answer["runner_up_probability"] <= answer["probability"] < 1
    outside = typed("predict", str(plain.path), "3", "13")
    assert (outside.returncode, "elements from 0 to 12" in outside.stderr) == (2, True)


def test_a_run_diverges_alike_with_and_without_diagnostics(tmp_path: Path) -> None:
    config = small_config(
        opt__learning_rate=1e30,
        measure__diagnostics=dict.fromkeys(("rank", "attention", "htsr", "circularity"), 1),
    )
    run = create_run(tmp_path / "run", config)
    assert train_run(run, config).status == "diverged"


def test_weights_that_are_not_finite_measure_as_nan(
    plain: RunDir, tmp_path: Path, typed: Grok
) -> None:
    run = RunDir(shutil.copytree(plain.path, tmp_path / "run"))
    run.measured_file.unlink(missing_ok=True)
    content = torch.load(run.snapshots()[-1])
    content["weights"]["embed"][0, 0] = torch.nan
    torch.save(content, run.snapshots()[-1])
    last = str(run.snapshots()[-1])
    measured = typed("measure", last, "-m", "rank,circularity,ntk", "--json")
    assert measured.returncode == 0
    values = json.loads(measured.stdout, parse_constant=pytest.fail)[0]
    assert values["alpha_req/rank_test"] is None
    for command in (["inspect", last], ["predict", last, "1", "2"]):
        refused = typed(*command)
        assert refused.returncode == 1
        assert "diverged" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert typed("measure-entropy", last).returncode == 0
    listed = typed("measure-entropy", last, "--json").stdout
    (record,) = json.loads(listed, parse_constant=pytest.fail)
    assert record["attention/attn_score_entropy"] is None


def test_elements_beyond_the_task_are_refused(plain: RunDir, typed: Grok) -> None:
    refused = typed("predict", str(plain.path), str(10**20), "1")
    assert refused.returncode == 2
    assert "defined for elements from 0 to" in refused.stderr


def test_a_damaged_measured_csv_is_named(plain: RunDir, tmp_path: Path, typed: Grok) -> None:
    run = RunDir(shutil.copytree(plain.path, tmp_path / "run"))
    run.measured_file.write_text("step,a\nx,1\n")
    refused = typed("measure", str(run.path), "-m", "margin")
    assert refused.returncode == 1
    assert "measured.csv: damaged" in refused.stderr


def test_a_picture_that_cannot_be_written_is_named(plain: RunDir, typed: Grok) -> None:
    refused = typed("inspect", str(plain.path), "--plot", "nowhere/network.png")
    assert refused.returncode == 1
    assert "cannot write nowhere/network.png" in refused.stderr


def test_measure_entropy_is_a_view_of_measure(typed: Grok, plain: RunDir) -> None:
    paths = [str(file) for file in plain.snapshots()]
    entropy = json.loads(typed("measure-entropy", *paths, "--json").stdout)
    measured = json.loads(typed("measure", *paths, "-m", "attention", "--json").stdout)
    told = ("run", "ln_type", "seed", "rows")
    assert [{k: v for k, v in record.items() if k not in told} for record in entropy] == measured
    assert {record["rows"] for record in entropy} == {"all"}


def test_measure_entropy_writes_nothing_into_the_run(typed: Grok, plain: RunDir) -> None:
    before = plain.measured_file.read_bytes() if plain.measured_file.exists() else None
    assert typed("measure-entropy", str(plain.path)).returncode == 0
    after = plain.measured_file.read_bytes() if plain.measured_file.exists() else None
    assert before == after


def test_where_chooses_the_runs_that_are_measured(
    typed: Grok, plain: RunDir, tmp_path: Path
) -> None:
    other = trained(tmp_path / "other", train__seed=7, train__steps=1)
    paths = [str(plain.path), str(other.path)]
    chosen = typed("measure-entropy", *paths, "--where", "seed=7", "--json")
    assert {record["seed"] for record in json.loads(chosen.stdout)} == {7}
    chosen = typed("measure", *paths, "-m", "margin", "--where", "train.seed!=7", "--json")
    assert str(other.path) not in chosen.stdout
    wrong = {"seed=8": "no run there", "ln_tpe=7": "no such setting", "x": "KEY="}
    for text, message in wrong.items():
        refused = typed("measure", *paths, "-m", "margin", "--where", text)
        assert refused.returncode == 2
        assert message in refused.stderr


def test_what_holds_no_snapshot_beside_what_does_is_left_out_by_name(
    typed: Grok, plain: RunDir, tmp_path: Path
) -> None:
    """A shell makes "runs/*" of everything there."""
    RunDir(shutil.copytree(plain.path, tmp_path / "runs/plain"))
    (tmp_path / "runs/report.html").write_text("<!DOCTYPE html>")
    (tmp_path / "runs/new").mkdir()
    for paths in (["runs/*"], ["runs/new", "runs/plain", "runs/report.html"]):
        with pytest.warns(GrokWarning) as told:
            done = typed("measure", *paths, "-m", "margin", "--json")
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)) == len(plain.snapshots())
        assert [str(warning.message) for warning in told] == [
            f"runs/{name}: no snapshot there; left out" for name in ("new", "report.html")
        ]
    assert typed("measure", "runs/new", "runs/report.html", "-m", "margin").returncode == 2
    assert typed("measure", "runs/plain", "nowhere", "-m", "margin").returncode == 2


@pytest.mark.parametrize("command", [["measure", "-m", "rank"], ["measure-entropy"]])
def test_a_damaged_snapshot_is_named_and_stops_no_other(
    command: list[str], typed: Grok, plain: RunDir, tmp_path: Path
) -> None:
    first, last = (RunDir(shutil.copytree(plain.path, tmp_path / name)) for name in "ab")
    first.snapshots()[1].write_bytes(b"no network")
    last.snapshots()[0].write_bytes(b"nor here")
    done = typed(*command, "a", "b", "--json")
    assert done.returncode == 1
    whole = [*first.snapshots()[:1], *first.snapshots()[2:]]
    names = [str(file.relative_to(tmp_path)) for file in whole]
    assert [record["snapshot"] for record in json.loads(done.stdout)] == names
    assert f"skipped: a/snapshots/{first.snapshots()[1].name}: " in done.stderr
    assert done.stderr.count("b/snapshots/step_000000.pt") == 1  # what all others are measured from
    nothing = typed(*command, "b/snapshots/step_000000.pt")
    assert (nothing.returncode, nothing.stdout) == (1, "")
