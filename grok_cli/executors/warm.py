"""Workers that are forked from a process which has everything imported.

A short run takes less time than the imports before it. So a sweep on this machine keeps a server:
a process that has imported what a worker needs, has started no thread, and forks itself for each
run. A worker of it has all that a started one has: a session of its own, the run's log, a standard
input that ends when the sweep is gone, threads set before torch is loaded.

    sweep to server    start ID, with the worker's arguments, standard input, log and lifeline
                       signal ID
    server to sweep    ready; ended ID, with the exit code

The lifeline is a pipe that nobody writes to; its end says that the worker is gone, whatever became
of the server. When the server is gone, its workers are told by the end of their standard input.
"""

import gc
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from grok_cli.executors.base import Job
from grok_cli.executors.worker import INTERRUPTED, worker_arguments, worker_environment

# What a worker needs, and what it then does; named, for they stand above this folder.
IMPORTED = ("grok_cli.cli.app", "grok_cli.cli.train_view", "grok_cli.runs.launch")
WORKER = "grok_cli.__main__:main"
MESSAGE_BYTES = 1 << 16
CLOSE_SECONDS = 10.0  # that a server has to end; nothing is lost when it is killed then


class Server:
    """A sweep's side: the server, and the workers that it has forked.

    Attributes:
        ready: it has said that it can fork.
        lost: it is gone; its workers that still run were told to save and stop.
    """

    def __init__(self, threads: int) -> None:
        """
        Raises:
            OSError: it cannot be started.
        """
        self.ready = self.lost = False
        self._threads, self._codes, self._count = threads, dict[int, int | None](), 0
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=worker_environment(threads),
                start_new_session=True,
            )

    def start(self, job: Job) -> "ForkedWorker":
        """Have a worker forked, as soon as the server is ready.

        Raises:
            OSError: its log cannot be opened, or the server is gone.
        """
        self._count += 1
        stdin, ours = os.pipe()
        lifeline, theirs = os.pipe()
        try:
            message = {"start": self._count, "arguments": worker_arguments(job, self._threads)}
            with job.run.log_file.open("ab") as log:
                socket.send_fds(self._channel, [_packed(message)], [stdin, log.fileno(), theirs])
        except OSError:
            os.close(ours)
            os.close(lifeline)
            raise
        finally:
            os.close(stdin)
            os.close(theirs)
        return ForkedWorker(self, self._count, ours, lifeline)

    def signal(self, number: int, signal_number: int) -> None:
        """Send a worker a signal, if it is still there."""
        try:
            self._channel.send(_packed({"signal": number, "number": signal_number}))
        except OSError:
            self.lost = True

    def code(self, number: int) -> int | None:
        """The exit code of a worker that the server has told; None if it has not."""
        while not self.lost and select.select([self._channel], [], [], 0)[0]:
            try:
                message = json.loads(self._channel.recv(MESSAGE_BYTES) or "null")
            except OSError:
                message = None
            if message is None:
                self.lost = True
            elif "ended" in message:
                self._codes[message["ended"]] = message["code"]
            else:
                self.ready = True
        return self._codes.pop(number, None)

    def close(self) -> None:
        """Have the server end."""
        self._channel.close()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class ForkedWorker:
    """A worker that was forked, used like a `Worker`.

    Attributes:
        returncode: as that of a `Worker`.
        lost: it is gone with the server, and nobody knows its exit code.
    """

    def __init__(self, server: Server, number: int, stdin: int, lifeline: int) -> None:
        self.returncode: int | None = None
        self.lost = False
        self.stdin = open(stdin, "wb", buffering=0)  # noqa: SIM115 -- open while the worker runs
        self.lifeline = open(lifeline, "rb", buffering=0)  # noqa: SIM115 -- likewise
        self._server, self._number = server, number

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        if self.returncode is None:
            self.returncode = self._server.code(self._number)
        if self.returncode is None and self._server.lost:
            self.stdin.close()  # upon which it saves and stops
            if select.select([self.lifeline], [], [], 0)[0]:
                self.returncode, self.lost = INTERRUPTED, True
        return self.returncode

    def release(self) -> None:
        """Close what is open of it; if it still runs, it saves and stops."""
        self.stdin.close()
        self.lifeline.close()

    def terminate(self) -> None:
        self._server.signal(self._number, signal.SIGTERM)

    def kill(self) -> None:
        self._server.signal(self._number, signal.SIGKILL)


def main() -> None:
    """Be a server, and in the end a worker of it."""
    for name in IMPORTED:
        import_module(name)
    sys.argv = ["grok", *serve(int(sys.argv[1]))]
    pkgutil.resolve_name(WORKER)()


def serve(channel_number: int) -> list[str]:
    """Fork workers until the sweep is gone; returns in each worker only, with its arguments.

    Called with everything imported. It ends at once if that has started a thread, which a fork
    would not take along.
    """
    channel = socket.socket(fileno=channel_number)
    channel.set_inheritable(False)
    if _threads() != 1:
        os._exit(1)
    gc.freeze()  # else collecting would touch, and so copy, all that the workers share
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    children: dict[int, int] = {}  # process to number
    try:
        channel.send(_packed({"ready": True}))
        while True:
            sources: list[Any] = [channel, wake]
            ready = select.select(sources, [], [])[0]
            if wake in ready:
                os.read(wake, 1024)
                _reap(channel, children)
            if channel not in ready:
                continue
            text, files, _, _ = socket.recv_fds(channel, MESSAGE_BYTES, 3)
            if not text:
                os._exit(0)
            message = json.loads(text)
            if "signal" in message:
                for process, number in children.items():
                    if number == message["signal"]:  # not reaped, so its number is its own
                        os.kill(process, message["number"])
                continue
            process = os.fork()
            if process == 0:
                for number in (channel.detach(), wake, woken):
                    os.close(number)
                return _become_worker(message["arguments"], *files)
            children[process] = message["start"]
            for file in files:
                os.close(file)
    except OSError:  # the sweep is gone, or this machine takes no more processes
        os._exit(1)


def _reap(channel: socket.socket, children: dict[int, int]) -> None:
    """Tell of the workers that have ended."""
    while children:
        process, status = os.waitpid(-1, os.WNOHANG)
        if process == 0:
            return
        code = os.waitstatus_to_exitcode(status)
        channel.send(_packed({"ended": children.pop(process), "code": code}))


def _become_worker(arguments: list[str], stdin: int, log: int, lifeline: int) -> list[str]:
    """Make the fork what a started worker is from its beginning."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.set_inheritable(lifeline, False)
    for source, target in ((stdin, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(stdin)
    os.close(log)
    return arguments


def _threads() -> int:
    """The threads of this process; 0 where that cannot be known."""
    try:
        return sum(1 for _ in Path("/proc/self/task").iterdir())
    except OSError:
        return 0


def _packed(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()


if __name__ == "__main__":
    main()
