"""Every command's help: two examples that it takes, options in panels, nothing of programmers."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

import grok_cli
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


def told(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words begin with, and the words behind its name."""
    command = ROOT
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]  # type: ignore[attr-defined]
    return command, words


def test_commands_that_messages_tell_exist() -> None:
    """Every "`grok ...`" in the program's texts is a command, with options that it has."""
    found = 0
    for file in Path(grok_cli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            texts = [part.value if isinstance(part, ast.Constant) else "X" for part in parts]
            whole = "".join(text for text in texts if isinstance(text, str))
            for line in re.findall(r"`grok ([a-z][^`]*)`", whole):
                command, words = told(line.split())
                assert command is not ROOT, f"{file}: grok {line}"
                options = {name for option in command.params for name in option.opts}
                typed = {word.partition("=")[0] for word in words if word.startswith("-")}
                assert typed <= {*options, "--help"}, f"{file}: grok {line}"
                found += 1
    assert found > 100
