"""What a sweep says at its end."""

from grok_cli.cli.sweep_report import COLUMNS, _row
from grok_cli.results import Results, Run
from grok_cli.results.phases import group_phases


def test_the_closing_table_tells_the_median_of_all_runs_and_how_many_generalised() -> None:
    runs = [
        Run(f"s{seed}", {"train.seed": seed}, {"step": 100, "generalised_at": step})
        for seed, step in ((1, 20), (2, 30), (3, None))
    ]
    (group,) = group_phases(Results.of(runs))
    row = _row(group)
    assert str(row["median"]) == "30 (20..–)"
    assert row["generalised"] == "2 of 3"
    assert [column.key for column in COLUMNS if column.key in ("median", "mean")] == ["median"]
