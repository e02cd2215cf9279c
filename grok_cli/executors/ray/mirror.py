"""Brings a run directory from the machine that trains it to the one that asked for it.

The copy must be resumable whenever either side is killed, so the order of files is that of the
training: what a state refers to is there before the state is. A resume state needs the rows of
metrics.csv before it, and a summary that says "finished" needs everything. Hence files are read
with the summary first and the metrics after the resume state, and written the other way round.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from grok_cli.runs.files import write_bytes

Stamps = dict[str, tuple[int, int]]  # name of a file: its modification time (ns) and size

STATE = ("metrics.csv", "resume.pt", "summary.json")  # sent last, and written in this order
APART = ("claim.json", "log.txt")  # of a side of its own; the log is sent by its tail
PARCEL_BYTES = 64_000_000  # snapshots sent at a time, so that thousands need no memory
WANDB = "wandb/"  # W&B's own files, whole only when the worker has ended


@dataclass(frozen=True)
class SentFile:
    """A file of a run directory on its way, with the stamp that it had."""

    name: str
    stamp: tuple[int, int]
    content: bytes


@dataclass(frozen=True)
class Parcel:
    """What has changed in a run directory.

    Attributes:
        files: in the order in which they are to be written.
        complete: nothing is left to be sent for now.
        wandb: once the worker has ended, all names below wandb/; others there are outdated.
    """

    files: tuple[SentFile, ...]
    complete: bool
    wandb: tuple[str, ...] | None = None


def seed_files(directory: Path) -> dict[str, bytes]:
    """All that a worker elsewhere needs of a run directory to go on with it.

    Of the snapshots that is the first, with which diagnostics compare; measured.csv is made from
    the others.
    """
    return {
        name: (directory / name).read_bytes()
        for name in _names(directory)
        if name != "measured.csv"
        and not name.startswith("states/")
        and (not name.startswith("snapshots/") or name.endswith("/step_000000.pt"))
    }


def plant(directory: Path, files: Mapping[str, bytes]) -> Stamps:
    """Make a directory that holds these files; returns their stamps."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return {name: _stamp(directory / name) for name in files}


def changed_files(directory: Path, seen: Stamps, ended: bool) -> Parcel:
    """What the other side lacks, as far as it can be sent consistently.

    While training goes on, that is the summary, and once a newer resume state is there, all. A
    summary that tells of an end goes when the worker has ended, with all that it tells of.

    Args:
        seen: stamps of the files that the other side has.
        ended: the worker has ended (as was known before this call).
    """
    summary = _read(directory, "summary.json", seen)
    if summary is not None and not ended and not _tells_of_training(summary):
        summary = None
    resume = _read(directory, "resume.pt", seen)
    if resume is None and not ended:
        return Parcel((summary,) if summary else (), complete=True)
    state = (_whole_rows(_read(directory, "metrics.csv", seen)), resume, summary)
    others, size = [], 0
    names = [name for name in _names(directory) if name not in STATE]
    for name in names:
        if name.startswith(WANDB) and not ended:
            continue
        file = _read(directory, name, seen)
        if file is not None:
            others.append(file)
            size += len(file.content)
        if size > PARCEL_BYTES:
            return Parcel(tuple(others), complete=False)
    wandb = tuple(name for name in names if name.startswith(WANDB)) if ended else None
    return Parcel((*others, *(file for file in state if file)), complete=True, wandb=wandb)


def write_parcel(directory: Path, parcel: Parcel) -> Stamps:
    """Write what has come, each file whole or not at all; returns the stamps to be told next.

    Raises:
        OSError: a file could not be written; those before it are, and none after it.
        ValueError: a name leads out of the directory.
    """
    stamps = {}
    for file in parcel.files:
        path = _inside(directory, file.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, file.content)
        stamps[file.name] = file.stamp
    if parcel.wandb is not None:
        _drop_others(directory, set(parcel.wandb))
    return stamps


def _drop_others(directory: Path, names: Iterable[str]) -> None:
    """Remove W&B's files that the worker's side removed."""
    for name in _names(directory):
        if name.startswith(WANDB) and name not in names:
            (directory / name).unlink(missing_ok=True)
    for folder in (directory / WANDB).glob("*"):
        if folder.is_dir() and not any(path.is_file() for path in folder.rglob("*")):
            shutil.rmtree(folder, ignore_errors=True)


def _names(directory: Path) -> Iterator[str]:
    """Names of the files that travel, in order; not those under way (which begin with a dot)."""
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        hidden = any(part.startswith(".") for part in PurePosixPath(name).parts)
        if path.is_file() and not path.is_symlink() and not hidden and name not in APART:
            yield name


def _read(directory: Path, name: str, seen: Stamps) -> SentFile | None:
    """A file, unless the other side has it, or it is not there."""
    path = directory / name
    try:
        stamp = _stamp(path)  # before the content: if that is newer, it is sent again
        if seen.get(name) == stamp:
            return None
        return SentFile(name, stamp, path.read_bytes())
    except FileNotFoundError:
        return None


def _tells_of_training(summary: SentFile) -> bool:
    try:
        return bool(json.loads(summary.content)["status"] == "running")
    except (ValueError, TypeError, KeyError):
        return False


def _whole_rows(metrics: SentFile | None) -> SentFile | None:
    """Without the row that is being written."""
    if metrics is None:
        return None
    end = metrics.content.rfind(b"\n") + 1
    return replace(metrics, content=metrics.content[:end])


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _inside(directory: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or PurePosixPath(name).is_absolute():
        raise ValueError(f"{name!r} is not a file of a run directory")
    return directory.joinpath(*parts)
