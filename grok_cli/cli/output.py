"""What commands print: tables, JSON, and text in which control characters are shown escaped.

Results go to stdout. A table on a terminal loses columns where it is too narrow, so that each row
stays one line; elsewhere its rows are lines of tab-separated cells below one line of titles.
"""

import csv
import io
import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grok_cli.results.cells import name_cell
from grok_cli.runs.files import without_nan, write_output

GAP = 2  # columns of space between two columns
FOLDED = 24  # columns that a sentence needs at least
ABSENT = "–"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        key: of the value in a row.
        title: above the column; the key if empty.
        number: whether values stand on the right.
        drop: on a narrow terminal the column of the highest number goes first; those of 0 stay.
        text: how a value is shown; see `show`.
        style: of a value on a terminal, in Rich's words; "" for none.
        folds: whether values are sentences, which on a terminal may take several lines.
    """

    key: str
    title: str = ""
    number: bool = False
    drop: int = 0
    text: Callable[[Any], str] | None = None
    style: Callable[[Any], str] | None = None
    folds: bool = False

    def shown(self, row: Row) -> str:
        """The value in a row as text, on one line."""
        return escape((self.text or show)(row.get(self.key)))

    @property
    def heading(self) -> str:
        return escape(self.title or self.key)


def print_table(
    columns: Sequence[Column],
    rows: Sequence[Row],
    title: str = "",
    console: Console | None = None,
) -> None:
    """Print rows as a table.

    Args:
        title: a line above the table on a terminal.
        console: where the table goes to; stdout by default.
    """
    console = console or Console(highlight=False)
    if not console.is_terminal:
        for cells in ([c.heading for c in columns], *([c.shown(r) for c in columns] for r in rows)):
            console.file.write("\t".join(cells) + "\n")
        return
    if title:
        console.print(Text(escape(title), style="bold"))
    widths = {column.key: _width(column, rows) for column in columns}
    fitting, hidden = _fitting(columns, widths, console.width)
    console.print(_table(fitting, rows, widths, console.width), crop=True)
    if hidden:
        names = ", ".join(column.heading for column in hidden)
        console.print(Text(f"not shown in this width: {names}", style="dim"))


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout; a number that is not finite becomes null."""
    typer.echo(json.dumps(without_nan(value), indent=2, allow_nan=False))


def write_csv(file: Path | None, records: Sequence[Row], keys: Iterable[str] = ()) -> None:
    """Write a CSV file with a row a record and a column for every key in any of them.

    Args:
        file: None: nothing is written.
        keys: columns that come first, also where no record has them.

    Raises:
        GrokError: the file cannot be written.
    """
    if file is None:
        return
    keys = dict.fromkeys([*keys, *(key for record in records for key in record)])
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(keys)
    writer.writerows([name_cell(record.get(key)) for key in keys] for record in records)
    write_output(file, stream.getvalue())


def say(text: str) -> None:
    """Print a line on stderr; on a terminal too narrow for it, several, with words kept whole."""
    shown = escape(text)
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        shown = textwrap.fill(shown, width, break_long_words=False, break_on_hyphens=False)
    typer.echo(shown, err=True)


def can_redraw(console: Console) -> bool:
    """Whether lines that were printed can be drawn anew: not in a file, nor on a dumb terminal."""
    return console.is_terminal and not console.is_dumb_terminal


def duration(seconds: float) -> str:
    """A time as h:mm:ss; "?" if it is beyond all sense."""
    return str(timedelta(seconds=round(seconds))) if seconds < 1e9 else "?"


def escape(text: object, *, keep_lines: bool = False) -> str:
    """Text as it may be written to a terminal: what does not print is shown as an escape.

    Names of runs, settings and messages may hold anything, also the codes that move a terminal's
    cursor or turn text around.

    Args:
        keep_lines: whether ends of lines stay what they are.
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or (keep_lines and character == "\n")
        else character.encode("unicode_escape").decode()
        for character in text
    )


def show(value: Any) -> str:
    """A value as text: four digits of a float, a dash for what is not there."""
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _fitting(
    columns: Sequence[Column], widths: Mapping[str, int], width: int
) -> tuple[list[Column], list[Column]]:
    """The columns that the width has room for, and the others."""
    fitting, hidden = list(columns), []
    while sum(widths[c.key] for c in fitting) + GAP * (len(fitting) - 1) > width:
        last = max(fitting, key=lambda column: column.drop)
        if last.drop == 0:
            break
        fitting.remove(last)
        hidden.append(last)
    return fitting, hidden


def _width(column: Column, rows: Sequence[Row]) -> int:
    """How much room a column takes at least, on a terminal."""
    if column.folds:
        return FOLDED
    return max(map(cell_len, [column.heading, *(column.shown(row) for row in rows)]))


def _table(
    columns: Sequence[Column], rows: Sequence[Row], widths: Mapping[str, int], width: int
) -> Table:
    over = max(sum(widths[column.key] for column in columns) + GAP * (len(columns) - 1) - width, 0)
    # Where the columns do not fit, the longest name loses its end, and no number does.
    names = [column.key for column in columns if not (column.number or column.folds)]
    cut = max(names, key=lambda name: widths[name], default="")
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
    for column in columns:
        table.add_column(
            Text(column.heading),
            justify="right" if column.number else "left",
            max_width=max(widths[cut] - over, 1) if column.key == cut else None,
            no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
        )
    for row in rows:
        table.add_row(
            *(
                Text(column.shown(row), column.style(row.get(column.key)) if column.style else "")
                for column in columns
            )
        )
    return table
