"""A real Ray cluster of two nodes on this machine, for tests."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_for

STARTS = 5
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_log_monitor": False}


class TwoNodes:
    """A head that the tests connect to, and another node that can be taken away.

    Attributes:
        address: HOST:PORT.
        other: Ray's object for the other node; None while it is away.
    """

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.folder = os.environ["RAY_TMPDIR"]
        self.cluster = Cluster()
        self.other: Any = None
        try:
            self._add(include_dashboard=False, no_monitor=True)
            self.address = self.cluster.address
            self.complete()
        except BaseException:
            self.shutdown()
            raise

    def complete(self) -> None:
        """Have both nodes there."""
        if self.other is None:
            self.other = self._add()

    def is_on_other(self, pid: int) -> bool:
        """Whether a process descends from the other node's raylet."""
        raylets = {info.process.pid for info in self.other.all_processes["raylet"]}
        while pid > 1 and pid not in raylets:
            stat = Path(f"/proc/{pid}/stat").read_text()
            pid = int(stat.rpartition(")")[2].split()[1])
        return pid in raylets

    def take_other_away(self) -> None:
        """Kill all processes of the other node."""
        self.cluster.remove_node(self.other, allow_graceful=False)
        self.other = None

    def shutdown(self) -> None:
        self.cluster.shutdown()
        wait_for(lambda: not processes(self.folder))

    def _add(self, **options: Any) -> Any:
        """Add a node, in several attempts: on a busy machine Ray may give up after 15 s."""
        for _ in range(STARTS):
            before = processes(self.folder)
            try:
                return self.cluster.add_node(**NODE, **options)
            except Exception as error:
                failure = error
                for pid in processes(self.folder):
                    if pid not in before:
                        os.kill(pid, signal.SIGKILL)
        raise failure


@contextmanager
def two_nodes(scratch: Path) -> Iterator[TwoNodes]:
    """Start the cluster; its nodes keep their copies of runs below `scratch`."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # names of sockets must be short
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_TMPDIR", folder)
            patch.setenv("TMPDIR", str(scratch))
            # Other tests may run beside these: Ray would give up after 60 s, and give way to them.
            patch.setenv("RAY_worker_register_timeout_seconds", "600")
            patch.setenv("RAY_worker_niceness", "0")
            # A node counts as dead after five looks that failed, in 2.5 s instead of 15.
            patch.setenv("RAY_health_check_period_ms", "500")
            try:
                cluster = TwoNodes()
            except Exception as error:
                pytest.skip(f"Ray did not start on this machine in {STARTS} attempts: {error}")
            try:
                yield cluster
            finally:
                cluster.shutdown()
    finally:
        shutil.rmtree(folder)


def processes(text: str) -> list[int]:
    """Numbers of the processes in whose command a text occurs, but not this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if text in command and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found
