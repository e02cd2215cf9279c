"""What groups and metrics are called in figures."""

import re
from dataclasses import dataclass

from grok_cli.core.placement import PLACEMENTS

PLACEMENT = "model.ln_type"


@dataclass(frozen=True)
class GroupNames:
    """Names of groups for a legend.

    Attributes:
        title: what all names have in common, e.g. "weight decay"; may be empty.
        names: by the group's label, e.g. {"model.ln_type: pre": "pre (M+A*)"}.
        numbers: whether the names are numbers in order, so that colours may be.
    """

    title: str
    names: dict[str, str]
    numbers: bool

    @property
    def placement(self) -> bool:
        """Whether the groups are placements of the norms."""
        return self.title == _title(PLACEMENT)


def name_groups(labels: list[str]) -> GroupNames:
    """Short names for labels such as "opt.weight_decay: 0.5, model.ln_type: pre"."""
    settings = {label: parse_label(label) for label in labels}
    keys = list(dict.fromkeys(key for values in settings.values() for key in values))
    firsts = [next(iter(values.values()), "") for values in settings.values()]
    numbers = len(labels) > 1 and all(map(_is_number, firsts))
    if len(keys) == 1:
        names = {label: _value(keys[0], settings[label][keys[0]]) for label in labels}
        return GroupNames(_title(keys[0]), names, numbers)
    names = {
        label: ", ".join(_with_key(key, value) for key, value in values.items()) or label
        for label, values in settings.items()
    }
    return GroupNames("", names, numbers)


def parse_label(label: str) -> dict[str, str]:
    """The settings in a group's label; {} if it is not of the form "key: value, key: value"."""
    parts = re.split(r", (?=[a-z]+\.[a-z_0-9]+: )", label)
    pairs = [part.partition(": ") for part in parts]
    return {key: value for key, colon, value in pairs if colon}


def placement_order(label: str) -> int:
    """Sorts groups as the table of placements does; groups of no placement stay where they are."""
    placement = parse_label(label).get(PLACEMENT)
    return list(PLACEMENTS).index(placement) if placement in PLACEMENTS else len(PLACEMENTS)


def _title(key: str) -> str:
    return "norm placement" if key == PLACEMENT else key.rpartition(".")[2].replace("_", " ")


def _value(key: str, value: str) -> str:
    if key == PLACEMENT and value in PLACEMENTS:
        return f"{value} ({PLACEMENTS[value].paper})"
    return f"{float(value):.4g}" if _is_number(value) else value


def _with_key(key: str, value: str) -> str:
    """A value that says by itself which setting it is of, or with the setting's name."""
    speaks = key == PLACEMENT or key.endswith((".task", ".norm", ".init", ".activation"))
    return _value(key, value) if speaks else f"{_title(key)} {_value(key, value)}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
