"""What commands print: tables, JSON, and text in which control characters are shown escaped.

Results go to stdout. A table on a terminal loses columns where it is too narrow, so that each row
stays one line; elsewhere its rows are lines of tab-separated cells below one line of titles.
"""

import csv as csv_format
import io
import json as json_format
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grok_cli.runs.files import without_nan, write_output

GAP = 2  # columns of space between two columns
FOLDED = 24  # columns that a sentence needs at least
ABSENT = "–"
FORMULA_STARTS = ("=", "+", "@")  # a spreadsheet computes a cell that begins so


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        key: of the value in a row, and the column's name in JSON and CSV.
        title: above the column on a terminal or in a pipe; the key if empty.
        number: whether values stand on the right.
        drop: on a narrow terminal the column of the highest number goes first; those of 0 stay.
        text: how a value is shown; see `show`.
        style: of a value on a terminal, in Rich's words; "" for none.
        is_name: whether values are names that somebody chose: in a CSV, one that a spreadsheet
            would compute gets an apostrophe.
        folds: whether values are sentences, which on a terminal may take several lines.
    """

    key: str
    title: str = ""
    number: bool = False
    drop: int = 0
    text: Callable[[Any], str] | None = None
    style: Callable[[Any], str] | None = None
    is_name: bool = False
    folds: bool = False

    def shown(self, row: Mapping[str, Any]) -> str:
        """The value in a row as text, on one line."""
        return escape((self.text or show)(row.get(self.key)))

    @property
    def heading(self) -> str:
        return escape(self.title or self.key)


def print_table(
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Any]],
    *,
    json: bool = False,
    csv: Path | None = None,
    title: str = "",
    console: Console | None = None,
) -> None:
    """Print rows as a table, or as JSON: a list of objects with the columns' keys.

    Args:
        csv: a file that gets the values as well.
        title: a line above the table on a terminal.
        console: where the table goes to; stdout by default.

    Raises:
        GrokError: the CSV file cannot be written.
    """
    if csv is not None:
        write_csv(csv, columns, rows)
    if json:
        print_json([{column.key: row.get(column.key) for column in columns} for row in rows])
        return
    console = console or Console(highlight=False)
    if console.is_terminal:
        if title:
            console.print(Text(escape(title), style="bold"))
        fitting, hidden = _fitting(columns, rows, console.width)
        console.print(_table(fitting, rows), crop=True)
        if hidden:
            names = ", ".join(column.heading for column in hidden)
            console.print(Text(f"not shown in this width: {names}", style="dim"))
        return
    for line in ([c.heading for c in columns], *([c.shown(row) for c in columns] for row in rows)):
        console.file.write("\t".join(line) + "\n")


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout; a number that is not finite becomes null."""
    typer.echo(json_format.dumps(without_nan(value), indent=2, allow_nan=False))


def write_csv(file: Path, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows to a CSV file with the columns' keys as its first line.

    Raises:
        GrokError: the file cannot be written.
    """
    stream = io.StringIO(newline="")
    writer = csv_format.writer(stream)
    writer.writerow([column.key for column in columns])
    for row in rows:
        writer.writerow([_csv_cell(column, row.get(column.key)) for column in columns])
    write_output(file, stream.getvalue())


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


def _csv_cell(column: Column, value: Any) -> Any:
    if column.is_name and str(value).startswith(FORMULA_STARTS):
        return f"'{value}"
    return "" if value is None else value


def _fitting(
    columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], width: int
) -> tuple[list[Column], list[Column]]:
    """The columns that the width has room for, and the others."""
    widths = {
        column.key: FOLDED if column.folds else max(map(cell_len, _texts(column, rows)))
        for column in columns
    }
    fitting, hidden = list(columns), []
    while sum(widths[c.key] for c in fitting) + GAP * (len(fitting) - 1) > width:
        last = max(fitting, key=lambda column: column.drop)
        if last.drop == 0:
            break
        fitting.remove(last)
        hidden.append(last)
    return fitting, hidden


def _texts(column: Column, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [column.heading, *(column.shown(row) for row in rows)]


def _table(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, GAP, 0, 0))
    for column in columns:
        table.add_column(
            Text(column.heading),
            justify="right" if column.number else "left",
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
