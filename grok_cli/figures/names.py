"""What groups are called in figures: by what distinguishes them, and no longer than that takes."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from grok_cli.core.placement import PLACEMENTS
from grok_cli.figures.chart import Key, Legend
from grok_cli.figures.style import looks
from grok_cli.results.group import DEFAULTS, PLACEMENT, SPEAKING, Group, last_part, shown, to_say

SHORT = {
    "opt.learning_rate": "lr",
    "opt.weight_decay": "wd",
    "train.batch_size": "batch",
    "data.modulus": "p",
    "data.test_ratio": "test part",
    "model.n_layers": "layers",
    "model.n_heads": "heads",
    "model.d_model": "width",
}
LONGEST = 60  # letters of a name


def legend_of(groups: Sequence[Group]) -> Legend:
    """Names and looks of groups, in that order."""
    keys = distinguishing(groups)
    values = [[group.settings.get(key) for key in keys] or [group.text] for group in groups]
    chosen = looks(
        [value[0] for value in values],
        [value[1:] for value in values],
        bool(keys) and keys[0] == PLACEMENT,
    )
    names = [name_of(group, keys) for group in groups]
    return Legend(
        key_title(keys[0]) if _alone(keys) else "",
        tuple(
            Key(name, look, group.name)
            for name, look, group in zip(names, chosen, groups, strict=True)
        ),
    )


def distinguishing(groups: Sequence[Group]) -> tuple[str, ...]:
    """The fewest settings by which the groups differ all from each other, the placement first.

    All those that have a usual value are among them: what is rare says what was done to a group.
    """
    keys = list(dict.fromkeys(key for group in groups for key in group.settings))
    keys.sort(key=lambda key: key != PLACEMENT)
    varying = [key for key in keys if len(_values(groups, [key])) > 1]
    telling = [key for key in varying if any(key in group.usual for group in groups)]
    others = [key for key in varying if key not in telling]
    for count in range(len(others) + 1):
        for more in combinations(others, count):
            chosen = [key for key in varying if key in telling or key in more]
            if chosen and len(_values(groups, chosen)) == len(groups):
                return tuple(chosen)
    return tuple(varying or keys[:1])


def _values(groups: Sequence[Group], keys: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(repr(group.settings.get(key)) for key in keys) for group in groups}


def name_of(group: Group, keys: Sequence[str]) -> str:
    """A group's values of settings, in words: "pre, lr 0.003"."""
    if not keys or not group.settings:
        return shortened(group.text or group.label)
    if _alone(keys):
        return shortened(_value(keys[0], group.settings.get(keys[0]), alone=True))
    values = {key: group.settings.get(key) for key in keys}
    said = [_with_key(key, value) for key, value in to_say(values, group.usual).items()]
    usual = "no branch" if any(key.startswith("branch.") for key in keys) else DEFAULTS
    return shortened(", ".join(said) or usual)


def _alone(keys: Sequence[str]) -> bool:
    """Whether a title names the setting, and the groups are called by its values: not "at 100"."""
    return len(keys) == 1 and not keys[0].startswith("branch.")


def key_title(key: str) -> str:
    """What a setting is called beside its values."""
    return "norm placement" if key == PLACEMENT else last_part(key)


def shortened(name: str, longest: int = LONGEST) -> str:
    """A name without its middle, if it is too long."""
    if len(name) <= longest:
        return name
    return f"{name[: longest // 2]}…{name[len(name) - (longest - longest // 2 - 1) :]}"


def _with_key(key: str, value: Any) -> str:
    """A value that says by itself which setting it is of, or with the setting's name."""
    text = _value(key, value)
    return text if key in SPEAKING else f"{SHORT.get(key, last_part(key))} {text}"


def _value(key: str, value: Any, alone: bool = False) -> str:
    if alone and key == PLACEMENT and value in PLACEMENTS:
        return f"{value} ({PLACEMENTS[value].paper})"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else shown(value)
