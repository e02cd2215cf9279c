"""What commands print with."""

import io
import json
import math
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from grok_cli.cli.output import (
    Column,
    duration,
    escape,
    print_json,
    print_table,
    say,
    show,
    write_csv,
)

COLUMNS = [
    Column("run"),
    Column("status", drop=1),
    Column("loss", "test loss", number=True, drop=2),
]
ROWS = [
    {"run": "add-off-s456", "status": "finished", "loss": 0.012345},
    {"run": "add-pre-s456", "status": "running", "loss": None},
]


def on_terminal(width: int) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


def printed(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_piped_table_is_one_tab_separated_line_a_row() -> None:
    console = Console(file=io.StringIO(), width=20)
    print_table(COLUMNS, ROWS, title="runs", console=console)
    assert printed(console) == [
        "run\tstatus\ttest loss",
        "add-off-s456\tfinished\t0.01235",
        "add-pre-s456\trunning\t–",
    ]


def test_values_and_times_are_shown_as_people_read_them() -> None:
    values = (None, True, False, 0, 0.0, 123456.0, 0.000123456, "x")
    assert [show(value) for value in values] == [
        *("–", "yes", "no", "0", "0", "1.235e+05", "0.0001235", "x")
    ]
    times = [duration(seconds) for seconds in (0.4, 3661.6, 90_000, 1e9, math.inf)]
    assert times == ["0:00:00", "1:01:02", "1 day, 1:00:00", "?", "?"]


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (33, ["run", "status", "test", "loss"]),
        (32, ["run", "status"]),
        (22, ["run", "status"]),
        (21, ["run"]),
        (8, ["run"]),
    ],
)
def test_narrow_terminal_drops_columns_and_never_wraps(width: int, titles: list[str]) -> None:
    console = on_terminal(width)
    print_table(COLUMNS, ROWS, console=console)
    lines = printed(console)
    assert lines[0].split() == titles
    assert lines[1].startswith("add-off")
    assert lines[2].startswith("add-pre")
    assert all(cell_len(line) <= width for line in lines)
    hidden = [column.heading for column in COLUMNS if column.heading.split()[0] not in titles]
    said = " ".join(" ".join(lines[3:]).split())
    assert all(name in said for name in hidden)


def test_json_has_null_for_what_is_not_finite(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [float("inf"), 1.5], "b": float("nan")})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.5], "b": None}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("add-off-s456", "add-off-s456"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("two\nlines\tand a tab", r"two\nlines\tand a tab"),
        ("back\rward \u202egnp.exe", r"back\rward \u202egnp.exe"),
        ("not UTF-8: \udcff", r"not UTF-8: \udcff"),
        ("größe ∘ 大", "größe ∘ 大"),
    ],
)
def test_control_characters_are_shown_escaped(name: str, shown: str) -> None:
    assert escape(name) == shown
    for console in (Console(file=io.StringIO(), width=60), on_terminal(60)):
        print_table(COLUMNS, [{"run": name}], console=console)
        assert len(printed(console)) == 2
        assert printed(console)[1].startswith(shown)


def test_names_are_no_markup() -> None:
    console = on_terminal(60)
    print_table(COLUMNS, [{"run": "[red]x[/]"}], console=console)
    assert "[red]x[/]" in printed(console)[1]


def test_csv_cell_of_a_text_is_no_formula(tmp_path: Path) -> None:
    rows = [{"run": "=1+1", "loss": -0.5}, {"run": "@x"}, {"run": "-1", "status": "+"}]
    write_csv(tmp_path / "t.csv", rows, ["run", "status"])
    assert (tmp_path / "t.csv").read_text().splitlines() == [
        "run,status,loss",
        "'=1+1,,-0.5",
        "'@x,,",
        "-1,'+,",
    ]


def test_sentences_are_folded_where_a_terminal_is_narrow() -> None:
    console = on_terminal(40)
    question = "Which placement of the norm has the network generalise first?"
    columns = [Column("study"), Column("question", folds=True)]
    print_table(columns, [{"study": "ln-positions", "question": question}], console=console)
    lines = printed(console)
    assert len(lines) > 3
    assert " ".join(" ".join(lines[1:]).split()) == f"ln-positions {question}"


def test_numbers_stay_whole_where_a_name_has_no_room() -> None:
    console = on_terminal(20)
    columns = (Column("name"), Column("seconds", number=True))
    print_table(
        columns, [{"name": "a name of 25 characters..", "seconds": "1:23:45"}], console=console
    )
    assert printed(console)[1].split()[-1] == "1:23:45"


def test_notes_are_folded_between_words_where_a_terminal_is_narrow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    path = "/a/path/that-is-longer/than-a-line"
    note = f"skipped: {path}: it cannot be read"
    say(note)
    assert capsys.readouterr().err == note + "\n"  # a log keeps its lines
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    say(note)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["skipped:", f"{path}:", "it cannot be read"]
