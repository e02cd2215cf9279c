"""What is asked for in Python reaches what it is asked of, and what lines say on the way."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import grok_cli as grok
from grok_cli.errors import GrokError, UsageError
from grok_cli.executors.local import LocalOptions
from grok_cli.library import bringing, progress, sweeping
from grok_cli.library.progress import RunLine, SweepLine, bar, stop_on_interrupt
from grok_cli.library.settings import plain, settings_of
from grok_cli.library.training import _as_begun
from grok_cli.runs.directory import RunDir
from tests.conftest import small_config
from tests.written_runs import Rows, make_run

ROWS: Rows = {"step": [1, 2], "train/loss": [2.0, 1.0], "test/accuracy": [None, 0.5]}


def test_shortcuts_win_over_settings_and_numbers_become_pythons_own(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("data: {modulus: 23}\ntrain.seed: 5\n")
    shortcuts = {"seed": torch.tensor(3), "weight_decay": 0}
    own = {"train.seed": 3, "opt.weight_decay": 0, "data.modulus": 23}
    for settings in (
        *({"seed": 9, "modulus": 23}, {"train": {"seed": 9}, "data.modulus": 23}),
        tmp_path / "s.yaml",
    ):
        assert settings_of(settings, shortcuts, "f") == own
    whole = settings_of(small_config(), shortcuts, "f")
    assert (whole["train.seed"], whole["data.modulus"], whole["train.steps"]) == (3, 13, 60)
    assert [plain(value) for value in ((1, 2), range(2), torch.tensor(0.5), "ab", None)] == [
        *([1, 2], [0, 1], 0.5, "ab", None)
    ]


def test_a_run_that_was_begun_keeps_what_it_is_and_takes_where_it_runs(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    run.write_config(small_config(run__state_every=7, measure__diagnostics={"rank": 20}))
    given = {"run.threads": 3, "measure.diagnostics": {"margin": 5}, "wandb.mode": "offline"}
    config = _as_begun(run, small_config(run__threads=3), given)
    assert (config.run.threads, config.wandb.mode, config.run.state_every) == (3, "offline", 7)
    assert config.measure.diagnostics == {"rank": 20}
    with pytest.raises(UsageError, match=r"train\.seed: 1, and was 456"):
        _as_begun(run, small_config(train__seed=1), {"train.seed": 1})


def test_what_is_asked_of_a_sweep_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def plan(spec: Any, options: Any, runs_dir: Any, **rest: Any) -> Any:
        asked.append((spec, options, runs_dir, rest))
        raise GrokError("seen")

    monkeypatch.setattr(sweeping, "plan_sweep", plan)

    def told(*arguments: Any, **options: Any) -> Any:
        with pytest.raises(GrokError, match="seen"):
            grok.sweep(*arguments, **options)
        return asked[-1]

    grid, small = {"ln_type": ("off", "pre")}, {"data.modulus": 23, "train.steps": 5}
    spec, options, runs_dir, rest = told(
        grid, seeds=(3, 4), jobs=2, settings=small, runs_dir="here", steps=7
    )
    assert (spec.grid, options) == ({"model.ln_type": ["off", "pre"]}, LocalOptions(jobs=2))
    assert (runs_dir, rest["seeds"]) == (Path("here"), [3, 4])
    assert rest["fixed"] == {"data.modulus": 23, "train.steps": 7}
    content = {"grid": grid_of("pre"), "executor": {"kind": "slurm", "cpus": 2}}
    for executor, kind, cpus in (
        *((None, "slurm", 2), ("slurm", "slurm", 2), ("ray", "ray", 1)),
        ({"kind": "ray", "cpus": 3}, "ray", 3),
    ):
        _, options, runs_dir, rest = told(content, executor=executor)
        assert (options.kind, options.cpus, runs_dir, rest["seeds"]) == (kind, cpus, None, None)
    assert told("rmsnorm")[0].name == "rmsnorm"
    with pytest.raises(UsageError, match=r"train\.seed: given by the sweep or a setting, and by"):
        grok.sweep(grid, seeds=2, seed=3)


def test_the_same_branch_again_goes_on_with_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = RunDir(tmp_path / "parent")
    parent.write_config(small_config())
    parent.summary_file.write_text('{"status": "finished", "step": 60}')
    brought: list[Any] = []
    monkeypatch.setattr(bringing, "bring_to_end", lambda *arguments: brought.append(arguments))
    run = grok.Run(parent.path)
    for decay in (0.5, 0.5, 0.25):
        found = run.branch(at=20, weight_decay=decay, runs_dir=tmp_path, progress=False)
        RunDir(found.path).metrics_file.write_text("step\n")  # it has begun
        directory, config, progress, _ = brought[-1]
        assert (directory.path, config.opt.weight_decay, progress) == (found.path, decay, False)
    assert len({call[0].path for call in brought}) == 2
    run.branch(at=20, weight_decay=0.5, runs_dir=tmp_path, name="mine")
    RunDir(tmp_path / "mine").metrics_file.write_text("step\n")
    run.branch(at=20, weight_decay=0.5, runs_dir=tmp_path, name="mine")
    with pytest.raises(UsageError, match="mine holds a run already"):
        run.branch(at=30, weight_decay=0.5, runs_dir=tmp_path, name="mine")


def grid_of(*placements: str) -> dict[str, list[str]]:
    return {"model.ln_type": list(placements)}


def test_axes_and_title_of_a_figure_are_those_asked_for(tmp_path: Path) -> None:
    run = grok.Run(make_run(tmp_path, ROWS))
    for log_x, log_y in ((True, False), (False, True)):
        axes = grok.plot(run, "train/loss", log_x=log_x, log_y=log_y, title="").axes[0]
        assert (axes.get_xscale() == "log", axes.get_yscale() == "log") == (log_x, log_y)
    screen, paper = (grok.plot(run, "train/loss", style=style) for style in ("screen", "paper"))
    assert paper.get_figwidth() < screen.get_figwidth()


def test_results_are_grouped_as_asked_and_leave_out_what_is_not_finished(tmp_path: Path) -> None:
    for seed, status in ((1, "finished"), (2, "finished"), (3, "diverged")):
        make_run(tmp_path, ROWS, status, train__seed=seed)
    runs = grok.load(tmp_path)
    assert repr(runs) == "3 runs: 2 finished, 1 diverged"
    for more, groups, seeds in (
        ({}, 1, [1, 2]),
        ({"include": "all"}, 1, [1, 2, 3]),
        ({"group_by": "train.seed"}, 2, [1, 2]),
    ):
        table = runs.results("test/accuracy", **more)
        assert (table["group"].n_unique(), table["seed"].to_list()) == (groups, seeds)
        assert set(table["metric"]) == {"test/accuracy"}
    link = tmp_path / "link"
    link.symlink_to(runs[0].path)
    assert {grok.Run(link)} == {runs[0]}


# Lines.


def test_a_bar_is_filled_by_eighths() -> None:
    assert [bar(done, 24) for done in (0, 12, 24)] == [" " * 24, "█" * 12 + " " * 12, "█" * 24]
    assert bar(1.5, 24) == "█▌" + " " * 22
    assert bar(0, 0) == " " * 24


class Shown:
    """A line that keeps what it is to show."""

    texts: list[str]

    def __init__(self) -> None:
        Shown.texts = []

    def show(self, text: str) -> None:
        self.texts.append(text.strip())

    def end(self) -> None:
        self.texts.append("end")


def test_a_line_says_how_far_a_run_and_a_sweep_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "Line", Shown)
    train = SimpleNamespace(steps=40)
    config = SimpleNamespace(train=train)
    trainer: Any = SimpleNamespace(step=10, config=config, phases=SimpleNamespace(now="plateau"))
    line = RunLine()
    line.start(trainer, [])
    line.rows([{"step": 9, "test/accuracy": 0.25}])
    trainer.step = 20
    line.rows([{"step": 20, "train/loss": 1.0}])
    assert Shown.texts == [
        f"{'█' * 6}{' ' * 18} step 10 of 40, plateau, test accuracy 0.250",
        f"{'█' * 12}{' ' * 12} step 20 of 40, plateau, test accuracy 0.250",
    ]

    def entry(state: str, step: int) -> Any:
        ended = state in ("finished", "failed")
        planned = SimpleNamespace(config=config)
        return SimpleNamespace(
            state=state, summary={"step": step}, planned=planned, ended=lambda: ended
        )

    sweep = SweepLine()
    sweep.start([entry("finished", 40), entry("running", 20), entry("waiting", 0)])
    sweep.finish()
    text = f"{'█' * 12}{' ' * 12} 1 of 3 runs done, 1 running"
    assert Shown.texts == [text, text, "end"]


def test_a_second_interrupt_raises_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_on_interrupt() as interrupted:
        assert not interrupted()
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
