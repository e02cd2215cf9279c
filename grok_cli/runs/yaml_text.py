"""YAML: what people write is read quickly and to an end whatever it holds; what is written is read
back as it was.

Scalars are those of YAML 1.2, which are what one expects: 1e-3 is a number, 010 is ten, `off` and
2024-01-01 are texts. The C parser is used where PyYAML has it (it is ten times faster).
"""

import re
from typing import Any

import yaml

MOST_CHARACTERS = 1_000_000
MOST_DIGITS = 40  # of a whole number
MOST_MERGED = 1_000  # keys of a mapping after its merges (`<<`)
MOST_VALUES = 100_000  # with every alias written out
MOST_LEVELS = 50

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class YamlError(ValueError):
    """What is wrong with a text, and in which line if that is known."""


class _Loader(_Base):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 -- not those of YAML 1.1

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """No key twice, of which the first would be lost in silence; and merges that double at
        every level must not go on for ever."""
        if "is_flat" not in vars(node):  # what was merged may be set anew
            _refuse_doubles(node)
            vars(node)["is_flat"] = True
        super().flatten_mapping(node)
        if len(node.value) > MOST_MERGED:
            raise YamlError(f"more than {MOST_MERGED:,} keys in a mapping")


class _Dumper(yaml.SafeDumper):
    """Quotes a text that either version of YAML takes for something else: 1e5, 08, on."""


def _refuse_doubles(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                line = key.start_mark.line + 1
                raise YamlError(f"{key.value[:60]} stands twice in one mapping, line {line}")
            seen.add(key.value)


def _whole_number(loader: Any, node: yaml.ScalarNode) -> int:
    if len(node.value) > MOST_DIGITS:
        raise YamlError(f"a number of {len(node.value)} digits; expected at most {MOST_DIGITS}")
    return int(node.value)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    for _of in (_Loader, _Dumper):
        _of.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(f"^({_pattern})$"), _first
        )
_Loader.add_constructor("tag:yaml.org,2002:int", _whole_number)
_Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(node.value))


def yaml_text(value: Any, **options: Any) -> str:
    """The YAML text that `parse_yaml` takes for a value.

    Args:
        options: those of `yaml.dump`.
    """
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, **options))


def parse_yaml(text: str) -> Any:
    """The value that a YAML text stands for: numbers, texts, lists, mappings, true, false, null.

    Raises:
        YamlError: it is none, or too large, too deep or endless when its aliases are written out.
    """
    if len(text) > MOST_CHARACTERS:
        raise YamlError(f"more than {MOST_CHARACTERS:,} characters")
    try:
        value = yaml.load(text, _Loader)
        _count(value, {}, 0)
    except YamlError:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise YamlError(f"not valid YAML{f', line {mark.line + 1}' if mark else ''}") from None
    except RecursionError:
        raise YamlError(f"nested more than {MOST_LEVELS} levels deep") from None
    except (ValueError, TypeError, KeyError, AttributeError):  # a tag (`!!int x`) on another value
        raise YamlError("not valid YAML: a tag and its value do not fit") from None
    return value


def _count(value: Any, known: dict[int, int], level: int) -> int:
    """The number of values in a value, each as often as it is met.

    Args:
        known: the counts found so far, by identity; 0 while a value is being counted.
    """
    if not isinstance(value, dict | list | set | tuple):
        return 1
    if id(value) not in known:
        if level >= MOST_LEVELS:
            raise YamlError(f"nested more than {MOST_LEVELS} levels deep")
        known[id(value)] = 0
        parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count(part, known, level + 1) for part in parts)
    elif known[id(value)] == 0:
        raise YamlError("a value that contains itself")
    if known[id(value)] > MOST_VALUES:
        raise YamlError(f"more than {MOST_VALUES:,} values with its aliases written out")
    return known[id(value)]
