"""measured.csv: diagnostics computed from a run's snapshots after it was trained.

One row a step, like metrics.csv, with the columns measured so far; measuring again adds columns and
rows and replaces values.
"""

import csv
import fcntl
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from grok_cli.diagnostics.columns import present_column
from grok_cli.errors import GrokError
from grok_cli.runs.files import write_text

Series = dict[int, dict[str, float]]  # step -> metric -> value


def read_measured(file: Path) -> Series:
    """The values in a measured.csv; {} if there is none.

    Raises:
        GrokError: it is damaged.
    """
    if not file.exists():
        return {}
    try:
        with file.open(newline="") as stream:
            return {
                int(row.pop("step")): {
                    present_column(name): float(text) for name, text in row.items() if text
                }
                for row in csv.DictReader(stream, restkey="")  # cells too many: a list, no number
            }
    except (ValueError, TypeError, KeyError):
        raise GrokError(
            f"{file}: damaged; delete it, and measure again with `grok measure`"
        ) from None


def add_measured(file: Path, new: Mapping[int, Mapping[str, float]]) -> None:
    """Merge new values into a measured.csv, atomically, one process after another."""
    with _alone(file.parent):
        _merge(file, new)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold the lock on a directory, which ends with the process; no file is left of it."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _merge(file: Path, new: Mapping[int, Mapping[str, float]]) -> None:
    series = read_measured(file)
    for step, values in new.items():
        series[step] = series.get(step, {}) | dict(values)
    columns = list(dict.fromkeys(name for values in series.values() for name in values))
    text = io.StringIO()
    writer = csv.DictWriter(text, ["step", *columns], restval="", lineterminator="\n")
    writer.writeheader()
    for step in sorted(series):
        writer.writerow({"step": step, **{name: repr(v) for name, v in series[step].items()}})
    write_text(file, text.getvalue())
