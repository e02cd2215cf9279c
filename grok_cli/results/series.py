"""The metrics in the CSV files of runs: each file is read once."""

from collections.abc import Callable, Sequence
from errno import ENOSPC
from functools import partial
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from grok_cli.diagnostics.columns import present_column
from grok_cli.errors import GrokError, cause
from grok_cli.results.run import STEP, Source
from grok_cli.runs.files import read_whole

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    Array = NDArray[Any]

KEPT_BYTES = 16 * 2**20  # of metrics in memory; what goes beyond lies in a temporary file


class Memory:
    """Metrics of runs, in memory as long as there is room, and beyond that in a temporary file.

    Steps, which most runs have in common, are kept once; values that are numbers of 32 bits
    (norms are) as such.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.left = KEPT_BYTES if limit is None else limit
        self._steps: dict[bytes, Array] = {}
        self._disk: Disk | None = None

    def read(self, files: Sequence[Path]) -> Source:
        """The metrics in files, read now and thereby checked.

        Raises:
            GrokError: a file is damaged.
        """
        import polars as pl

        kept = {
            metric: (self._shared(table[STEP]), self._keep(_narrow(table[metric].to_numpy())))
            for metric, table in read_series(files).items()
        }

        def series(metric: str) -> pl.DataFrame:
            steps, values = kept[metric]
            return pl.DataFrame({STEP: steps, metric: values().astype("float64", copy=False)})

        return Source(list(kept), series)

    def _shared(self, steps: "pl.Series") -> "Array":
        array = steps.to_numpy()
        digest = blake2b(array.tobytes(), digest_size=16).digest()
        return self._steps.setdefault(digest, array.copy())

    def _keep(self, values: "Array") -> "Callable[[], Array]":
        """Keep an array; returns what gives it back."""
        if values.nbytes > self.left:
            try:
                self._disk = self._disk or Disk()
                return self._disk.keep(values)
            except OSError:  # no room there: then in memory
                pass
        self.left -= values.nbytes
        return lambda: values


class Disk:
    """Arrays in a temporary file, which goes with this object.

    Raises:
        OSError: there is no room for it.
    """

    def __init__(self) -> None:
        self._file = TemporaryFile(buffering=0)  # noqa: SIM115  (`__del__` closes it)
        self._end = 0

    def keep(self, values: "Array") -> "Callable[[], Array]":
        """Write an array; returns what reads it.

        Raises:
            OSError: there is no room for it.
        """
        place = self._end
        self._file.seek(place)
        if self._file.write(values.tobytes()) < values.nbytes:
            raise OSError(ENOSPC, "no room in the temporary file")
        self._end += values.nbytes
        return partial(self._read, place, values.nbytes, values.dtype)

    def _read(self, place: int, size: int, dtype: Any) -> "Array":
        import numpy as np

        self._file.seek(place)
        return np.frombuffer(self._file.read(size), dtype)

    def __del__(self) -> None:
        self._file.close()


def _narrow(values: "Array") -> "Array":
    """A copy of the values, in 32 bits if none is changed by that."""
    import numpy as np

    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    return narrow if np.array_equal(narrow, values, equal_nan=True) else values.copy()


def read_series(
    files: Sequence[Path], metrics: Sequence[str] | None = None
) -> "dict[str, pl.DataFrame]":
    """The series of each metric in CSV files with a column "step" and a column a metric.

    Where two files hold the same metric at the same step, the first one counts.

    Args:
        metrics: those wanted; None: all.

    Raises:
        GrokError: a file is damaged; the message names it.
    """
    import polars as pl

    found: dict[str, list[pl.DataFrame]] = {}
    for file in files:
        table = _read(file, metrics)
        if not _in_order(table[STEP]):
            table = table.drop_nulls(STEP).unique(STEP, keep="first", maintain_order=True)
            table = table.sort(STEP)
        for name in table.columns:
            if name != STEP:
                rows = table.select(STEP, name)
                gaps = rows[name].null_count()
                found.setdefault(name, []).append(rows.drop_nulls() if gaps else rows)
    return {
        name: tables[0]
        if len(tables) == 1
        else pl.concat(tables).unique(STEP, keep="first", maintain_order=True).sort(STEP)
        for name, tables in found.items()
    }


def _in_order(steps: "pl.Series") -> bool:
    """Whether each step is there and larger than the one before."""
    numbers = steps.to_numpy()
    return not steps.null_count() and bool((numbers[1:] > numbers[:-1]).all())


def _read(file: Path, metrics: Sequence[str] | None) -> "pl.DataFrame":
    """The rows that were written whole.

    The bytes are read here: a path would be taken for a pattern where it holds brackets.
    """
    import polars as pl

    try:
        content = read_whole(file)
    except OSError as error:
        raise GrokError(f"{file}: cannot be read: {cause(error)}") from None
    head = content[: content.find(b"\n") + 1]
    names = head.decode(errors="replace").rstrip("\r\n").split(",")
    if STEP not in names or len(set(names)) < len(names):
        raise GrokError(f"{file} is damaged: expected columns {STEP} and a metric each, by name")
    schema: dict[str, Any] = {name: pl.Int64 if name == STEP else pl.Float64 for name in names}
    present = {name: present_column(name) for name in names}
    wanted = [name for name in names if metrics is None or present[name] in [STEP, *metrics]]
    try:
        table = pl.read_csv(content[: content.rfind(b"\n") + 1], schema=schema, columns=wanted)
        return table.rename({name: present[name] for name in wanted})
    except pl.exceptions.PolarsError as error:
        raise GrokError(
            f"{file} is damaged: {str(error).splitlines()[0]}; expected a number a cell, by step"
        ) from None
