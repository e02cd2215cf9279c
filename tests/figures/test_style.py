"""Looks and names: one colour for a placement, no two groups alike, names that fit."""

from itertools import pairwise

import pytest

from grok_cli.core.placement import PLACEMENTS
from grok_cli.figures.names import LONGEST, legend_of
from grok_cli.figures.style import COLOURS, OF_PLACEMENT, RAMP, SETTINGS
from grok_cli.results import Group
from grok_cli.results.group import SEED, group_keys, make_groups
from grok_cli.results.run import Run

GROUNDS = ["#ffffff", SETTINGS["dark"]["figure.facecolor"]]


def groups(**settings: list[object]) -> list[Group]:
    """Groups of the settings (with __ for .) in parallel."""
    keys = [name.replace("__", ".") for name in settings]
    return [
        Group(dict(zip(keys, values, strict=True)))
        for values in zip(*settings.values(), strict=True)
    ]


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


def test_every_placement_has_a_colour_and_a_marker_of_its_own() -> None:
    assert OF_PLACEMENT.keys() == PLACEMENTS.keys()
    assert len(set(OF_PLACEMENT.values())) == len(PLACEMENTS)
    assert len({colour for colour, _ in OF_PLACEMENT.values()}) == len(PLACEMENTS)
    assert len({marker for _, marker in OF_PLACEMENT.values()}) == len(PLACEMENTS)


@pytest.mark.parametrize("ground", GROUNDS)
def test_every_colour_is_seen_on_light_and_on_dark_ground(ground: str) -> None:
    for colour in (*COLOURS, *RAMP):
        assert contrast(colour, ground) > 2.5, colour


def test_a_placement_keeps_its_colour_whatever_else_varies() -> None:
    alone = legend_of(groups(model__ln_type=["pre", "off"]))
    among = legend_of(groups(model__ln_type=list(PLACEMENTS)))
    both = legend_of(
        groups(model__ln_type=["off", "off", "pre", "pre"], opt__learning_rate=[1, 2, 1, 2])
    )
    assert {key.look.colour for key in alone.keys} == {OF_PLACEMENT[p][0] for p in ("pre", "off")}
    assert [key.look.colour for key in among.keys] == [OF_PLACEMENT[p][0] for p in PLACEMENTS]
    assert [key.look.colour for key in both.keys] == [
        OF_PLACEMENT[p][0] for p in ("off", "off", "pre", "pre")
    ]


@pytest.mark.parametrize(
    "varied",
    [
        {"model__ln_type": list(PLACEMENTS)},
        {"opt__weight_decay": [0.1, 0.2, 0.5, 0.75, 1, 1.5, 2]},
        {"data__task": list("abcdefghijklmnopqrstuvwxyz")},
        {"opt__learning_rate": [1, 1, 2, 2, 3, 3], "opt__weight_decay": [0, 1] * 3},
        {"model__ln_type": ["pre", "off"] * 5, "opt__weight_decay": [i // 2 for i in range(10)]},
    ],
)
def test_no_two_groups_look_alike(varied: dict[str, list[object]]) -> None:
    legend = legend_of(groups(**varied))
    assert len({key.look for key in legend.keys}) == len(legend.keys)


def test_numbers_in_order_have_colours_in_order() -> None:
    legend = legend_of(groups(opt__weight_decay=[1.5, 0.1, 0.5]))
    reds = {key.name: int(key.look.colour[1:3], 16) for key in legend.keys}
    assert reds["0.1"] < reds["0.5"] < reds["1.5"]


def test_groups_carry_the_papers_names() -> None:
    legend = legend_of(groups(model__ln_type=["pre", "off"]))
    assert [key.name for key in legend.keys] == ["pre (M+A*)", "off (No LN)"]
    assert legend.title == "norm placement"
    numbers = legend_of(groups(opt__weight_decay=[0.1, 1.0]))
    assert (numbers.title, [key.name for key in numbers.keys]) == ("weight decay", ["0.1", "1"])


def test_group_is_named_by_what_distinguishes_it_and_all_settings_are_kept() -> None:
    legend = legend_of(
        groups(
            opt__learning_rate=[1e-3, 3e-3, 1e-2],
            opt__weight_decay=[0.0, 1.0, 1.0],
            model__ln_type=["pre", "pre", "off"],
            data__modulus=[97, 97, 113],
            model__n_layers=[1, 2, 2],
            train__batch_size=[None, 512, 512],
        )
    )
    assert [key.name for key in legend.keys] == ["0.001", "0.003", "0.01"]
    assert legend.title == "learning rate"
    assert legend.keys[1].full.count(":") == 6
    grid = legend_of(groups(opt__learning_rate=[1, 1, 2, 2], opt__weight_decay=[0, 1, 0, 1]))
    assert [key.name for key in grid.keys] == [
        "lr 1, wd 0", "lr 1, wd 1", "lr 2, wd 0", "lr 2, wd 1",
    ]  # fmt: skip


def test_long_names_are_shortened_and_stay_apart() -> None:
    names = [
        key.name for key in legend_of([Group({}, text=f"{i} {'x' * 99} {i}") for i in (1, 2)]).keys
    ]
    assert all(len(name) <= LONGEST for name in names)
    assert all(one != other for one, other in pairwise(names))


def test_a_bias_at_its_default_goes_without_saying() -> None:
    varied = {
        "opt__weight_decay": [1.0, 1.0, 0.0, 1.0],
        "opt__optimizer": ["adamw", "muon", "muon", "adamw"],
        "train__loss": ["cross-entropy"] * 3 + ["mse"],
        "train__label_smoothing": [0.0, 0.0, 0.0, 0.0],
    }
    named = [key.name for key in legend_of(groups(**varied)).keys]
    assert named == ["wd 1", "wd 1, muon", "wd 0, muon", "wd 1, mse"]
    assert [group.label for group in groups(**varied)][1] == "weight decay 1, muon"
    both = groups(
        opt__optimizer=["adamw", "muon"] * 2, train__loss=["cross-entropy"] * 2 + ["mse"] * 2
    )
    assert [key.name for key in legend_of(both).keys] == ["defaults", "muon", "mse", "muon, mse"]
    assert both[0].label == "defaults"
    alone = legend_of(groups(opt__optimizer=["adamw", "muon"]))
    assert [key.name for key in alone.keys] == ["adamw", "muon"]


def test_of_two_halves_neither_goes_without_saying() -> None:
    runs = [
        Run(f"{rate} {decay}", {"opt.learning_rate": rate, "opt.weight_decay": decay})
        for rate in (1, 2)
        for decay in (0, 1)
    ]
    found = make_groups(runs, ["opt.learning_rate", "opt.weight_decay"])
    assert [dict(group.usual) for group in found] == [{}] * 4
    assert [group.label for group in found] == [
        f"learning rate {rate}, weight decay {decay}" for rate in (1, 2) for decay in (0, 1)
    ]


def test_what_most_groups_have_goes_without_saying_and_what_one_has_is_said() -> None:
    """One thing changed at a time: each group is called by that, wherever else it differs."""
    arms: list[dict[str, object]] = [
        {},
        {"opt.weight_decay": 0.0},
        {"opt.optimizer": "adam", "opt.weight_decay": 0.001},
    ]
    arms += [{"model.ln_type": "pre"}, {"model.ln_type": "pre", "model.norm": "dyt"}]
    base = {"model.ln_type": "off", "model.norm": "layernorm", "opt.optimizer": "adamw"}
    base |= {"opt.weight_decay": 1.0}
    runs = [
        Run(f"r{seed}{n}", base | arm | {SEED: seed})
        for n, arm in enumerate(arms)
        for seed in (1, 2)
    ]
    found = make_groups(runs, group_keys([run.settings for run in runs]))
    names = {key.name for key in legend_of(found).keys}
    assert names == {"off", "off, wd 0", "off, adam, wd 0.001", "pre", "pre, dyt"}
    assert {group.label for group in found} == {
        name.replace("wd", "weight decay") for name in names
    }
