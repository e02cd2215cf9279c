"""Files that are whole or absent, whenever the process is killed."""

import errno
import json
import math
import os
import sys
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from grok_cli.errors import GrokError, cause

STANDARD = {Path("/dev/stdout"): 1, Path("/dev/stderr"): 2}
MOST_BYTES, MOST_JSON = 2**31, 2**26  # of a file of numbers; of one of settings and states


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Replace `path` by what `write` puts into the file that it is given.

    The content goes to a temporary file beside `path`, reaches the disk, and takes the name in
    one step. Raises OSError (a full disk, say) with the old file as it was.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):  # nor does it go from a disk that may only be read
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # for the message, in place of ours
        raise


def write_output(path: Path, content: bytes | str) -> None:
    """Write a file that the user named; see `stream_output`."""
    data = content.encode() if isinstance(content, str) else content
    stream_output(path, lambda file: file.write(data))


def stream_output(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file that the user named, as `write` does: whole or not at all.

    A link is followed and stays a link. What is no regular file (a named pipe, a device) is
    written to and stays what it is; so is whatever stands below /dev, such as /dev/stdout, for
    which "-" stands.

    Raises:
        GrokError: it cannot be written, or half of it is written to what is no regular file.
        BrokenPipeError: whoever read has seen enough.
    """
    path = Path("/dev/stdout") if path == Path("-") else path
    try:
        if path in STANDARD:  # opened anew, a file behind it would lose what it holds
            sys.stdout.flush()
            with os.fdopen(os.dup(STANDARD[path]), "wb") as stream:
                write(stream)
        elif path.parent == Path("/dev") or (path.exists() and not path.is_file()):
            with path.open("wb") as stream:
                write(stream)
        else:
            write_atomically(Path(os.path.realpath(path)), write)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise GrokError(f"cannot write {path}: {cause(error)}") from None


def make_folder(path: Path) -> None:
    """Make a folder that the user named, unless it is there.

    Raises:
        GrokError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GrokError(f"cannot make {path}: {cause(error)}") from None


def keep_previous(path: Path, previous: Path) -> None:
    """Give the present content of `path` the name `previous`; `path` is there all the time."""
    spare = path.with_name(f".{previous.name}.{uuid.uuid4().hex}.tmp")
    try:
        os.link(path, spare)
        spare.replace(previous)
    except OSError:  # nothing there yet, or a file system without links
        pass
    finally:  # where both names are one file already, replacing does nothing and leaves the spare
        with suppress(OSError):
            spare.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the content of `path` atomically."""
    write_atomically(path, lambda file: file.write(content))


def write_text(path: Path, text: str) -> None:
    """Replace the text of `path` atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Replace the content of `path` by a value as JSON, atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def without_nan(value: Any) -> Any:
    """The same, with None for numbers that are not finite, which JSON does not have."""
    if isinstance(value, dict):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class TooLargeError(OSError):
    """A file holds more than is read of one."""


def read_whole(path: Path, most: int = MOST_BYTES) -> bytes:
    """What a file holds; what has no end, such as /dev/zero, is refused before memory is full.

    Raises:
        OSError: it cannot be read.
        TooLargeError: it has more than `most` bytes.
    """
    with path.open("rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise TooLargeError(errno.EFBIG, f"more than {most:,} bytes", str(path))
    return content


def read_header(path: Path) -> list[str]:
    """The names in the first line of a CSV file; [] if it cannot be read."""
    try:
        with path.open() as lines:
            return lines.readline().rstrip("\n").split(",")
    except (OSError, UnicodeDecodeError):
        return []


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a text file that are not empty; [] if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 10_000))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None if there is no such file, or it is damaged."""
    try:
        content = json.loads(read_whole(path, MOST_JSON))
    except (FileNotFoundError, TooLargeError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def read_entries(path: Path) -> list[dict[str, Any]]:
    """The objects of the list in a JSON file, or the only one; [] if that cannot be read."""
    try:
        content = json.loads(read_whole(path, MOST_JSON))
    except (OSError, ValueError, RecursionError):
        return []
    entries = content if isinstance(content, list) else [content]
    return [entry for entry in entries if isinstance(entry, dict)]
