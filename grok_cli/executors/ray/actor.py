"""What runs in a Ray cluster: an actor that holds a worker process. It needs no Ray itself.

All its methods return at once; the driver asks it for news. Ray ends the actor when the driver is
gone, and then the worker's standard input ends, upon which it saves and stops (or Ray kills it).
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from grok_cli.executors.base import Job
from grok_cli.executors.ray.mirror import Parcel, Stamps, changed_files, plant
from grok_cli.executors.worker import Worker
from grok_cli.runs.claim import process_started
from grok_cli.runs.directory import RunDir
from grok_cli.version import __version__


@dataclass(frozen=True)
class Node:
    """Where an actor found itself: the host name, and the version of this program there."""

    host: str
    version: str


@dataclass(frozen=True)
class News:
    """How a worker is.

    Attributes:
        exit_code: None while it trains.
        log: what it printed since the offset that was asked for; b"" on shared storage.
        parcel: files that have changed; None on shared storage.
    """

    exit_code: int | None
    log: bytes = b""
    parcel: Parcel | None = None

    def last(self) -> bool:
        """Nothing comes after this."""
        return self.exit_code is not None and (self.parcel is None or self.parcel.complete)


class WorkerActor:
    """A run's worker process on a node.

    On shared storage it trains in the run's own directory; else in one of this node, which is
    sent to the driver bit by bit.
    """

    def __init__(self) -> None:
        self._home: Path | None = None
        self._worker: Worker | None = None
        self._stopping = False

    def node(self) -> Node:
        """Answers as soon as Ray has found a node."""
        return Node(socket.gethostname(), __version__)

    def start(self, job: Job, threads: int, seed: Mapping[str, bytes] | None) -> Stamps:
        """Start the worker.

        Args:
            job: its directory is of this node if `seed` is None.
            seed: files with which a directory of this node begins.

        Returns:
            The stamps of the files sown.

        Raises:
            OSError: the worker cannot be started, or the files cannot be written.
        """
        stamps: Stamps = {}
        if seed is None and not job.run.exists():
            raise FileNotFoundError(
                f"{job.run.path} is not there on {socket.gethostname()}; use a directory that all "
                "nodes share, or --storage driver"
            )
        if seed is not None:
            self._home = new_home()
            job = Job(RunDir(self._home / job.run.path.name), job.options)
            job.run.path.mkdir()
            stamps = plant(job.run.path, seed)
        self._run = job.run
        self._worker = Worker(job, threads)
        return stamps

    def news(self, seen: Stamps, log_offset: int, stop: bool) -> News:
        """What has happened.

        Args:
            seen: stamps of the files that the driver has written.
            log_offset: bytes of the log that it has.
            stop: have the worker save and stop. Told with every question, for Ray may lose one.
        """
        assert self._worker is not None
        if stop and not self._stopping:
            self._stopping = True
            self._worker.terminate()
        exit_code = self._worker.poll()  # first: what follows is final if it has ended
        if self._home is None:
            return News(exit_code)
        with self._run.log_file.open("rb") as log:
            log.seek(log_offset)
            text = log.read()
        return News(exit_code, text, changed_files(self._run.path, seen, exit_code is not None))

    def clean(self) -> None:
        """Let go of a worker that has ended, and of this node's copy of the run."""
        if self._worker is not None:
            self._worker.release()
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)


def _root_name() -> str:
    """By user and host, since containers that share a folder do not share process numbers."""
    return f"grok-ray-{os.getuid()}-{socket.gethostname()}"


def new_home(root: Path | None = None) -> Path:
    """Make a directory of this process for a run's copy, and remove those of dead processes.

    Args:
        root: where; by default in the directory for temporary files.
    """
    root = root or Path(tempfile.gettempdir()) / _root_name()
    root.mkdir(mode=0o700, exist_ok=True)
    for other in root.iterdir():
        pid, _, started = other.name.partition("-")
        if not pid.isdecimal() or process_started(int(pid)) != started:
            shutil.rmtree(other, ignore_errors=True)
    home = root / f"{os.getpid()}-{process_started(os.getpid())}"
    home.mkdir()
    return home
