"""The page of all settings, from their fields."""

from inspect import getdoc

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from grok_cli.core.config import SECTIONS
from grok_cli.core.fields import choices, fields_of, value_type
from grok_cli.executors.registry import EXECUTORS
from grok_cli.pages.markdown import escaped, page, table
from grok_cli.runs.settings import SHORT_NAMES
from grok_cli.runs.yaml_text import yaml_text

TITLE = "Every setting"
INTRODUCTION = """\
A setting is `section.key`: in a file (`grok train --config FILE.yaml`), on the command line (`--set
section.key=value`), or in Python (`grok.train({"section.key": value})`). The frequent ones have a
flag, and the same name in Python. The sections data, model, opt and train decide what a run is;
measure, run and wandb do not change its result.
"""
EXECUTION = """\
The section `executor` of a sweep file, and flags of `grok sweep`: `grok docs clusters`.
"""
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def every() -> str:
    """The page."""
    flags = {key: f"--{name.replace('_', '-')}" for name, key in SHORT_NAMES.items()}
    parts = [
        f"## {section}\n\n{getdoc(model)}\n\n{_table(model, f'{section}.', flags)}"
        for section, model in SECTIONS.items()
    ]
    parts.append(f"## executor\n\n{EXECUTION}")
    for kind in EXECUTORS:
        options = EXECUTORS[kind]
        known = {key: flag for flag, key in options.flags.items()}
        parts.append(f"### {kind}\n\n{_table(options, '', known)}")
    return page(TITLE, INTRODUCTION, *parts)


def _table(model: type[BaseModel], prefix: str, flags: dict[str, str]) -> str:
    rows = [
        [
            f"`{prefix}{key}`",
            f"`{flags[prefix + key]}`" if prefix + key in flags else "",
            _default(field),
            escaped(field.description or ""),
            _values(field),
        ]
        for key, field in fields_of(model).items()
        if key != "kind"
    ]
    return table(["setting", "flag", "default", "meaning", "values"], rows)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    value = list(value) if isinstance(value, tuple) else value
    return f"`{yaml_text(value, default_flow_style=True).splitlines()[0]}`"


def _values(field: FieldInfo) -> str:
    """The choices, or the type and its range."""
    if known := choices(field):
        return ", ".join(f"`{value}`" for value in known)
    kind = getattr(value_type(field), "__name__", "")
    limits = [
        f"{sign} {getattr(rule, name):,}"
        for rule in field.metadata
        for name, sign in BOUNDS.items()
        if getattr(rule, name, None) is not None
    ]
    return escaped(" ".join([{"str": "text", "tuple": "list"}.get(kind, kind), *limits]))
