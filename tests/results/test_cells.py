"""Names in cells: text stays text in a spreadsheet, numbers stay numbers."""

from typing import Any

import pytest

from grok_cli.results.cells import name_cell


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "@x", "-2+3", "-x", "\t=1", "\r=1", "-", "-1-1", "-1e"]
)
def test_what_a_spreadsheet_would_compute_is_marked(name: str) -> None:
    assert name_cell(name) == f"'{name}"


@pytest.mark.parametrize("value", [-1, 0.5, None, "off", "-1", "-0.5", "-1e-05", "a=b", "", "–"])
def test_numbers_and_other_names_stay(value: Any) -> None:
    assert name_cell(value) == value
