"""Entry point of `grok`, `grok-cli` and `python -m grok_cli`."""

import contextlib
import errno
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

# How long a thread of PyTorch's pool spins while it waits for work; read when torch is loaded. The
# default, milliseconds, keeps the core from the very thread that is waited for on a busy machine:
# measured, a two-thread training step beside other work took 2,600 ms, and 250 with this value.
SPIN_COUNT = "3000"
READER_GONE = (errno.EPIPE, errno.EIO)  # a closed pipe; a terminal that is gone


def main() -> None:
    """Run the command line and end with its exit code: 0 ok, 1 failed, 2 usage, 130 interrupted."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # "–" where the terminal knows ASCII only
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = _show_warning
    code = run(sys.argv[1:])
    try:
        # From here on Ctrl-C ends this process at once, instead of with a traceback of whatever
        # Python does last.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    except KeyboardInterrupt:
        code = 130
    sys.exit(_flushed(code))


def _open_what_is_closed() -> None:
    """Nothing to read and to write where a standard stream is closed (`grok ... >&-`).

    Left closed, its number would go to the next file that is opened, a run's metrics.csv, say, and
    what a library prints would end up in there.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def run(arguments: Sequence[str]) -> int:
    """Run `grok ARGUMENTS`; the exit code.

    What the user can mend, and what the machine lacks, becomes one message on stderr.
    """
    from grok_cli.errors import GrokError, cause

    try:
        from grok_cli.cli.app import app

        app(args=list(arguments), prog_name="grok")
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else 1 if ending.code else 0
    except GrokError as error:
        _say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.errno in READER_GONE and error.filename is None:
            return 0 if error.errno == errno.EPIPE else 1
        _say(f"{error.filename or 'writing'}: {cause(error)}")
        return 1
    except RecursionError:
        _say("something that was read is nested too deeply; nothing was done with it")
        return 1
    except (MemoryError, RuntimeError) as error:
        if not _is_lack_of_memory(error):
            raise
        _say(
            "not enough memory; a smaller data.modulus, model.d_model or batch needs less, "
            "`ulimit -v` and other programs may be the limit"
        )
        return 1
    return 0


def _is_lack_of_memory(error: Exception) -> bool:
    """Whether Python, numpy or torch (which raises a RuntimeError of its own) got no memory."""
    text = str(error)
    return isinstance(error, MemoryError) or "out of memory" in text or "allocate memory" in text


def _say(message: str) -> None:
    from grok_cli.cli.output import escape

    with contextlib.suppress(OSError):  # nobody may be there to read it
        print(f"grok: {escape(message, keep_lines=True)}", file=sys.stderr)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning of this program as one line; others, meant for programmers, as Python has them."""
    from grok_cli.errors import GrokWarning

    if issubclass(category, GrokWarning):
        _say(str(message))
    else:
        _say(warnings.formatwarning(message, category, filename, lineno, line).rstrip())


def _flushed(code: int) -> int:
    """The exit code once everything is written out; Python does that in silence afterwards."""
    from grok_cli.errors import cause

    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError) as error:
            # What cannot be written goes nowhere, or Python would try again and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if isinstance(error, OSError) and error.errno not in READER_GONE:
                _say(f"writing: {cause(error)}")
                code = code or 1
    return code


if __name__ == "__main__":
    main()
