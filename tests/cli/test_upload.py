"""Runs sent to W&B after they were trained; W&B is replaced by one that keeps what it gets."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import polars as pl
import pytest

from grok_cli.runs.directory import RunDir, create_run
from grok_cli.runs.launch import train_run
from grok_cli.runs.wandb_recorder import WandbRecorder, _Ending
from tests.conftest import small_config
from tests.typed import Grok


class Server:
    """Keeps the rows of each W&B run by its id; `breaks_after` rows it refuses more."""

    def __init__(self) -> None:
        self.rows: dict[str, list[tuple[int, dict[str, float]]]] = {}
        self.summary: dict[str, Any] = {}
        self.exits: list[int] = []
        self.started: list[dict[str, Any]] = []
        self.breaks_after = 10**9

    def init(self, *, id: str, **rest: Any) -> Any:
        rows = self.rows.setdefault(id, [])
        self.started.append({"id": id, **rest})

        def log(values: dict[str, float], step: int, commit: bool) -> None:
            if len(rows) >= self.breaks_after:
                raise ConnectionError("no route to host.")
            rows.append((step, values))

        return SimpleNamespace(
            step=rows[-1][0] + 1 if rows else 0,
            url=f"https://wandb.example/{id}",
            log=log,
            summary=self.summary,
            finish=lambda exit_code: self.exits.append(exit_code),
        )


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server, module = Server(), ModuleType("wandb")
    module.init = server.init  # type: ignore[attr-defined]
    module.Settings = dict  # type: ignore[attr-defined]
    module.Error = module.Api = ConnectionError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return server


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    config = small_config(train__steps=30, wandb__group="g", wandb__tags=["t", "u"])
    run = create_run(tmp_path / "runs" / "a", config)
    train_run(run, config)
    return run


def steps(run: RunDir) -> list[int]:
    return pl.read_csv(run.metrics_file)["step"].to_list()


def test_finished_run_is_sent_with_its_phases(typed: Grok, server: Server, run: RunDir) -> None:
    result = typed("upload", "runs/a", "--project", "p", "--entity", "e")
    ((id, rows),) = server.rows.items()
    assert (result.returncode, result.stdout) == (0, f"https://wandb.example/{id}\n")
    assert [step for step, _ in rows] == steps(run)
    assert rows[-1][1]["train/loss"] == run.summary()["final"]["train/loss"]
    assert server.summary["phase"] == run.summary()["phase"]
    (started,) = server.started
    assert (started["project"], started["entity"], started["name"]) == ("p", "e", "a")
    assert (started["mode"], started["group"], list(started["tags"])) == ("online", "g", ["t", "u"])
    assert server.exits == [0]


def test_each_row_is_sent_once_however_often_it_is_tried(
    typed: Grok, server: Server, run: RunDir
) -> None:
    server.breaks_after = 7
    failed = typed("upload", "runs")
    assert (failed.returncode, "W&B: no route to host" in failed.stderr) == (1, True)
    server.breaks_after = 10**9
    assert typed("upload", "runs").returncode == 0
    assert typed("upload", "runs").returncode == 0
    ((_, rows),) = server.rows.items()
    assert [step for step, _ in rows] == steps(run)


def test_rows_behind_the_step_of_the_summary_are_not_sent(
    typed: Grok, server: Server, run: RunDir
) -> None:
    """They are made again when the run goes on."""
    summary = json.loads(run.summary_file.read_text())
    run.summary_file.write_text(json.dumps(summary | {"status": "interrupted", "step": 12}))
    assert typed("upload", "runs/a").returncode == 0
    ((_, rows),) = server.rows.items()
    assert [step for step, _ in rows] == list(range(1, 13))
    assert server.exits == [130]


def test_another_project_gets_a_run_of_its_own(typed: Grok, server: Server, run: RunDir) -> None:
    for project in ("p", "q", "q"):
        assert typed("upload", "runs/a", "--project", project).returncode == 0
    assert [len(rows) for rows in server.rows.values()] == [30, 30]
    assert [started["project"] for started in server.started] == ["p", "q", "q"]


def test_offline_rows_that_were_synced_are_not_written_again(server: Server, run: RunDir) -> None:
    """Of two sessions one was synced; what the other had was not, and is dropped."""
    config = run.config()
    offline = config.model_copy(
        update={"wandb": config.wandb.model_copy(update={"mode": "offline"})}
    )
    link = {"id": "x", "project": config.wandb.project, "entity": None, "sent": 12}
    for synced, first in ((True, 13), (False, 1)):
        run.wandb_file.write_text(json.dumps(link))
        kept, dropped = (run.path / "wandb" / f"offline-run-{n}-x" for n in (1, 2))
        for session in (kept, dropped):
            session.mkdir(parents=True, exist_ok=True)
        (kept / "run-x.wandb.synced").touch() if synced else None
        server.rows.clear()
        recorder = WandbRecorder(run, offline)
        recorder.upload(_Ending(30, 0, {}))
        assert recorder.problem == ""
        assert [step for step, _ in server.rows["x"]] == list(range(first, 31))
        assert (kept.exists(), dropped.exists()) == (synced, False)
        (kept / "run-x.wandb.synced").unlink(missing_ok=True)


def test_what_is_no_trained_run_is_refused(typed: Grok, server: Server, tmp_path: Path) -> None:
    create_run(tmp_path / "new", small_config())
    for path, message in (("new", "status is 'new'"), ("nowhere", "no run there")):
        refused = typed("upload", path)
        assert (refused.returncode, message in refused.stderr) == (2, True)
    assert not server.started


def test_a_run_that_cannot_be_sent_is_named_and_stops_no_other(
    typed: Grok, server: Server, run: RunDir, tmp_path: Path
) -> None:
    (first := create_run(tmp_path / "runs" / "0", small_config(train__seed=1))).config()
    summary = json.loads(run.summary_file.read_text())
    run.summary_file.write_text(json.dumps(summary | {"status": "diverged"}))
    told = typed("upload", "runs")
    assert (told.returncode, told.stdout) == (
        1,
        f"https://wandb.example/{next(iter(server.rows))}\n",
    )
    assert f"grok: {first.path.relative_to(tmp_path)}: its status is 'new'" in told.stderr
    assert "1 of 2 runs were not sent" in told.stderr
    assert server.exits == [1]


def test_a_summary_without_its_step_is_named(typed: Grok, server: Server, run: RunDir) -> None:
    for summary in ({"status": "finished"}, {"status": "finished", "step": "x"}):
        run.summary_file.write_text(json.dumps(summary))
        refused = typed("upload", "runs/a")
        assert (refused.returncode, "summary.json is damaged: step" in refused.stderr) == (2, True)
    assert not server.started
    run.summary_file.unlink()
    assert typed("train", "--resume", "runs/a").returncode == 0
    assert typed("upload", "runs/a").returncode == 0
