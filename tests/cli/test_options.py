"""Flags that are made of a pydantic model's fields, and what the shell offers behind them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import BaseModel, Field, model_validator
from typer.testing import CliRunner

from grok_cli.cli import completion
from grok_cli.cli.app import app
from grok_cli.cli.options import (
    FLAGS,
    Flag,
    Typed,
    listed,
    take_flags,
    with_config_options,
    with_options,
)
from grok_cli.core.config import Config
from grok_cli.core.fields import SettingsError, checked, choices, fields_of
from grok_cli.runs.directory import create_run
from tests.conftest import small_config
from tests.written_runs import make_run


class Oven(BaseModel):
    """A model that is no configuration and no executor."""

    heat: int = Field(180, ge=50, description="Degrees.")
    label: str | None = Field(None, description="What the note says.")
    mode: Literal["fan", "grill"] = Field("fan", description="Where heat comes from.")
    light: bool = Field(False, description="Light inside.")
    extras: dict[str, str | bool] = Field({}, description="Whatever else.")

    @model_validator(mode="after")
    def _possible(self) -> "Oven":
        if self.mode == "grill" and self.heat > 300:
            raise ValueError(f"heat: {self.heat} is too hot for a grill")
        return self


FIELDS = fields_of(Oven)
OVEN_FLAGS = [Flag(f"--{name}", name, field, "Oven") for name, field in FIELDS.items()]


def bake(*arguments: str) -> tuple[dict[str, tuple[str, Any]], str]:
    """What a command with the oven's flags gets, and its help."""
    got: list[dict[str, tuple[str, Any]]] = []
    kitchen = typer.Typer()

    @kitchen.command()
    @with_options(
        "typed",
        [flag.signature() for flag in OVEN_FLAGS],
        lambda arguments: take_flags(OVEN_FLAGS, arguments),
    )
    def command(*, typed: dict[str, tuple[str, Any]]) -> None:
        got.append(typed)

    result = CliRunner().invoke(kitchen, list(arguments), env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return (got or [{}])[0], result.output


def test_what_is_typed_keeps_its_flag_and_has_the_fields_type() -> None:
    typed, _ = bake(
        "--heat", "200", "--label", "007", "--light", "--extras", "a=1", "--extras", "b"
    )
    assert typed == {
        "heat": ("--heat", 200),
        "label": ("--label", "007"),
        "light": ("--light", True),
        "extras": ("--extras", {"a": "1", "b": True}),
    }
    assert bake()[0] == {}


def test_help_is_the_fields_description_default_and_choices() -> None:
    _, shown = bake("--help")
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    for expected in (
        "--heat N Degrees. [default: 180]",
        "--label VALUE What the note says.",
        "--mode fan|grill Where heat comes from. [default: fan]",
        "--light Light inside.",
        "--extras KEY=VALUE Whatever else.",
    ):
        assert any(expected in line for line in lines), expected
    assert any("Oven" in line and "─" in line for line in lines), "the panel has its name"


@pytest.mark.parametrize(
    ("values", "origin", "message"),
    [
        (
            {"heat": 10},
            {"heat": "--heat"},
            "--heat: expected greater than or equal to 50, found",
        ),
        ({"heat": 10}, {"heat": "--hot"}, "--hot: heat: expected greater than or equal to 50"),
        ({"heat": "x"}, "f.yaml", "f.yaml: heat: expected a valid integer"),
        ({"mode": "gril"}, "f.yaml", "found 'gril'; did you mean grill?"),
        ({"heat": True}, "f.yaml", "f.yaml: heat: expected a value, not a boolean"),
        (
            {"heat": 400, "mode": "grill"},
            {"heat": "--heat", "mode": "f.yaml"},
            "--heat: heat: 400 is too hot for a grill",
        ),
    ],
)
def test_mistake_says_where_it_was_typed(values: Any, origin: Any, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        checked(Oven, values, origin)
    assert message in str(caught.value)


def test_every_flag_of_a_run_sets_a_key_of_the_configuration() -> None:
    assert set(FLAGS.values()) <= set(fields_of(Config))
    assert set(choices(fields_of(Config)["wandb.mode"])) == {"off", "offline", "online"}


def test_measures_may_be_repeated_and_may_stand_between_commas() -> None:
    kitchen = typer.Typer()
    got: list[Typed] = []

    @kitchen.command()
    @with_config_options()
    def command(*, typed: Typed, own: Annotated[int, typer.Option()] = 1) -> None:
        got.append(typed)

    result = CliRunner().invoke(kitchen, ["--measure", "rank:200,fourier:5", "-m", "heads:9"])
    assert result.exit_code == 0, result.output
    assert got[0].flags["measure.diagnostics"] == (
        "--measure",
        {"rank": 200, "fourier": 5, "heads": 9},
    )


def test_lists_have_each_member_once_in_the_order_typed() -> None:
    assert listed(["b, a", "c", "a,,"]) == ["b", "a", "c"]
    assert listed(None) == []


def test_no_switch_shows_a_type_in_any_help() -> None:
    runner = CliRunner()
    commands = [[], ["studies"], ["config"], ["studies", "copy"], ["config", "show"]]
    commands += [[info.name or ""] for info in app.registered_commands]
    for command in commands:
        shown = runner.invoke(app, [*command, "--help"])
        assert shown.exit_code == 0
        assert "<bool>" not in shown.output, command


Complete = Callable[[str], list[str]]


@pytest.mark.parametrize(
    ("complete", "typed", "offered"),
    [
        (completion.settings_keys, "opt.wa", ["opt.warmup_steps"]),
        (completion.assignments, "opt.warm", ["opt.warmup_steps="]),
        (completion.assignments, "model.unembed=t", ["model.unembed=tied"]),
        (completion.assignments, "model.norm=rmsnorm,l", ["model.norm=rmsnorm,layernorm"]),
        (completion.assignments, "nothing=", []),
        (completion.placements, "pre,po", ["pre,post"]),
        (completion.diagnostics, "rank,four", ["rank,fourier"]),
        (completion.scheduled_diagnostics, "four", ["fourier:"]),
        (completion.executors, "s", ["slurm"]),
        (completion.studies, "ln-", ["ln-positions"]),
    ],
)
def test_completion(
    complete: Complete, typed: str, offered: list[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert complete(typed) == offered


def test_paths_are_completed_to_runs_and_files(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    create_run(tmp_path / "runs" / "sweep" / "one", small_config())
    (tmp_path / "runs" / ".slurm").mkdir()
    (tmp_path / "ln.yaml").touch()
    (tmp_path / "ln.txt").touch()
    assert completion.run_directories("r") == ["runs/"]
    assert completion.run_directories("runs/") == ["runs/sweep/"]
    assert completion.run_directories("runs/sweep/o") == ["runs/sweep/one"]
    assert completion.run_directories("nowhere/") == []
    assert completion.yaml_files("l") == ["ln.yaml"]
    (tmp_path / "loss.csv").touch()
    assert completion.run_directories_and_csv("l") == ["loss.csv"]
    assert completion.studies("l") == ["learning-rate", "ln-positions", "ln.yaml"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("grok train --ln-type attn", {"attn-pre-qk", "attn-pre-v", "attn-pre"}),
        ("grok sweep --executor l", {"local"}),
        ("grok train --set opt.learning", {"opt.learning_rate="}),
        ("grok train -m four", {"fourier:"}),
    ],
)
def test_shell_is_offered_names(line: str, offered: set[str]) -> None:
    words = line.split()
    environment = {
        "_GROK_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "PATH": os.environ["PATH"],
    }
    result = CliRunner().invoke(app, prog_name="grok", env=environment)
    assert set(result.output.split()) == offered


def test_metrics_of_the_typed_directory_are_completed(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", {"step": [1.0], "test/loss": [0.5], "test/accuracy": [0.1]})
    command = typer.main.get_command(app).commands["export-csv"]  # type: ignore[attr-defined]
    context = typer.Context(command)
    context.params["source"] = str(tmp_path / "runs")
    assert completion.metrics(context, "test/l") == ["test/loss"]
    assert completion.metrics(context, "test/loss,test/a") == ["test/loss,test/accuracy"]
    context.params["source"] = str(tmp_path / "nowhere")
    assert completion.metrics(context, "t") == []
