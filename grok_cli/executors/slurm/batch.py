"""What is known of one submission beyond the queue: its folder in `.slurm`.

tasks.json               the name of its jobs in the queue, and the runs of each array task
runs/NAME.started-N      the run's worker was started, after N requeues of its task
runs/NAME.ended          how its worker ended
submitit/                submitit's own files, and what the tasks printed

A record has one writer, the task that trains the run, and is whole or absent.
"""

import json
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from grok_cli.executors.worker import INTERRUPTED
from grok_cli.runs.files import read_json, write_text

STARTED, ENDED = ".started-", ".ended"


@dataclass(frozen=True)
class Ending:
    """How a worker ended: its exit code (None: it did not start), and why if that is known."""

    exit_code: int | None
    reason: str = ""


@dataclass(frozen=True)
class Records:
    """The records of a batch: run name to the last start's number, and the runs that ended."""

    started: dict[str, int]
    ended: frozenset[str]


class Batch:
    """The folder of a submission."""

    def __init__(self, folder: Path, job_name: str, tasks: Sequence[Sequence[str]]) -> None:
        self.folder, self.job_name = folder, job_name
        self.tasks = [tuple(names) for names in tasks]
        self.submitit = folder / "submitit"

    @classmethod
    def create(cls, root: Path, title: str, tasks: Sequence[Sequence[str]]) -> "Batch":
        """Write down a new batch. Folders are in order of their age; names are used once."""
        now = datetime.now(timezone.utc)
        token = f"{now:%Y%m%d-%H%M%S-%f}-{uuid.uuid4().hex[:6]}"
        plain = re.sub(r"[^\w.-]+", "-", title)
        batch = cls(root / token, f"grok-{plain}-{token}", tasks)
        (batch.folder / "runs").mkdir(parents=True)
        batch.submitit.mkdir()
        content = {"job_name": batch.job_name, "tasks": batch.tasks}
        write_text(batch.folder / "tasks.json", json.dumps(content))
        return batch

    @classmethod
    def all(cls, root: Path) -> "Iterator[Batch]":
        """The batches of a sweep's directory, newest first."""
        for file in sorted(root.glob("*/tasks.json"), reverse=True):
            content = read_json(file)
            if content is not None:
                yield cls(file.parent, content["job_name"], content["tasks"])

    def delete(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def records(self) -> Records:
        """What has been recorded until now."""
        started: dict[str, int] = {}
        ended = set()
        for file in (self.folder / "runs").glob("[!.]*"):
            name, mark, count = file.name.rpartition(STARTED)
            if mark:
                started[name] = max(int(count), started.get(name, 0))
            elif file.name.endswith(ENDED):
                ended.add(file.name.removesuffix(ENDED))
        return Records(started, frozenset(ended))

    def ending(self, name: str) -> Ending | None:
        """How the run's worker ended; None if it did not."""
        content = read_json(self.folder / "runs" / f"{name}{ENDED}")
        return None if content is None else Ending(**content)

    def over(self, name: str) -> bool:
        """Whether the run's worker ended by itself: not told to stop, as it is before a requeue."""
        ending = self.ending(name)
        return ending is not None and ending.exit_code != INTERRUPTED

    def record_start(self, name: str, restarts: int) -> None:
        (self.folder / "runs" / f"{name}{ENDED}").unlink(missing_ok=True)
        write_text(self.folder / "runs" / f"{name}{STARTED}{restarts}", "")

    def record_end(self, name: str, ending: Ending) -> None:
        write_text(self.folder / "runs" / f"{name}{ENDED}", json.dumps(asdict(ending)))
