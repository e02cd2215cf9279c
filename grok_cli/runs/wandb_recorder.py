"""Logs a run to Weights & Biases, from what its directory holds, beside the training.

Everything of W&B happens in a thread of its own, so that a login that is missing, a server that
does not answer or a slow connection costs no training step: one message, and local records go on.

A row is sent once the state that follows it is saved: a run that is killed goes on from that
state, so what was sent stays true. A run that goes on is the same W&B run, in which every row
stands once: online the server tells which rows it has; offline files that were not uploaded yet
are written anew, since a killed process may have left them without their last rows. `wandb.json`
in the run directory keeps W&B's id of the run and the last step that was sent.
"""

import os
import queue
import shlex
import shutil
import sys
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from grok_cli.core.config import Config
from grok_cli.core.phases import PHASE_STEPS
from grok_cli.core.training import Outcome, Recorder, Trainer
from grok_cli.errors import GrokError, UsageError
from grok_cli.runs.directory import RunDir
from grok_cli.runs.files import read_json, write_json

INIT_SECONDS = 15.0  # how long W&B may take to answer at the start; training goes on meanwhile
SILENT_SECONDS = 30.0  # how long the process waits at its end while no row goes through
EXIT_CODES = {"finished": 0, "interrupted": 130, "diverged": 1}


@dataclass(frozen=True)
class _Ending:
    """The last message to the thread."""

    step: int
    exit_code: int
    summary: dict[str, Any]


class WandbRecorder(Recorder):
    """Sends the rows of metrics.csv to W&B whenever a state was saved."""

    def __init__(self, run: RunDir, config: Config) -> None:
        self.run, self.config = run, config
        self.problem = ""  # why W&B does not get the rows, if so
        self.place = ""  # where W&B shows or keeps the run
        self._sent = -1  # last step that W&B has; -1 before it is known
        self._messages: queue.SimpleQueue[int | _Ending] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self, trainer: Trainer, columns: Sequence[str]) -> None:
        self._link = self._read_link()
        self._messages.put(trainer.step)
        self._thread.start()

    def save(self, trainer: Trainer) -> None:
        self._messages.put(trainer.step)

    def finish(self, trainer: Trainer, outcome: Outcome) -> None:
        ending = _Ending(trainer.step, EXIT_CODES[outcome.status], trainer.phases.summary())
        self._messages.put(ending)
        seen = None
        while self._thread.is_alive() and self._sent != seen:
            seen = self._sent
            self._thread.join(SILENT_SECONDS)
        if self._thread.is_alive():
            self.problem = "W&B does not answer"
        if self.problem:
            later = outcome.status == "interrupted"
            print(
                f"grok: W&B: {self.problem}; the run directory has everything"
                + (", and what W&B lacks is sent when the run goes on" if later else ""),
                file=sys.stderr,
            )
        elif self.place:
            print(f"W&B: {self.place}", file=sys.stderr)

    def upload(self, ending: _Ending) -> None:
        """Send what W&B lacks of a run that nobody trains; `problem` says why not."""
        self._link = self._read_link()
        self._messages.put(ending)
        self._work()

    def _work(self) -> None:
        """The thread: open the W&B run, send what is saved, close it."""
        try:
            wandb_run = self._open()
            with self.run.metrics_file.open() as rows:
                names = rows.readline().rstrip("\n").split(",")
                while not isinstance(message := self._messages.get(), _Ending):
                    self._send(wandb_run, names, rows, message)
                self._send(wandb_run, names, rows, message.step)
            wandb_run.summary.update(message.summary)
            wandb_run.finish(exit_code=message.exit_code)
        except Exception as error:  # whatever it is, it must not end the training
            self.problem = " ".join(str(error).split()).rstrip(".") or type(error).__name__

    def _open(self) -> Any:
        os.environ["WANDB_SILENT"] = "true"  # else a missing login is asked for on the terminal
        import wandb

        settings = self.config.wandb
        uploaded = self._drop_offline_files()
        online = settings.mode == "online"
        wandb_run = wandb.init(
            project=settings.project,
            entity=settings.entity,
            group=settings.group,
            name=settings.name or self.run.path.name,
            tags=settings.tags,
            config=self.config.model_dump(mode="json"),
            id=self._link["id"],
            resume="allow" if online else None,
            mode="online" if online else "offline",
            dir=self.run.path,
            settings=wandb.Settings(init_timeout=INIT_SECONDS, console="off"),
        )
        known = wandb_run.step - 1 if online else self._link["sent"] if uploaded else 0
        self._sent = max(known, 0)
        folder = shlex.quote(str(self.run.path / "wandb"))
        sessions = f"{folder}/offline-run-*-{self._link['id']}"  # sorted by time, as synced
        self.place = str(wandb_run.url) if online else f"upload with `wandb sync {sessions}`"
        return wandb_run

    def _drop_offline_files(self) -> bool:
        """Remove this run's offline files that were not uploaded; whether others remain."""
        uploaded = False
        for session in (self.run.path / "wandb").glob(f"offline-run-*-{self._link['id']}"):
            if any(session.glob("*.wandb.synced")):  # `wandb sync` leaves it
                uploaded = True
            else:
                shutil.rmtree(session, ignore_errors=True)
        return uploaded

    def _send(self, wandb_run: Any, names: list[str], rows: IO[str], last: int) -> None:
        """Send the rows up to step `last` that W&B does not have yet."""
        while self._sent < last and (line := rows.readline()):
            cells = dict(zip(names, line.rstrip("\n").split(","), strict=True))
            step = int(cells.pop("step"))
            if step > self._sent:
                values = {name: float(cell) for name, cell in cells.items() if cell}
                wandb_run.log(values, step=step, commit=True)
                self._sent = step
        self._write_link({**self._link, "sent": self._sent})

    def _read_link(self) -> dict[str, Any]:
        """Which W&B run this is; a new one, unless it was logged to the same project before."""
        here = {"entity": self.config.wandb.entity, "project": self.config.wandb.project}
        link = read_json(self.run.wandb_file) or {}
        if {key: link.get(key) for key in here} != here:
            link = {"id": uuid.uuid4().hex[:12], **here, "sent": 0}
            self._write_link(link)
        return link

    def _write_link(self, link: dict[str, Any]) -> None:
        write_json(self.run.wandb_file, link)


def upload_run(run: RunDir, project: str | None = None, entity: str | None = None) -> str:
    """Send a run that was trained to W&B, each row once, whatever W&B has of it already.

    Args:
        project, entity: where to; None: as the run's settings say.

    Returns:
        Where W&B shows the run.

    Raises:
        UsageError: there is no run, it is being trained, nothing was recorded, or summary.json is
            damaged.
        GrokError: W&B did not take it; what it has stays, and another try goes on there.
    """
    config, summary = run.config(), run.summary()
    if summary["status"] not in EXIT_CODES:
        raise UsageError(
            f"{run.path}: its status is '{summary['status']}'; expected a run that was trained and "
            "is not being trained now"
        )
    step = summary.get("step")
    if not isinstance(step, int):
        raise UsageError(
            f"{run.summary_file} is damaged: step: expected a number, found {step!r}; delete it, "
            f"and `grok train --resume {shlex.quote(str(run.path))}` writes it anew"
        )
    target = {"mode": "online", "project": project, "entity": entity}
    changed = {key: value for key, value in target.items() if value is not None}
    config = config.model_copy(update={"wandb": config.wandb.model_copy(update=changed)})
    recorder = WandbRecorder(run, config)
    phases = {key: summary.get(key) for key in ("phase", *PHASE_STEPS)}
    recorder.upload(_Ending(step, EXIT_CODES[summary["status"]], phases))
    if recorder.problem:
        raise GrokError(f"{run.path}: W&B: {recorder.problem}")
    return recorder.place
