"""Names in cells of a CSV file."""

import re
from typing import Any

# A spreadsheet computes a cell that begins so; "-1e-5" is a number.
FORMULA = re.compile(r"[=+@\t\r]|-(?![\d.]+(e[-+]?\d+)?$)")


def name_cell(value: Any) -> Any:
    """A name that somebody chose as it stands in a cell: what would be a formula is marked a text.

    Numbers and None stay what they are; other values become texts.
    """
    if isinstance(value, (int, float, type(None))):
        return value
    text = str(value)
    return f"'{text}" if FORMULA.match(text) else text


def cell_name(cell: Any) -> Any:
    """What `name_cell` made a cell of."""
    marked = isinstance(cell, str) and cell[:1] == "'" and FORMULA.match(cell[1:])
    return cell[1:] if marked else cell
