"""How the command ends, whatever happens: a code, at most one message, never a traceback."""

import errno
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from grok_cli.__main__ import _show_warning, run
from grok_cli.cli import config
from grok_cli.errors import GrokError, GrokWarning, UsageError
from tests.typed import type_in

START = "from grok_cli.__main__ import main; import sys; sys.argv = ['grok', 'config', 'schema']; "


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Run a command that raises; its exit code."""

    def fail(error: BaseException) -> int:
        def show(_value: object) -> None:
            raise error

        monkeypatch.setattr(config, "print_json", show)
        return run(["config", "schema"])

    return fail


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (GrokError("it broke"), 1, "grok: it broke\n"),
        (UsageError("bad \x1b[2J"), 2, "grok: bad \\x1b[2J\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 0, ""),
        (OSError(errno.EIO, "Input/output error"), 1, ""),
        (OSError(errno.ENOSPC, "No space", "f.csv"), 1, "grok: f.csv: No space\n"),
        (OSError("short write"), 1, "grok: writing: short write\n"),
        (OSError(), 1, "grok: writing: OSError\n"),
    ],
)
def test_error_ends_in_its_code_and_at_most_one_message(
    failing: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    message: str,
) -> None:
    assert failing(error) == code
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    "error",
    [
        RecursionError("maximum recursion depth exceeded"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    ],
)
def test_exhaustion_is_one_line(
    failing: Callable[[BaseException], int],
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    assert failing(error) == 1
    message = capsys.readouterr().err
    assert message.startswith("grok: ")
    assert message.count("\n") == 1


def test_warnings_are_said_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    _show_warning(GrokWarning("x: left\x1bout"), GrokWarning, "f.py", 3)
    assert capsys.readouterr().err == "grok: x: left\\x1bout\n"
    _show_warning(RuntimeWarning("odd"), RuntimeWarning, "f.py", 3)
    assert "f.py:3: RuntimeWarning: odd" in capsys.readouterr().err


def test_mistake_of_the_program_is_not_hidden(failing: Callable[[BaseException], int]) -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        failing(RuntimeError("a bug"))


def python(code: str, **options: object) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", code], text=True, **options)  # type: ignore[call-overload,no-any-return]


def test_reader_that_has_seen_enough_is_no_failure() -> None:
    read, write = os.pipe()
    os.close(read)
    with python(START + "main()", stdout=write, stderr=subprocess.PIPE) as grok:
        os.close(write)
        assert grok.stderr is not None
        assert grok.stderr.read() == ""
    assert grok.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_behind_stdout_is_one_message() -> None:
    with (
        Path("/dev/full").open("w") as full,
        python(START + "main()", stdout=full, stderr=subprocess.PIPE) as grok,
    ):
        assert grok.stderr is not None
        assert grok.stderr.read() == "grok: writing: No space left on device\n"
    assert grok.returncode == 1


def test_ctrl_c_while_python_ends_leaves_no_traceback() -> None:
    late = "import atexit, time; atexit.register(lambda: (print(flush=True), time.sleep(30))); "
    with python(late + START + "main()", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as grok:
        assert grok.stdout is not None
        assert grok.stderr is not None
        while grok.stdout.readline() != "\n":
            pass
        grok.send_signal(signal.SIGINT)
        assert grok.stderr.read() == ""
    assert grok.returncode == -signal.SIGINT  # a shell says 130


def test_terminal_that_is_gone_leaves_no_traceback(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    wait = "import sys; sys.stdin.readline(); "
    errors = tmp_path / "errors"
    with errors.open("w") as stderr:
        grok = python(wait + START + "main()", stdin=subprocess.PIPE, stdout=theirs, stderr=stderr)
        os.close(theirs)
        os.close(ours)
        grok.communicate("\n")
    assert errors.read_text() == ""
    assert grok.returncode in (0, 1)


def test_second_ctrl_c_of_a_sweep_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("grok_cli.cli.sweep.sweeps.run_sweep", interrupted)
    monkeypatch.setattr("sys.argv", ["grok", "sweep", "depth"])
    ended = type_in(tmp_path, "sweep", "depth")
    assert ended.returncode == 130
    assert ended.stderr.endswith(
        "killed; the same command goes on from what was saved: grok sweep depth\n"
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [("config show >&-", 0), ("config show 2>&-", 0), ("runs nowhere <&- >&- 2>&-", 2)],
)
def test_closed_streams_are_written_to_in_vain(command: str, code: int, tmp_path: Path) -> None:
    shell = f'exec "{sys.executable}" -m grok_cli {command}'
    done = subprocess.run(
        ["sh", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, "")


def test_numbers_of_closed_streams_go_to_no_file(tmp_path: Path) -> None:
    program = (
        "from grok_cli.__main__ import _open_what_is_closed as ready; ready();"
        f"print(open({str(tmp_path / 'metrics.csv')!r}, 'w').fileno() > 2, file=open('told', 'w'))"
    )
    shell = f'exec "{sys.executable}" -c "$0" <&- >&- 2>&-'
    subprocess.run(["sh", "-c", shell, program], cwd=tmp_path, check=True)
    assert (tmp_path / "told").read_text() == "True\n"
