"""What commands print is what was found."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from grok_cli.cli import studies, train_view
from grok_cli.cli.inspect_network import _print as print_findings
from grok_cli.cli.runs import _without_digests
from grok_cli.cli.train import summary_lines
from grok_cli.cli.train_view import LogLines
from grok_cli.core.config import Config
from grok_cli.diagnostics import findings
from grok_cli.diagnostics.findings import Answer, Findings
from grok_cli.runs import measuring
from grok_cli.sweeps.studies import Overview, Study
from tests.typed import Grok


def test_a_network_is_described_layer_by_layer() -> None:
    found = Findings(
        accuracy={"train": 1.0, "test": 0.25},
        loss={"train": 0.125, "test": 3.5},
        phase="plateau",
        restricted_loss=0.75,
        excluded_loss=2.25,
        keys=[(k, 1 / 2**k) for k in range(1, 11)],
        attention=[[[0.5, 0.25, 0.25]], [[0.125, 0.125, 0.75]]],
        entropy=[1.0397, 0.7356],
        out_rank=[1.25, 2.5],
        rank=7.0,
        effective_rank=3.25,
    )
    snapshot: Any = SimpleNamespace(path=Path("x.pt"), step=40, config=Config())
    console = Console(file=io.StringIO(), width=100)
    print_findings(console, snapshot, found)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [" ".join(line.split()) for line in text.splitlines()]
    about = "(at most 1.0986), effective rank of its output"
    for line in (
        "x.pt, step 40",
        "accuracy train 1.0000 test 0.2500",
        "loss train 0.125 test 3.5 restricted 0.75 excluded 2.25",
        "residual rank 7 effective rank 3.25",
        "k = 2 ██████████ 25.0 %",
        "and 2 more",
        f"attention of layer 0 entropy 1.0397 {about} 1.25",
        f"attention of layer 1 entropy 0.7356 {about} 2.50",
        "head 0 0.125 0.125 0.750",
    ):
        assert line in lines
    assert sum(line.startswith("k = ") for line in lines) == 8


@pytest.mark.parametrize(("said", "verdict"), [(8, "right"), (3, "wrong: 8")])
def test_an_answer_is_told_with_the_truth(
    typed: Grok, monkeypatch: pytest.MonkeyPatch, said: int, verdict: str
) -> None:
    answer = Answer(3, 5, said, 0.75, 1, 0.125, 8, "test")
    about = SimpleNamespace(config=Config())
    monkeypatch.setattr(measuring, "subject_at", lambda path: (about, None))
    monkeypatch.setattr(findings, "ask", lambda subject, task, a, b: answer)
    assert typed("predict", "x.pt", "3", "5").stdout.splitlines() == [
        f"3 ∘ 5 = {said}  ({verdict}; a test pair)",
        *("probability 0.75", "runner-up   1, 0.125"),
    ]


def test_a_summary_says_every_phase_and_what_is_not_finite() -> None:
    summary = {
        **{"status": "finished", "step": 40, "steps": 60, "seconds": 2.0, "steps_per_second": 20.0},
        **{"memorised_at": 10, "generalised_at": 10, "sustained_at": None, "delay": 0},
        "collapsed_at": 30,
        "final": {
            **{"train/loss": None, "train/accuracy": 0.5},
            **{"test/loss": 0.25, "test/accuracy": 0.125},
        },
    }
    lines = [" ".join(line.split()) for line in summary_lines(summary)]
    assert lines == [
        "finished at step 40 of 60 (2 s, 20.0 steps/s)",
        "memorised (train accuracy >= 0.99) step 10",
        "generalised (test accuracy >= 0.995) step 10",
        "sustained (for 500 steps more) not reached",
        "delay (between the first two) 0 steps",
        "collapsed (test accuracy < 0.9) step 30",
        "train loss not finite, accuracy 0.5",
        "test loss 0.25, accuracy 0.125",
    ]
    without = summary_lines(summary | {"delay": None, "collapsed_at": None, "final": {}})
    assert len(without) == 4


def test_speed_and_time_left_are_those_of_this_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on at step 100 of 1,000 makes 50 steps in 10 seconds."""
    now = 0.0
    monkeypatch.setattr(train_view, "time", SimpleNamespace(monotonic=lambda: now))
    trainer: Any = SimpleNamespace(
        step=100,
        phases=SimpleNamespace(now="memorising"),
        config=SimpleNamespace(train=SimpleNamespace(steps=1000)),
    )
    log = LogLines(Console(file=io.StringIO(), width=200))
    log.start(trainer, [])
    now, trainer.step = 10.0, 150
    assert (log.speed(), log.time_left()) == (5.0, "0:02:50")
    log.rows([{"step": 149, "train/loss": 0.5}])  # ten seconds, the same phase: nothing yet
    trainer.phases.now = "plateau"
    log.rows([{"step": 150, "test/accuracy": 0.25}])
    assert log.console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "resuming at step 100",
        "step  150/1000  train loss 5.000e-01 acc –  test loss – acc 0.2500  plateau  5.0 steps/s",
    ]


def test_a_short_name_is_shown_only_while_it_tells_runs_apart() -> None:
    rows = [{"run": "add-off-s1-0123456789"}, {"run": "add-pre-s1-0123456789"}]
    assert [row["run"] for row in _without_digests(rows)] == ["add-off-s1", "add-pre-s1"]
    rows += [{"run": "add-pre-s1-9876543210"}]
    assert _without_digests(rows) == rows


def test_studies_are_listed_with_what_is_done_and_left(
    typed: Grok, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [("a", 4, 1, 3661.0), ("b", 2, 2, 0.0), ("c", 3, 0, None)]
    found = [Study(name, f"{name}?", "", runs, done, left) for name, runs, done, left in known]
    problems: tuple[str, ...] = ()
    monkeypatch.setattr(
        studies, "overview", lambda *_, measure: Overview(tuple(found), 8, 3, problems)
    )
    told = typed("studies")
    assert told.stdout.splitlines()[1:] == [
        *("a\t1/4\t1:01:01\ta?", "b\t2/2\t–\tb?", "c\t0/3\tunknown\tc?"),
        "3 of 8 runs are done; one that studies share is trained and counted once",
    ]
    assert told.returncode == 0
    problems = ("x was edited",)
    told = typed("studies", "--json")
    assert [study["seconds"] for study in json.loads(told.stdout)] == [3661.0, 0.0, None]
    assert (told.returncode, told.stderr) == (1, "x was edited\n")
