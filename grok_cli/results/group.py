"""Groups of runs that differ in their seeds only: what names them, and their means by step."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from grok_cli.core.config import KNOWN, LATER, affects_result
from grok_cli.results.run import SEED, STEP, Run

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    Array = NDArray[Any]

# Settings that do not name a group: seeds, and which run of that seed a branch left.
SEEDS = (SEED, "data.split_seed", "branch.parent", "branch.donor")
PLACEMENT = "model.ln_type"
# Settings whose value says by itself what it is of.
SPEAKING = (
    *(PLACEMENT, "data.task", "model.norm", "model.init", "model.activation"),
    *("opt.optimizer", "opt.gradient_filter", "train.loss"),
)
DEFAULTS = "defaults"  # a group of whose settings none needs saying
Settings = Mapping[str, Any]  # {"section.key": value}


@dataclass(frozen=True, eq=False)
class Group:
    """Runs whose mean is taken.

    Attributes:
        settings: those that name the group, with the value that all its runs share.
        runs: ordered by seed; () if they come from a file that holds nothing but their mean.
        means: for such a file, from each metric the table that `mean` returns.
        text: what a file calls the group; "" for runs read from elsewhere.
        usual: values of settings that need no saying, since most of the groups beside it have them.
    """

    settings: Settings
    runs: tuple[Run, ...] = ()
    means: "Mapping[str, pl.DataFrame]" = field(default_factory=dict, repr=False)
    text: str = ""
    usual: Settings = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What distinguishes the group, to be read by people: "pre, weight decay 0.5"."""
        return in_words(self.settings, self.usual) if self.settings else self.text

    @property
    def name(self) -> str:
        """What the W&B console calls the group: "model.ln_type: pre, opt.weight_decay: 0.5"."""
        return self.text or ", ".join(f"{k}: {shown(v)}" for k, v in self.settings.items())

    def metrics(self) -> list[str]:
        """The names of what any of the runs measured."""
        return list(dict.fromkeys([*self.means, *(n for run in self.runs for n in run.metrics())]))

    def aligned(self, metric: str) -> "pl.DataFrame":
        """A metric of every run, side by side.

        Returns:
            Columns "step" (Int64) and "0", "1", ... (Float64), one for each of `runs` in order,
            empty where a run has no value. A row for each step at which any run has one.
        """
        import polars as pl

        series = [run.series(metric) for run in self.runs]
        if not series:
            return pl.DataFrame(schema={STEP: pl.Int64})
        return side_by_side(
            [table.rename({metric: str(number)}) for number, table in enumerate(series)]
        )

    def values(self, metric: str) -> "tuple[Array, Array]":
        """`aligned` as arrays, which is faster.

        Returns:
            (n,) the steps, in order, at which any run has a value, and (runs, n) the values, nan
            where a run has none.
        """
        import numpy as np

        found = [run.arrays(metric) for run in self.runs]
        first = found[0][0] if found else np.array([], np.int64)
        if all(steps is first or np.array_equal(steps, first) for steps, _ in found):
            return first, np.array([values for _, values in found]).reshape(len(found), len(first))
        every = np.unique(np.concatenate([steps for steps, _ in found]))
        values = np.full((len(found), len(every)), np.nan)
        for row, (steps, measured) in zip(values, found, strict=True):
            row[np.searchsorted(every, steps)] = measured
        return every, values

    def mean(self, metric: str) -> "pl.DataFrame":
        """Mean, lowest and highest value of a metric over the runs that have one, by step.

        Returns:
            Columns "step" (Int64), "mean", "min", "max" and "std" (Float64: the sample standard
            deviation, empty for a single run), "runs" (UInt32: how many have a value there; empty
            where that is not known). A row for each step at which any run has a value.
        """
        import polars as pl

        if metric in self.means:
            return self.means[metric]
        table = self.aligned(metric)
        columns = table.columns[1:]
        if not columns:
            numbers = dict.fromkeys(("mean", "min", "max", "std"), pl.Float64)
            return pl.DataFrame(schema={STEP: pl.Int64, **numbers, "runs": pl.UInt32})
        found = statistics(columns)
        return table.select(STEP, *(expression.alias(name) for name, expression in found.items()))


def statistics(columns: Sequence[str]) -> "dict[str, pl.Expr]":
    """Mean, lowest, highest, sample standard deviation and number of the values in each row.

    Across columns, so that the order of summation, and with it the last digit, is fixed.
    """
    import polars as pl

    return {
        "mean": pl.mean_horizontal(columns),
        "min": pl.min_horizontal(columns),
        "max": pl.max_horizontal(columns),
        "std": pl.concat_list(columns).list.drop_nulls().list.std(),
        "runs": pl.sum_horizontal(pl.col(columns).is_not_null()).cast(pl.UInt32),
    }


def side_by_side(tables: "Sequence[pl.DataFrame]") -> "pl.DataFrame":
    """Tables of different columns by step, each in order of its steps, as one."""
    import polars as pl

    first = tables[0]
    if all(table[STEP].equals(first[STEP]) for table in tables[1:]):
        return pl.concat([first, *(table.drop(STEP) for table in tables[1:])], how="horizontal")
    return pl.concat(tables, how="align_full")


def make_groups(runs: Iterable[Run], keys: Sequence[str]) -> tuple[Group, ...]:
    """The groups of runs with equal values of `keys`; numbers sorted by size, seeds in order."""
    ordered = sorted(runs, key=lambda run: (*order(run.settings, [*keys, SEED]), run.name))
    members: dict[tuple[tuple[bool, str], ...], list[Run]] = {}
    for run in ordered:
        members.setdefault(tuple(map(_same, map(run.settings.get, keys))), []).append(run)
    named = [{key: found[0].settings.get(key) for key in keys} for found in members.values()]
    usual = usual_values(named)
    return tuple(
        Group(settings, tuple(found), usual=usual)
        for settings, found in zip(named, members.values(), strict=True)
    )


def _same(value: Any) -> tuple[bool, str]:
    """Equal for values that are the same setting: 1 and 1.0 are, 1 and "1" are not."""
    return isinstance(value, str), shown(value)


def order(settings: Settings, keys: Sequence[str]) -> list[Any]:
    """Sorts by the values of settings: numbers by size, then texts."""
    return [
        (0, value, "") if isinstance(value, (int, float)) else (1, 0, shown(value))
        for value in map(settings.get, keys)
    ]


def varying_keys(settings: Sequence[Settings]) -> list[str]:
    """The settings that affect the result and differ between the runs.

    Keys that this program does not know (of runs read from elsewhere) count as affecting it; a
    key that a run lacks is None there.
    """
    keys = dict.fromkeys(key for run in settings for key in run)
    return [
        key
        for key in keys
        if affects_result(key) and any(run.get(key) != settings[0].get(key) for run in settings)
    ]


def repeated(runs: Iterable[Run]) -> list[tuple[Run, ...]]:
    """Runs of one seed that agree in every setting that affects the result: of what is the same run
    twice, each is a tuple. Runs without a seed are taken for different ones."""
    members: dict[tuple[tuple[str, str], ...], list[Run]] = {}
    for run in runs:
        if run.seed is not None:
            settings = {k: shown(v) for k, v in run.settings.items() if affects_result(k)}
            members.setdefault(tuple(sorted(settings.items())), []).append(run)
    return [tuple(found) for found in members.values() if len(found) > 1]


def group_keys(settings: Sequence[Settings]) -> list[str]:
    """The settings that name a group: those that vary, seeds left out; else the placement."""
    return [key for key in varying_keys(settings) if key not in SEEDS] or [PLACEMENT]


def shown(value: Any) -> str:
    """A setting's value as the W&B console shows it: 1.0 is "1", None is "null"; of settings (those
    that a branch changed) the values, in words."""
    if isinstance(value, Mapping):
        return ", ".join(
            shown(one) if key in SPEAKING else f"{last_part(key)} {shown(one)}"
            for key, one in value.items()
        )
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
        return str(int(value))
    return json.dumps(value)


def usual_values(groups: Sequence[Settings]) -> dict[str, Any]:
    """The values that more than half of the groups have, of all settings but the placement."""
    counts = Counter((key, _same(value)) for group in groups for key, value in group.items())
    return {
        key: value
        for group in groups
        for key, value in group.items()
        if key != PLACEMENT and 2 * counts[key, _same(value)] > len(groups)
    }


def in_words(settings: Settings, usual: Settings) -> str:
    """The values that need saying, with their setting's name where they do not speak for it."""
    alone = len(settings) == 1
    return (
        ", ".join(
            shown(value) if alone or key in SPEAKING else f"{last_part(key)} {shown(value)}"
            for key, value in (settings if alone else to_say(settings, usual)).items()
        )
        or DEFAULTS
    )


def to_say(settings: Settings, usual: Settings) -> Settings:
    """The settings that name a group: without those whose value is usual, if any are left.

    What a run that is no branch has of a branch's, and a bias at its default, are left out, too.
    """
    named = {key: value for key, value in settings.items() if not _is_void(key, value)}
    rare = {key: value for key, value in named.items() if not _is_usual(key, value, usual)}
    return rare or named


def _is_usual(key: str, value: Any, usual: Settings) -> bool:
    return key in usual and _same(value) == _same(usual[key])


def _is_void(key: str, value: Any) -> bool:
    return (value is None and key.startswith("branch.")) or (
        key in LATER and value == KNOWN[key].default
    )


def last_part(key: str) -> str:
    """A setting's name without its section, in words: "weight decay"."""
    return key.rpartition(".")[2].replace("_", " ")
