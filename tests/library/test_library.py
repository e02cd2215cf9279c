"""The interface for Python: what each name does, and what its example says."""

import doctest
import inspect
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from pkgutil import resolve_name
from types import FunctionType, ModuleType
from typing import Any, cast

import polars as pl
import pytest
import torch

import grok_cli as grok
from grok_cli import errors
from grok_cli.cli.options import FLAGS, MEASURE
from grok_cli.core import config, steps
from grok_cli.core.config import Config
from grok_cli.errors import GrokWarning, UsageError
from grok_cli.library import plotting, progress, run, runs, sweeping, training
from grok_cli.library.settings import Shortcuts
from grok_cli.pages.interface import NAMES, WITHOUT_MEMBERS
from grok_cli.runs import checkpoints
from grok_cli.runs.settings import SHORT_NAMES
from tests.conftest import SMALL, SMALL_FLAGS, small_config
from tests.typed import Grok
from tests.written_runs import make_run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> grok.Run:
    """A finished run, which no test changes."""
    return grok.train(small_config(), runs_dir=tmp_path_factory.mktemp("runs"))


@pytest.fixture
def finished(small_run: grok.Run, here: Path) -> grok.Run:
    """A copy of it in runs."""
    (here / "runs").mkdir()
    subprocess.run(["cp", "-r", small_run.path, "runs"], check=True)
    return grok.Run(Path("runs") / small_run.path.name)


def test_import_imports_nothing_heavy() -> None:
    code = (
        "import sys, grok_cli; dir(grok_cli); print(sorted({'torch', 'polars', 'matplotlib', "
        "'wandb', 'pydantic', 'numpy', 'typer', 'rich'} & sys.modules.keys()))"
    )
    shown = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True)
    assert shown.stdout == "[]\n", shown.stderr


def test_every_public_name_is_there_with_a_docstring_and_no_other() -> None:
    assert set(grok.__all__) <= set(dir(grok))
    for name in grok.__all__:
        assert getattr(grok, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = grok.trian  # type: ignore[attr-defined]


HOMES = [grok, training, run, runs, sweeping, plotting, config, errors, checkpoints, steps]


@pytest.mark.parametrize("module", HOMES, ids=lambda module: module.__name__)
def test_examples_in_docstrings_are_true(module: ModuleType, finished: grok.Run) -> None:
    names = {"grok": grok, "run": finished}
    result = doctest.testmod(module, extraglobs=names, report=False, raise_on_error=False)
    assert result.attempted > 0
    assert result.failed == 0


def documented() -> dict[str, Any]:
    """What the page of the Python interface lists, by name, and what belongs to it."""
    named = {name: resolve_name(name) for names in NAMES.values() for name in names}
    for name, value in list(named.items()):
        if inspect.isclass(value) and name not in WITHOUT_MEMBERS:
            for member, inner in vars(value).items():
                if not member.startswith("_") and isinstance(inner, FunctionType | property):
                    named[f"{name}.{member}"] = inner
    return named


DOCUMENTED = documented()
ILLUSTRATED_BY_THEIR_METHODS = {"grok_cli.core.steps", "grok_cli.core.steps.WithSteps"}


def test_page_of_the_interface_lists_every_public_name() -> None:
    assert {f"grok_cli.{name}" for name in grok.__all__} <= DOCUMENTED.keys()


@pytest.mark.parametrize("name", sorted(DOCUMENTED.keys() - ILLUSTRATED_BY_THEIR_METHODS))
def test_public_name_has_an_example_that_is_run(name: str) -> None:
    value = DOCUMENTED[name]
    assert "Examples:\n" in value.__doc__
    assert ">>> " in value.__doc__
    home = value if inspect.ismodule(value) else inspect.getmodule(getattr(value, "fget", value))
    assert home in HOMES


def test_shortcuts_are_the_flags_of_the_command() -> None:
    assert Shortcuts.__annotations__.keys() == SHORT_NAMES.keys()
    assert {flag.removeprefix("--").replace("-", "_") for flag in (*FLAGS, MEASURE)} == set(
        SHORT_NAMES
    )


# Training.


def test_settings_come_as_shortcuts_a_dictionary_a_config_or_a_file(
    small_run: grok.Run, here: Path
) -> None:
    flat = {f"{s}.{key}": value for s, values in SMALL.items() for key, value in values.items()}
    (here / "settings.yaml").write_text((small_run.path / "config.yaml").read_text())
    for settings in (SMALL, flat, Config.model_validate(SMALL), "settings.yaml"):
        run = grok.train(cast(Any, settings), runs_dir=small_run.path.parent)
        assert run == small_run  # finished: the same, at once
    other = grok.train(SMALL, steps=30, seed=cast(int, torch.tensor(3)))
    assert (other.config.train.steps, other.config.train.seed) == (30, 3)
    assert other.path == Path("runs") / other.config.run_name()


def test_nothing_is_printed_unless_asked(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    grok.train(small_config())
    assert capfd.readouterr() == ("", "")
    grok.train(small_config(train__seed=1), progress=True)
    shown = capfd.readouterr()
    assert (shown.out, "step 60 of 60" in shown.err) == ("", True)


def test_run_is_that_of_the_command(here: Path, typed: Grok, small_run: grok.Run) -> None:
    command = typed("train", f"--config={small_run.path / 'config.yaml'}", "--quiet")
    path = here / command.stdout.strip()
    assert path.name == small_run.path.name
    names = ("metrics.csv", "config.yaml")
    assert [(path / n).read_bytes() for n in names] == [
        (small_run.path / n).read_bytes() for n in names
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stesp": 3}, "grok.train: unknown argument stesp; did you mean steps?"),
        ({"ln_type": "per"}, "ln_type.*did you mean peri?"),
        ({"settings": {"model.nrom": 1}}, r"unknown key model.nrom; did you mean model.norm\?"),
        ({"settings": "absent.yaml"}, "absent.yaml: no such file"),
        ({"name": "a/b"}, "expected the plain name of a directory"),
    ],
)
def test_mistakes_are_told_as_on_the_command_line(
    arguments: dict[str, Any], message: str, here: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        grok.train(**arguments)
    assert not list(here.iterdir())


def test_directory_of_other_settings_is_refused(here: Path) -> None:
    grok.train(SMALL, name="mine")
    with pytest.raises(UsageError, match=r"other settings \(train.seed: 1, and was 456\)"):
        grok.train(SMALL, name="mine", seed=1)


def test_interrupt_saves_and_the_same_call_goes_on(
    here: Path, small_run: grok.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    stopped = small_config(train__steps=200)

    class Interrupting(progress.RunLine):
        def start(self, trainer: Any, columns: Any) -> None:
            os.kill(os.getpid(), signal.SIGINT)

        def rows(self, rows: Any) -> None: ...
        def finish(self, trainer: Any, outcome: Any) -> None: ...

    monkeypatch.setattr(progress, "RunLine", Interrupting)
    with pytest.raises(KeyboardInterrupt, match="is saved; the same call goes on"):
        grok.train(stopped, progress=True)
    assert signal.getsignal(signal.SIGINT) is before
    run = grok.load(Path("runs") / stopped.run_name())
    assert run.summary["status"] == "interrupted"
    assert 0 < run.summary["step"] < 200
    assert grok.train(stopped) == run
    assert run.summary["status"] == "finished"
    whole = grok.train(stopped, runs_dir="undisturbed")
    assert run.metrics().equals(whole.metrics())


def test_training_in_a_thread_works(here: Path) -> None:
    found: list[grok.Run] = []
    thread = threading.Thread(target=lambda: found.append(grok.train(small_config())))
    thread.start()
    thread.join()
    assert found[0].summary["status"] == "finished"


def test_threads_of_torch_are_as_before(here: Path) -> None:
    before = torch.get_num_threads()
    grok.train(small_config(run__threads=before + 1))
    assert torch.get_num_threads() == before


def test_diverged_run_raises_with_the_reason(here: Path) -> None:
    with pytest.raises(grok.GrokError, match="diverged: "):
        grok.train(SMALL, lr=1e30)


def test_measures_that_a_finished_run_lacks_are_computed(finished: grok.Run) -> None:
    before = finished.metrics()
    again = grok.train(SMALL, measure={"attention": 20})
    assert again == finished
    table = again.metrics().drop_nulls("attention/attn_score_entropy")
    assert table["step"].to_list() == [1, 20, 40, 60]
    assert again.metrics().select(before.columns).equals(before)


# Runs.


def test_metrics_join_what_was_measured_afterwards(finished: grok.Run) -> None:
    measured = finished.measure(["attention", "rank"])
    table = finished.metrics()
    assert table["step"].to_list() == list(range(61))  # snapshots of step 0, too
    for name in measured.columns[1:]:
        joined = table.select("step", name).drop_nulls()
        assert joined.equals(measured.select("step", name).drop_nulls())


def test_new_run_has_no_metrics(here: Path) -> None:
    path = make_run(here, {"step": []}, status="new")
    (path / "metrics.csv").unlink()
    assert grok.Run(path).metrics().equals(pl.DataFrame(schema={"step": pl.Int64}))


def test_nearest_snapshot_is_taken_and_named(finished: grok.Run) -> None:
    with pytest.warns(GrokWarning, match="no snapshot of step 57; step 60 is the nearest"):
        assert finished.snapshot(57).step == 60
    found = [finished.snapshot(step).step for step in (None, 20, 0)]  # no warning
    assert found == [60, 20, 0]


def test_warning_names_the_line_of_the_caller(finished: grok.Run) -> None:
    for method in (finished.snapshot, finished.model, finished.cache):
        with pytest.warns(GrokWarning, match="step 57") as caught:
            method(57)
        assert caught[0].filename == __file__


def test_cache_is_the_forward_pass_of_the_model(finished: grok.Run) -> None:
    cache = finished.cache(step=20, rows="test", names=["blocks.0.pattern", "logits"])
    tokens = finished.dataset.tokens[finished.dataset.test]
    assert torch.equal(cache["logits"], finished.model(20)(tokens).detach())
    assert cache.keys() == {"blocks.0.pattern", "logits"}
    with pytest.raises(UsageError, match=r"rows='tset'.*did you mean test\?"):
        finished.cache(rows="tset")
    with pytest.raises(UsageError, match=r"did you mean blocks\.0\.pattern"):
        finished.cache(names="blocks.0.patern")


def test_load_tells_runs_snapshots_and_globs_apart(finished: grok.Run) -> None:
    snapshot: grok.Snapshot = grok.load(finished.path / "snapshots/step_000020.pt")
    assert snapshot.step == 20
    assert snapshot.model()(finished.dataset.tokens).shape == (169, 14)
    assert grok.load(str(finished.path)) == finished
    assert list(grok.load("runs")) == list(grok.load("runs/*")) == [finished]
    assert grok.load("runs")[:1].runs == (finished,)
    with pytest.raises(UsageError, match="nowhere: no run there"):
        grok.load("nowhere")
    with pytest.raises(UsageError, match="not a run directory"):
        grok.Run("runs")


# Sweeps and figures.


def test_sweep_trains_in_the_directories_of_the_command_and_is_resumable(
    here: Path, typed: Grok
) -> None:
    grid = {"ln_type": ("off", "pre")}
    swept = grok.sweep(grid, seeds=2, jobs=2, settings=SMALL)
    assert [run.summary["status"] for run in swept.runs] == ["finished"] * 4
    assert {run.path.parent for run in swept} == {Path("runs")}
    again = grok.sweep(grid, seeds=[456, 789], settings=SMALL)
    assert again == swept
    command = typed("sweep", "--grid=model.ln_type=off,pre", "--seeds=2", *SMALL_FLAGS, "--status")
    assert command.stdout.splitlines()[-1] == "4 runs: 4 finished"

    table = swept.results(["train/loss"])
    assert table.columns == ["group", "run", "seed", "step", "metric", "value"]
    assert set(table["group"]) == {"off", "pre"}
    assert set(table["seed"]) == {456, 789}
    assert len(table) == 4 * 60
    figure = grok.plot(swept, "loss")
    assert "2 seeds a group" in figure.axes[0].get_title(loc="left") or figure.texts


def test_failed_runs_of_a_sweep_are_warnings(here: Path) -> None:
    with pytest.warns(GrokWarning, match="diverged"):
        swept = grok.sweep({"opt.learning_rate": [1e-3, 1e30]}, seeds=1, jobs=2, settings=SMALL)
    assert [run.summary["status"] for run in swept] == ["finished", "diverged"]
    assert set(swept.results()["run"]) == {swept[0].path.name}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ln-positionz",), r"did you mean ln-positions\?"),
        (
            ({"model.ln_typ": ["off"]},),
            "grok.sweep: grid: unknown key.*did you mean model.ln_t",
        ),
        (({"ln_type": "off"},), "expected a list of values"),
        (({"grid": {}, "sedes": 1},), r"did you mean seeds\?"),
    ],
)
def test_mistakes_in_sweeps_are_told_as_on_the_command_line(
    arguments: tuple[Any], message: str, here: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        grok.sweep(*arguments, seeds=1)
    with pytest.raises(UsageError, match="expected how many, or a list of seeds"):
        grok.sweep({"ln_type": ["off"]}, seeds=cast(int, "two"))
    assert not list(here.iterdir())


def test_single_run_is_drawn_unfinished(here: Path) -> None:
    rows: dict[str, list[float | None]] = {"step": [1, 2], "train/loss": [2.0, 1.0]}
    run = grok.Run(make_run(here, rows, status="interrupted"))
    assert grok.plot(run, "train/loss").axes[0].lines
    with pytest.raises(UsageError, match='include="all"'):
        grok.plot([run], "train/loss")
    assert grok.plot([run], "train/loss", include="all").axes[0].lines
    with pytest.raises(UsageError, match="did you mean paper"):
        grok.plot(run, "train/loss", style="papers")
    with pytest.raises(UsageError, match="expected a run, runs, or where they lie"):
        grok.plot(cast(Any, 3))
