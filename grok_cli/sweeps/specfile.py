"""What a sweep consists of, and how it is read from a YAML file: ours, or W&B's.

    question: Which placement groks first?     # optional; for the reader
    source: arXiv 2602.06702                   # optional; where the experiment is from
    base: {data.modulus: 97}                   # settings of every run
    grid: {model.ln_type: [off, pre]}          # all combinations of these
    points: [{model.ln_type: peri}]            # and these runs, one by one
    seeds: 5                                   # how many, or a list of seeds
    executor: {kind: slurm, partition: cpu}    # optional; where runs are trained (executors.py)

Settings are nested sections or "section.key". A W&B sweep file has `parameters` instead; those
with `value` become `base`, those with `values` become `grid`.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grok_cli.core.config import SECTIONS, affects_result
from grok_cli.runs.settings import (
    SettingsError,
    check_key,
    flatten,
    parse_value,
    read_yaml,
)
from grok_cli.sweeps.seeds import first_seeds

STUDIES = Path(__file__).parents[1] / "studies"  # sweep files that come with the program
FIELDS = ("question", "source", "base", "grid", "points", "seeds", "executor")
PAPER_PLACEMENTS = ("off", "attn-pre", "pre", "mlp-pre", "attn-pre-qk", "attn-pre-v")


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
    """

    question: str = ""
    base: dict[str, Any] = field(default_factory=dict)
    grid: dict[str, list[Any]] = field(default_factory=dict)
    points: list[dict[str, Any]] = field(default_factory=list)
    seeds: list[int] | None = None
    source: str = ""
    executor: Any = None


PAPER = Spec(grid={"model.ln_type": list(PAPER_PLACEMENTS)})


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
    known = sorted(file.stem for file in STUDIES.glob("*.yaml"))
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    studies = f" nor a study ({', '.join(known)})" if known else ""
    raise SettingsError(f"{name} is no file{studies}{hint or '; expected FILE.yaml'}")


def read_spec(path: Path) -> Spec:
    """The sweep that a file describes.

    Raises:
        SettingsError: unknown fields or keys, or values that make no sweep.
    """
    content = read_yaml(path)
    if "parameters" in content:
        return _from_wandb(content, path)
    for name in content:
        if name not in FIELDS:
            nearest = difflib.get_close_matches(str(name), FIELDS, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"expected {', '.join(FIELDS)}"
            raise SettingsError(f"{path}: unknown field {name}; {hint}")
    points = content.get("points") or []
    if not isinstance(points, list):
        raise SettingsError(f"{path}: points: expected a list of settings, found {points!r:.60}")
    return Spec(
        question=str(content.get("question") or "").strip(),
        base=_settings(content.get("base"), f"{path}: base"),
        grid=_grid(_settings(content.get("grid"), f"{path}: grid"), f"{path}: grid"),
        points=[_settings(point, f"{path}: points") for point in points],
        seeds=_seeds(content.get("seeds"), str(path)),
        source=str(content.get("source") or "").strip(),
        executor=content.get("executor"),
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
        check_key(key, "--grid")
        if not all(value.strip() for value in values.split(",")):
            raise SettingsError(f"--grid {text}: one of the values is empty")
        grid[key] = [parse_value(value.strip()) for value in values.split(",")]
    return _grid(grid, "--grid")


def _settings(value: Any, source: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise SettingsError(f"{source}: expected settings such as model.ln_type, found {value!r}")
    return flatten(value, source)


def _grid(settings: dict[str, Any], source: str) -> dict[str, list[Any]]:
    grid = {}
    for key, values in settings.items():
        if not affects_result(key):
            raise SettingsError(
                f"{source}: {key} does not change what a run computes, so its values would all be "
                f"the same run; give one value, with --set {key}=..."
            )
        if not isinstance(values, list) or not values:
            raise SettingsError(f"{source}: {key}: expected a list of values, found {values!r}")
        grid[key] = values
    return grid


def _seeds(value: Any, source: str) -> list[int] | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return first_seeds(value)
    if isinstance(value, list) and value and all(isinstance(seed, int) for seed in value):
        return list(dict.fromkeys(value))
    raise SettingsError(f"{source}: seeds: expected how many, or a list of seeds; found {value!r}")


def _from_wandb(content: dict[str, Any], path: Path) -> Spec:
    """A W&B sweep file whose parameters have `value` or `values`; its agents are not needed."""
    method = content.get("method", "grid")
    if method != "grid":
        raise SettingsError(
            f"{path}: method: {method} draws its points while it runs; expected method: grid"
        )
    base: dict[str, Any] = {}
    grid: dict[str, Any] = {}
    for key, parameter in _wandb_parameters(content["parameters"], "", path).items():
        if "values" in parameter:
            grid[key] = parameter["values"]
        elif "value" in parameter:
            base[key] = parameter["value"]
        else:
            raise SettingsError(f"{path}: {key}: expected `values` (or `value`) in a grid")
    for key in ("project", "entity"):
        if content.get(key):
            base[f"wandb.{key}"] = content[key]
    return Spec(
        question=str(content.get("description") or "").strip(),
        base=flatten(base, str(path)),
        grid=_grid(flatten(grid, str(path)), str(path)),
    )


def _wandb_parameters(parameters: Any, prefix: str, path: Path) -> dict[str, Mapping[str, Any]]:
    """{"section.key": parameter}; W&B nests parameters in `parameters`."""
    if not isinstance(parameters, Mapping):
        raise SettingsError(f"{path}: parameters: expected a mapping, found {parameters!r:.60}")
    flat: dict[str, Mapping[str, Any]] = {}
    for name, parameter in parameters.items():
        if not isinstance(parameter, Mapping):
            raise SettingsError(f"{path}: {prefix}{name}: expected `value` or `values` below it")
        if "parameters" in parameter and (prefix or name in SECTIONS):
            flat |= _wandb_parameters(parameter["parameters"], f"{prefix}{name}.", path)
        else:
            flat[f"{prefix}{name}"] = parameter
    return flat
