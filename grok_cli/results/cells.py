"""Names in cells of a CSV file."""

from typing import Any

FORMULA_STARTS = ("=", "+", "@")  # a spreadsheet computes a cell that begins so


def name_cell(value: Any) -> Any:
    """A name that somebody chose as it stands in a cell: what would be a formula is marked a text.

    Numbers and None stay what they are; other values become texts.
    """
    if isinstance(value, (int, float, type(None))):
        return value
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
