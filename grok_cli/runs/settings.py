"""Settings from files and flags: read, layered, checked, and written back.

Later layers win: defaults, then a YAML file, then flags. Whatever is wrong ends in one
`SettingsError` whose message names the key, what was expected and, for an unknown key, the
nearest valid one.
"""

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from grok_cli.core.config import KEYS, SECTIONS, Config, present_spelling
from grok_cli.core.fields import SettingsError as SettingsError  # for all who deal with settings
from grok_cli.core.fields import checked
from grok_cli.diagnostics.registry import DIAGNOSTICS

SWEEP_FIELDS = (  # at the top of a sweep file (sweeps/spec.py), as against one of settings
    *("question", "source", "base", "grid", "points", "seeds", "executor"),
    "parameters",  # of W&B's
)

# Of run directories and of the settings in them. 1: device, threads, engine, saving and diagnostics
# stood in the section train, and files of tensors had no checksum.
FORMAT = 2


class _Loader(yaml.SafeLoader):
    """YAML with the scalars of version 1.2, which are what one expects: 1e-3 is a number, 010 is
    ten, `off` and 2024-01-01 are texts."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 -- not those of YAML 1.1


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^({_pattern})$"), _first
    )
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))
_Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(node.value))


def parse_value(text: str) -> Any:
    """The value of a flag's text, read as YAML: 1e-3, true, null, [a, b].

    Raises:
        SettingsError: the text is empty.
    """
    if not text.strip():
        raise SettingsError("expected a value, found an empty text; `null` stands for none")
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError:
        return text


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        SettingsError: no such file, not YAML, or not a mapping.
    """
    try:
        content = yaml.load(path.read_text(), _Loader)
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise SettingsError(f"{path}{line}: not valid YAML") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: expected sections such as 'model:', found {content!r:.60}")
    return content


def flatten(settings: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Nested settings as {"section.key": value}; "section.key" at the top level is fine too.

    Raises:
        SettingsError: an unknown section or key.
    """
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if name == "format":
            if type(value) is not int or value > FORMAT:
                raise SettingsError(
                    f"{source}: format {value!r:.20}: this version reads up to {FORMAT}; expected "
                    "a file of this version or an earlier one"
                )
        elif name in SECTIONS:
            if not isinstance(value, Mapping):
                raise SettingsError(f"{source}: {name}: expected keys below it, found {value!r}")
            flat |= {f"{name}.{key}": v for key, v in value.items()}
        else:
            flat[str(name)] = value
    present: dict[str, Any] = {}
    for key, value in flat.items():
        name = check_key(key, source)
        if name in present:
            raise SettingsError(f"{source}: {name}: set twice, also by its earlier name")
        present[name] = value
    return present


def check_key(key: str, source: str) -> str:
    """The present spelling of "section.key".

    Raises:
        SettingsError: there is no such key; the message names the nearest.
    """
    key = present_spelling(key)
    if key not in KEYS:
        nearest = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.5) or [
            k for k in KEYS if k.split(".")[1] == key.split(".")[-1]
        ]
        hint = f"did you mean {nearest[0]}?" if nearest else "see `grok config schema` for all keys"
        raise SettingsError(f"{source}: unknown key {key}; {hint}")
    return key


def build_config(flat: Mapping[str, Any], source: str | Mapping[str, str] = "settings") -> Config:
    """A checked configuration from {"section.key": value}.

    Args:
        source: where the settings come from, for messages; or that of each key.

    Raises:
        SettingsError: a value of the wrong type or range, or an impossible combination.
    """
    present = {present_spelling(key): value for key, value in flat.items()}
    config = checked(Config, present, source)
    DIAGNOSTICS.check(config.measure.diagnostics)
    return config


def layered(
    file: Path | None, flags: Mapping[str, tuple[str, Any]], sets: Iterable[str]
) -> tuple[Config, dict[str, str]]:
    """The configuration from a file, flags and `--set` texts, and where each value comes from.

    Args:
        file: a YAML file, or None.
        flags: {"section.key": (flag as typed, value)}.
        sets: texts "section.key=value".

    Returns:
        The configuration, and {"section.key": origin} for every key.
    """
    values, origin = layer(file, flags, sets)
    return build_config(values, origin), dict.fromkeys(KEYS, "default") | origin


def layer(
    file: Path | None, flags: Mapping[str, tuple[str, Any]], sets: Iterable[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """What a file, flags and `--set` texts set: {"section.key": value}, {"section.key": origin}."""
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    if file is not None:
        values = flatten(_read_settings(file), str(file))
        origin = dict.fromkeys(values, str(file))
    for key, (flag, value) in flags.items():
        values[key], origin[key] = value, flag
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f"--set {text}: expected section.key=value")
        key = check_key(key, "--set")
        values[key], origin[key] = parse_value(value), "--set"
    return values, origin


def flat_settings(config: Config) -> dict[str, Any]:
    """The configuration as {"section.key": value}."""
    sections = config.model_dump(mode="json")
    return {f"{s}.{key}": value for s, values in sections.items() for key, value in values.items()}


def load_config(file: Path) -> Config:
    """The configuration that a YAML file states."""
    return build_config(flatten(_read_settings(file), str(file)), str(file))


def is_sweep(content: Mapping[str, Any]) -> bool:
    """Whether a file's content is meant as a sweep, and not as the settings of a run."""
    return any(name in content for name in SWEEP_FIELDS)


def _read_settings(file: Path) -> dict[str, Any]:
    content = read_yaml(file)
    if is_sweep(content):
        raise SettingsError(
            f"{file} is a sweep file: `grok sweep {shlex.quote(str(file))}` runs it; expected the "
            "settings of one run"
        )
    return content


def dump_config(config: Config) -> str:
    """The configuration as YAML that `load_config` reads back."""
    return yaml.safe_dump({"format": FORMAT, **config.model_dump(mode="json")}, sort_keys=False)
