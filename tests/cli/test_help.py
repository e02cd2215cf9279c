"""Every command's help: two examples that it takes, options in panels, nothing of programmers."""

import shlex
from typing import Any

import pytest
import typer

from grok_cli.cli.app import COMMANDS, app
from grok_cli.cli.help import EXAMPLES

ROOT = typer.main.get_command(app)


def command_of(name: str) -> Any:
    """A command, or one below another: "studies copy"."""
    command: Any = ROOT
    for word in name.split():
        command = command.commands[word]
    return command


def test_every_command_has_examples() -> None:
    below = {
        f"{group} {name}" for group in ("studies", "config") for name in command_of(group).commands
    }
    assert set(EXAMPLES) == {*COMMANDS, "studies", *below}


@pytest.mark.parametrize("name", EXAMPLES)
def test_help_has_two_examples_that_the_command_takes(name: str) -> None:
    command = command_of(name)
    assert len(EXAMPLES[name]) == 2
    for example in EXAMPLES[name]:
        assert example in command.epilog
        words = shlex.split(example.partition(" > ")[0])
        own = ["grok", *name.split()]
        assert words[: len(own)] == own
        command.make_context(name, words[len(own) :])  # raises where an option is unknown


@pytest.mark.parametrize("name", COMMANDS)
def test_switches_have_no_type_and_few_options_no_panel(name: str) -> None:
    command = ROOT.commands[name]  # type: ignore[attr-defined]
    context = command.make_context(name, [], resilient_parsing=True)
    options = command.get_params(context)
    flags = [o for o in options if getattr(o, "is_flag", False) and not o.hidden]
    assert all(flag.metavar == "" for flag in flags)
    loose = [o for o in options if getattr(o, "rich_help_panel", "") is None and not o.hidden]
    assert len([o for o in loose if o.opts[0].startswith("--")]) <= 6
