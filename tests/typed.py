"""The command in this process: as a user types it, without the seconds that a start takes."""

import contextlib
import io
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from grok_cli.__main__ import run

Grok = Callable[..., "subprocess.CompletedProcess[str]"]  # the fixtures `grok` and `typed`


@contextlib.contextmanager
def _place(directory: Path) -> Iterator[None]:
    """Work in a directory, and leave signals and the environment as they were."""
    here, environment = Path.cwd(), dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(environment)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def type_in(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`grok ARGUMENTS` typed in a directory, with nothing on stdin and no terminal."""
    out, err = io.StringIO(), io.StringIO()
    with _place(directory), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    command = ["grok", *arguments]
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())
