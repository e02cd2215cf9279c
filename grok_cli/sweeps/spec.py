"""What a sweep consists of, and how it is read from a YAML file: ours, or W&B's (wandb_spec.py).

    question: Which placement groks first?     # optional; for the reader
    source: arXiv 2602.06702                   # optional; where the experiment is from
    base: {data.modulus: 97}                   # settings of every run
    from: {run: runs/base, at: [100, memorised]}  # optional: the runs are branches (`Origin`)
    grid: {model.ln_type: [off, pre]}          # all combinations of these
    points: [{model.ln_type: peri}]            # and these runs, one by one
    seeds: 5                                   # how many, or a list of seeds
    executor: {kind: slurm, partition: cpu}    # optional; where runs are trained (executors/)

Settings are nested sections or "section.key".
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from grok_cli.core.config import SECTIONS, affects_result
from grok_cli.errors import did_you_mean, suggestion
from grok_cli.runs.settings import (
    SWEEP_FIELDS,
    SettingsError,
    check_key,
    flatten,
    is_sweep,
    read_yaml,
    value_of,
)
from grok_cli.sweeps.seeds import seeds_of_file
from grok_cli.sweeps.wandb_spec import is_wandb, translate

STUDIES = Path(__file__).parents[1] / "studies"  # sweep files that come with the program
FIELDS = tuple(name for name in SWEEP_FIELDS if name != "parameters")  # that one is W&B's
PAPER_PLACEMENTS = ("off", "attn-pre", "pre", "mlp-pre", "attn-pre-qk", "attn-pre-v")


@dataclass(frozen=True)
class Origin:
    """Which runs the runs of a sweep leave, and where: each run at each step, for each point.

    Attributes:
        at: steps and phases, as `branch.at`.
        runs: paths, names or digests of runs, or directories of runs.
        parents: in place of them: the runs by their settings, which the sweep trains first.
    """

    at: tuple[Any, ...]
    runs: tuple[str, ...] = ()
    parents: "Spec | None" = None


@dataclass(frozen=True)
class Spec:
    """A sweep: the product of a grid, and further points, each on every seed.

    Attributes:
        question: what the sweep is to answer; may be empty.
        base: settings of every run, {"section.key": value}.
        grid: {"section.key": values}; empty if there are points only.
        points: settings of further runs, on top of `base`.
        seeds: None where the file leaves them open.
        source: where the experiment is from; may be empty.
        executor: the section of that name as it was read; None if there is none.
        name: of the file or study that describes it, as it was typed; None if there is none.
        origin: what the runs are branches of; None if they are none.
    """

    question: str = ""
    base: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, list[Any]] = field(default_factory=dict)
    points: list[dict[str, Any]] = field(default_factory=list)
    seeds: list[int] | None = None
    source: str = ""
    executor: Any = None
    origin: Origin | None = None
    name: str | None = None

    @property
    def home(self) -> Path:
        """Where its runs lie unless another directory is given: runs, or runs/NAME."""
        return Path("runs") / (Path(self.name).stem if self.name else "")


PAPER = Spec(grid={"model.ln_type": list(PAPER_PLACEMENTS)})


def study_files() -> list[Path]:
    """The files of the studies that come with the program, by name."""
    return sorted(STUDIES.glob("*.yaml"), key=lambda file: file.stem)


def spec_named(name: str) -> Spec:
    """The sweep that `grok sweep NAME` means.

    Raises:
        SettingsError: there is no such file or study, or it describes no sweep.
    """
    return replace(read_spec(find_spec(name)), name=name)


def find_spec(name: str) -> Path:
    """The sweep file that `grok sweep NAME` means: a path, or a study that comes with the program.

    Raises:
        SettingsError: neither.
    """
    path, study = Path(name), STUDIES / f"{name}.yaml"
    if path.is_file():
        return path
    if study.is_file():
        return study
    known = [file.stem for file in study_files()]
    studies = f" nor a study ({', '.join(known)})" if known else ""
    hint = did_you_mean(name, known) or "expected FILE.yaml"
    raise SettingsError(f"{name} is no file{studies}; {hint}")


def read_spec(path: Path) -> Spec:
    """The sweep that a file describes.

    Raises:
        SettingsError: unknown fields or keys, or values that make no sweep.
    """
    return spec_of(read_yaml(path), str(path))


def spec_of(content: Mapping[str, Any], source: str) -> Spec:
    """The sweep that the content of a sweep file describes.

    Args:
        source: the file, for messages.

    Raises:
        SettingsError: unknown fields or keys, or values that make no sweep.
    """
    if is_wandb(content):
        content = translate(content, source)
    elif not is_sweep(content) and content.keys() & SECTIONS.keys():
        sections = ", ".join(name for name in content if name in SECTIONS)
        raise SettingsError(
            f"{source} is a file of settings ({sections}), not of a sweep: "
            f"`grok train --config {shlex.quote(source)}` trains a run of it; a sweep has them "
            "below base:, and a grid:"
        )
    for name in content:
        if name not in FIELDS:
            hint = suggestion(name, FIELDS)
            if str(name).partition(".")[0] in SECTIONS:
                hint = "settings of every run stand below base:"
            raise SettingsError(f"{source}: unknown field {name}; {hint}")
    points = content.get("points") or []
    if not isinstance(points, list):
        raise SettingsError(f"{source}: points: expected a list of settings, found {points!r:.60}")
    return Spec(
        question=_text(content, "question", source),
        base=_settings(content.get("base"), f"{source}: base"),
        grid=_grid(_settings(content.get("grid"), f"{source}: grid"), f"{source}: grid"),
        points=[_settings(point, f"{source}: points") for point in points],
        seeds=seeds_of_file(content.get("seeds"), source),
        source=_text(content, "source", source),
        executor=content.get("executor"),
        origin=_origin(content["from"], f"{source}: from") if content.get("from") else None,
    )


def parse_grid(texts: list[str]) -> dict[str, list[Any]]:
    """The grid that `--grid key=v1,v2` options give.

    Raises:
        SettingsError: not of that form, or an unknown key.
    """
    grid = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not equals or not values:
            raise SettingsError(f"--grid {text}: expected section.key=value,value,...")
        key = check_key(key, "--grid")
        if not all(value.strip() for value in values.split(",")):
            raise SettingsError(f"--grid {text}: one of the values is empty")
        grid[key] = [value_of(key, value) for value in values.split(",")]
    return _grid(grid, "--grid")


def _settings(value: Any, source: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise SettingsError(
            f"{source}: expected settings such as model.ln_type, found {value!r:.60}"
        )
    return flatten(value, source)


def _origin(value: Any, source: str) -> Origin:
    expected = "expected {run: DIRECTORY, at: [100, memorised]}, or base:, grid: in place of run:"
    if not isinstance(value, Mapping) or "at" not in value:
        raise SettingsError(f"{source}: {expected}, found {value!r:.60}")
    known = ("run", "at", "base", "grid", "points")
    for name in value:
        if name not in known:
            raise SettingsError(f"{source}: unknown field {name}; {suggestion(name, known)}")
    at = value["at"] if isinstance(value["at"], list) else [value["at"]]
    described = {name: part for name, part in value.items() if name in ("base", "grid", "points")}
    if not at or ("run" in value) == bool(described):
        raise SettingsError(f"{source}: {expected}")
    if described:
        return Origin(tuple(at), parents=spec_of(described, source))
    runs = value["run"] if isinstance(value["run"], list) else [value["run"]]
    if not runs or not all(isinstance(run, str) for run in runs):
        raise SettingsError(f"{source}: run: expected a run or a list of runs, found {runs!r:.60}")
    return Origin(tuple(at), runs=tuple(runs))


def _grid(settings: dict[str, Any], source: str) -> dict[str, list[Any]]:
    grid = {}
    for key, values in settings.items():
        if not affects_result(key):
            raise SettingsError(
                f"{source}: {key} does not change what a run computes, so its values would all be "
                f"the same run; give one value, with --set {key}=..."
            )
        if not isinstance(values, list) or not values:
            raise SettingsError(f"{source}: {key}: expected a list of values, found {values!r:.60}")
        grid[key] = values
    return grid


def _text(content: Mapping[str, Any], name: str, source: str) -> str:
    value = content.get(name)
    if isinstance(value, list | Mapping):
        raise SettingsError(f"{source}: {name}: expected a text, found {value!r:.60}")
    return "" if value is None else str(value).strip()
