"""What is typed reaches what it is typed for, and what is printed is what was found."""

import math
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from grok_cli.bench import compare
from grok_cli.cli import animate, selection
from grok_cli.cli import branch as cli_branch
from grok_cli.cli import sweep as cli_sweep
from grok_cli.cli.entropy import _plot as plot_entropy
from grok_cli.cli.signals import stop_on_signals
from grok_cli.cli.sweep import typed_command
from grok_cli.errors import GrokError
from grok_cli.figures import catalogue, course, film, matplotlib
from grok_cli.figures.draft import Options
from grok_cli.report import output
from grok_cli.runs.directory import create_run
from grok_cli.sweeps.plan import plan_runs
from grok_cli.sweeps.spec import Spec
from grok_cli.sweeps.states import Entry, State
from tests.conftest import small_config
from tests.typed import Grok, type_in
from tests.written_runs import Rows, make_run

ROWS: Rows = {"step": [1, 2], "train/loss": [2.0, 1.0], "test/accuracy": [None, 0.5]}
Watched = Callable[[Any, str], list[Any]]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Replace a function by one that notes its arguments and ends the command."""

    def watch(module: Any, name: str) -> list[Any]:
        calls: list[Any] = []

        def note(*arguments: Any, **options: Any) -> None:
            calls.append((arguments, options))
            raise GrokError("seen")

        monkeypatch.setattr(module, name, note)
        return calls

    return watch


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two seeds of one placement, and a third run that diverged."""
    for seed, status in ((1, "finished"), (2, "finished"), (3, "diverged")):
        make_run(tmp_path / "runs", ROWS, status, train__seed=seed, model__ln_type="pre")
    return tmp_path


def test_what_is_asked_of_a_figure_reaches_it(two: Path, watched: Watched) -> None:
    calls = watched(catalogue, "make_chart")
    for typed_in, options in (
        ("", Options(source="runs")),
        ("--x log --y linear --each-seed", Options(True, False, True, source="runs")),
        ("--x linear --y log --title=", Options(False, True, title="", source="runs")),
    ):
        assert type_in(two, "plot", "loss", *typed_in.split()).returncode == 1
        assert calls[-1][0][2] == options
    for typed_in, runs, groups in (("", 2, 1), ("--all", 3, 1), ("--group-by seed", 2, 2)):
        type_in(two, "plot", "loss", *typed_in.split())
        _, results, _ = calls[-1][0]
        assert len(results.groups) == groups
        assert sum(len(group.runs) for group in results.groups) == runs
    refused = type_in(two, "plot", "loss", "--group-by", "weight_dcay")
    assert (refused.returncode, "did you mean opt.weight_decay?" in refused.stderr) == (2, True)


def test_a_figure_is_drawn_in_its_style_and_saved_under_its_name(
    two: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "make_chart", lambda *_: None)
    monkeypatch.setattr(matplotlib, "draw", lambda chart, style: style)
    calls = watched(matplotlib, "save")
    for typed_in, style, file in (
        ("loss", "screen", "loss.png"),
        ("train/loss --style paper", "paper", "train_loss.png"),
        ("loss --style dark -o a.svg", "dark", "a.svg"),
    ):
        type_in(two, "plot", *typed_in.split())
        assert calls[-1][0] == (style, Path(file), style)


def test_what_has_no_effect_on_a_figure_is_refused(two: Path) -> None:
    for typed_in in (
        *("--terminal --out f.png", "--terminal --style paper", "--terminal --each-seed"),
        *("generalisation --each-seed", "times --all"),
    ):
        what = [] if typed_in[0] != "-" else ["loss"]
        refused = type_in(two, "plot", *what, *typed_in.split())
        assert (refused.returncode, "has no effect with" in refused.stderr) == (2, True)


def test_columns_of_an_export_are_those_asked_for(two: Path) -> None:
    for typed_in, std, per_seed in (
        *(("", False, False), ("--std", True, False)),
        *(("--per-seed", False, True), ("--per-seed --std", True, True)),
    ):
        command = ["export-csv", "-m", "train/loss", *typed_in.split()]
        assert type_in(two, *command).returncode == 0
        columns = list(pd.read_csv(two / "export" / "train_loss.csv"))
        assert any(column.endswith("__STD") for column in columns) == std
        assert any("__SEED_2" in column for column in columns) == per_seed


def test_an_export_says_which_runs_it_leaves_out_or_takes_though_they_are_not_finished(
    two: Path,
) -> None:
    for typed_in, said in (("", "left out: "), ("--all", "included: ")):
        told = type_in(two, "export-csv", *typed_in.split()).stderr.splitlines()
        assert [line.startswith(said) and "(diverged)" in line for line in told] == [True]
    tidy = type_in(two, "export-csv", "--long", "-m", "train/loss", "--out", "tidy")
    table = pd.read_csv(two / tidy.stdout.strip())
    assert (sorted(set(table["seed"])), set(table["metric"])) == ([1, 2], {"train/loss"})


def test_where_no_run_is_left_it_is_said_why(two: Path) -> None:
    for expression, message in (
        ("status=diverged", "no finished run there; --all takes the others"),
        ("seed=9", "no run there with seed=9"),
    ):
        for command in (["export-csv"], ["plot", "loss", "--terminal"]):
            refused = type_in(two, *command, "--where", expression)
            assert (refused.returncode, message in refused.stderr) == (2, True)


def test_a_page_knows_the_command_that_makes_it_anew(two: Path, watched: Watched) -> None:
    calls = watched(output, "write_html")
    command = ["report", "runs", "--sweep", "ln-positions", "--where", "seed=1", "--inside", "0"]
    type_in(two, *command, "--url", "https://example.org/a.html", "--out", "a.html")
    (report, file, inside), options = calls[-1]
    assert (file, inside, len(report.runs)) == (Path("a.html"), 0, 1)
    assert report.spec.name == "ln-positions"
    assert options == {"command": " ".join(["grok", *command]), "url": "https://example.org/a.html"}
    type_in(two, "report", "runs")
    (_, file, inside), options = calls[-1]
    assert (file, inside, options["command"]) == (
        *(Path("runs/report.html"), None, "grok report runs"),
    )


def test_a_report_is_written_as_what_it_is_asked_for(two: Path, watched: Watched) -> None:
    pages, folders = watched(output, "write_markdown"), watched(output, "write_compact")
    for typed_in, calls, file in (
        ("--markdown", pages, "runs/report.md"),
        ("--markdown -o a.md", pages, "a.md"),
        ("--compact kept", folders, "kept"),
    ):
        type_in(two, "report", "runs", *typed_in.split())
        assert calls[-1][0][1] == Path(file)
    refused = type_in(two, "report", "runs", "--compact", "kept", "--markdown")
    assert (refused.returncode, len(pages), len(folders)) == (2, 2, 1)


def test_entropy_is_drawn_run_by_run_and_layer_by_layer(watched: Watched) -> None:
    def at(name: str, step: int, *entropies: float) -> Any:
        model = SimpleNamespace(n_layers=len(entropies))
        return SimpleNamespace(
            place=Path(name),
            name=name,
            snapshot=SimpleNamespace(step=step, config=SimpleNamespace(model=model)),
            values={
                f"attention/{of}attn_score_entropy": value
                for of, value in zip(("", "layer1/"), entropies, strict=False)
            },
        )

    calls = watched(course, "lines_chart")
    with pytest.raises(GrokError, match="seen"):
        plot_entropy(Path("e.png"), [at("a", 0, 1.0), at("a", 5, 0.5), at("b", 9, 0.75, 0.25)])
    _, lines, levels = calls[0][0]
    assert lines == [
        *(("a", [0, 5], [1.0, 0.5]), ("b, layer 0", [9], [0.75]), ("b, layer 1", [9], [0.25])),
    ]
    assert [level.y for level in levels] == [math.log(3)]


def test_a_benchmark_measures_what_is_asked_for(tmp_path: Path, watched: Watched) -> None:
    calls = watched(compare, "measure")
    command = "bench --ln-type pre --eval-every 0,5 --threads 2 --rounds 4"
    type_in(tmp_path, *command.split())
    arguments, options = calls[-1]
    assert arguments == (["pre"], [0, 5], [2])
    assert (options["rounds"], options["plateau"]) == (4, False)
    for flags, placements, every, rounds in (
        ([], ["off", "pre"], [10], 3),
        (["--full"], ["off", "pre", "attn-pre-qk"], [1, 10, 0], 8),
    ):
        type_in(tmp_path, "bench", *flags)
        arguments, options = calls[-1]
        assert arguments[:2] == (placements, every)
        assert (options["rounds"], options["plateau"]) == (rounds, bool(flags))
    refused = type_in(tmp_path, "bench", "--threads", "0")
    assert (refused.returncode, "--threads: '0'" in refused.stderr) == (2, True)


def test_a_film_shows_the_steps_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: Watched
) -> None:
    run = create_run(tmp_path / "r", small_config())
    run.snapshots_dir.mkdir()
    for step in range(0, 60, 10):
        run.snapshot_file(step).touch()
    monkeypatch.setattr(animate, "_frames", lambda *arguments: arguments)
    calls = watched(film, "write_film")
    command = "animate r f.gif --fps 3 --width 400 --from 10 --to 40"
    for more, steps in (
        ("", [10, 20, 30, 40]),
        (" --frames 2", [10, 40]),
        (" --from 0 --to 0", [0]),
    ):
        assert type_in(tmp_path, *(command + more).split()).returncode == 1
        file, (files, name, width), fps = calls[-1][0]
        assert [int(shown.stem[5:]) for shown in files] == steps
        assert (file, name, width, fps) == (Path("f.gif"), "r", 400, 3)


def test_what_is_asked_of_a_sweep_reaches_it(tmp_path: Path, watched: Watched) -> None:
    (tmp_path / "s.yaml").write_text(
        "base: {data.modulus: 23}\ngrid: {model.ln_type: [off, pre], data.task: [add]}\nseeds: 2\n"
    )
    calls = watched(cli_sweep.sweeps, "run_sweep")
    command = ["sweep", "s.yaml", "--grid=model.ln_type=peri,post", "--set=data.modulus=29"]
    type_in(tmp_path, *command, "--retries=3", "--fail-fast", "--jobs=1", "--runs-dir=here")
    (sweep, *_), options = calls[-1]
    assert (options["retries"], options["fail_fast"]) == (3, True)
    configs = [planned.config for planned in sweep.runs]
    assert {config.data.modulus for config in configs} == {29}
    assert [(config.model.ln_type, config.train.seed) for config in configs] == [
        *(("peri", 456), ("peri", 789), ("post", 456), ("post", 789))
    ]
    assert (sweep.directory, sweep.options.jobs) == (Path("here"), 1)
    type_in(tmp_path, *command)
    (sweep, *_), options = calls[-1]
    assert (options["retries"], options["fail_fast"]) == (1, False)
    assert sweep.directory == Path("runs/s")


def test_what_is_asked_of_a_branch_reaches_it(tmp_path: Path, watched: Watched) -> None:
    for seed, name in enumerate(("here/p", "runs/d")):
        create_run(tmp_path / name, small_config(train__seed=seed))
    calls = watched(cli_branch, "plan_branch")
    command = "branch p --at memorised+3 --runs-dir here --lr 0.5 --set branch.scale=2"
    for more, giver in ((" --donor d", "runs/d"), (" --set branch.donor=d", "runs/d"), ("", None)):
        type_in(tmp_path, *(command + more).split())
        run, at, values, origin, donor = calls[-1][0]
        assert (run.path, at) == (Path("here/p"), "memorised+3")
        assert (values["opt.learning_rate"], values["branch.scale"]) == (0.5, 2)
        assert (origin["opt.learning_rate"], origin["branch.at"]) == ("--lr", "--at")
        assert (donor and str(donor.path)) == giver


def test_a_large_sweep_is_asked_about_unless_it_is_looked_at_or_meant(
    typed: Grok, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grok_cli.sweeps.sweep.MANY_RUNS", 1)
    run, look = watched(cli_sweep.sweeps, "run_sweep"), watched(cli_sweep.sweeps, "look_ahead")
    large = ["sweep", "--grid=model.ln_type=pre", "--seeds=2"]
    refused = typed(*large)
    assert (refused.returncode, len(run), len(look)) == (2, 0, 0)
    assert "2 runs are to be trained. --seeds 2 means 2 seeds; the seed 2 alone" in refused.stderr
    for more, calls in (("--dry-run", look), ("--yes", run)):
        assert typed(*large, more).returncode == 1  # it was reached
        assert len(calls) == 1


@pytest.mark.parametrize(
    ("states", "stopped", "code", "said"),
    [
        (("finished", "finished"), False, 0, ""),
        (("finished", "diverged"), False, 1, ""),
        (("failed", "finished"), False, 1, "not all runs finished"),
        (("waiting", "finished"), False, 1, "not all runs finished"),
        (("finished", "interrupted"), True, 130, "interrupted; go on with the same command: grok"),
    ],
)
def test_a_sweep_ends_well_only_if_all_its_runs_do(
    typed: Grok,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    states: tuple[State, ...],
    stopped: bool,
    code: int,
    said: str,
) -> None:
    runs = plan_runs(Spec(grid={"model.ln_type": ["pre"]}), {}, [1, 2], tmp_path)
    entries = [Entry(run, state) for run, state in zip(runs, states, strict=True)]
    monkeypatch.setattr(cli_sweep.sweeps, "run_sweep", lambda *_, **options: entries)
    monkeypatch.setattr(cli_sweep, "stop_on_signals", lambda: lambda: stopped)
    told = typed("sweep", "--grid=model.ln_type=pre", "--seeds=1,2")
    assert told.returncode == code
    assert (said in told.stderr) if said else (told.stderr == "" or "diverged" in states)
    assert told.stdout.splitlines()[-1] == "runs"


@pytest.mark.parametrize(
    ("typed_in", "message"),
    [
        ("--grid train.seed=1,2 --seeds 3", "given by a grid and by --seeds"),
        ("--grid data.modulus=23 --modulus 29", "given by --grid and by --modulus"),
        ("--reuse x --no-reuse", "--reuse and --no-reuse: choose one"),
    ],
)
def test_what_a_sweep_is_told_twice_is_refused(
    typed: Grok, watched: Watched, typed_in: str, message: str
) -> None:
    calls = watched(cli_sweep.sweeps, "run_sweep")
    refused = typed("sweep", *typed_in.split())
    assert (refused.returncode, message in refused.stderr, calls) == (2, True, [])


def test_the_same_command_is_told_without_its_action(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["grok", "sweep", "a b.yaml", "--dry-run", "--seeds", "2", "--status"]
    monkeypatch.setattr("sys.argv", words)
    assert typed_command() == "grok sweep 'a b.yaml' --seeds 2"
    assert typed_command("--cancel") == "grok sweep 'a b.yaml' --seeds 2 --cancel"


@pytest.fixture
def handlers() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_one_signal_stops_and_a_second_ctrl_c_ends() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        should_stop = stop_on_signals()
        assert not should_stop()
        os.kill(os.getpid(), number)
        assert should_stop()
    ended = False
    try:
        os.kill(os.getpid(), signal.SIGTERM)  # schedulers send it more than once
        os.kill(os.getpid(), signal.SIGHUP)
    except KeyboardInterrupt:
        ended = True
    assert not ended
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("handlers")
def test_nohup_keeps_a_terminals_end_away() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop_on_signals()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_files_and_directories_are_not_read_together(two: Path) -> None:
    (two / "own.csv").write_text("group,step,generalised_at\nmine,900,100\n")
    files = [two / "own.csv"]
    assert selection.csv_files(files) == files
    assert selection.csv_files([two / "runs"]) == []
    refused = type_in(two, "times", "own.csv", "runs")
    assert (refused.returncode, "found both" in refused.stderr) == (2, True)


def test_a_run_that_counts_twice_is_named(typed: Grok, tmp_path: Path) -> None:
    """Two names of one run look like two seeds; where it runs makes no difference."""
    rows: Rows = {"step": [1, 2], "test/accuracy": [0.5, 1.0]}
    make_run(tmp_path / "runs", rows).rename(tmp_path / "runs" / "p")
    make_run(tmp_path / "runs", rows, train__seed=1).rename(tmp_path / "runs" / "r")
    for command in (("times", "runs"), ("plot", "accuracy", "runs", "--terminal")):
        assert "same settings" not in typed(*command).stderr
    make_run(tmp_path / "runs", rows, run__threads=2).rename(tmp_path / "runs" / "q")
    for command in (("times", "runs"), ("plot", "accuracy", "runs", "--terminal")):
        found = typed(*command)
        assert "p, q have one seed and the same settings, and count as 2 runs;" in found.stderr
        assert found.returncode == 0
