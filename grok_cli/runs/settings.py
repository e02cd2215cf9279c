"""Settings from files and flags: read, layered, checked, and written back.

Later layers win: defaults, then a YAML file, then flags. Whatever is wrong ends in one
`SettingsError` whose message names the key, what was expected and, for an unknown key, the
nearest valid one.
"""

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from grok_cli.core.config import KEYS, KNOWN, SECTIONS, Config, present_spelling
from grok_cli.core.fields import SettingsError as SettingsError  # for all who deal with settings
from grok_cli.core.fields import checked, value_type
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.errors import cause, did_you_mean, nearest
from grok_cli.runs.files import read_whole
from grok_cli.runs.yaml_text import MOST_CHARACTERS, YamlError, parse_yaml, yaml_text

SWEEP_FIELDS = (  # at the top of a sweep file (sweeps/spec.py), as against one of settings
    *("question", "source", "base", "from", "grid", "points", "seeds", "executor"),
    "parameters",  # of W&B's
)

# Settings that have a flag, and a keyword in Python, of their own.
SHORT_NAMES = {
    "ln_type": "model.ln_type",
    "seed": "train.seed",
    "steps": "train.steps",
    "lr": "opt.learning_rate",
    "weight_decay": "opt.weight_decay",
    "task": "data.task",
    "modulus": "data.modulus",
    "layers": "model.n_layers",
    "d_model": "model.d_model",
    "eval_every": "train.eval_every",
    "device": "run.device",
    "threads": "run.threads",
    "wandb": "wandb.mode",
    "until_grokked": "train.until_grokked",
    "measure": "measure.diagnostics",
}

# What settings are called elsewhere.
USUAL_NAMES = {
    "lr": "opt.learning_rate",
    "wd": "opt.weight_decay",
    "decay": "opt.weight_decay",
    "betas": "opt.beta2",
    "warmup": "opt.warmup_steps",
    "bs": "train.batch_size",
    "batch": "train.batch_size",
    "epochs": "train.steps",
    "iters": "train.steps",
    "max_steps": "train.steps",
    "p": "data.modulus",
    "mod": "data.modulus",
    "prime": "data.modulus",
    "operation": "data.task",
    "op": "data.task",
    "train_frac": "data.test_ratio",
    "frac_train": "data.test_ratio",
    "layers": "model.n_layers",
    "depth": "model.n_layers",
    "heads": "model.n_heads",
    "width": "model.d_model",
    "dim": "model.d_model",
    "ln": "model.ln_type",
    "act": "model.activation",
    "gpu": "run.device",
    "log_every": "train.eval_every",
    "measure": "measure.diagnostics",
    "metrics": "measure.diagnostics",
}
MOST_TEXT = 1_000  # characters of a value that is no YAML and so stands for itself

# Of run directories and of the settings in them. 1: device, threads, engine, saving and diagnostics
# stood in the section train, and files of tensors had no checksum.
FORMAT = 2


def parse_value(text: str) -> Any:
    """The value of a flag's text, read as YAML: 1e-3, true, null, [a, b].

    Text that is no YAML stands for itself.

    Raises:
        SettingsError: the text is empty, or too much of something.
    """
    if not text.strip():
        raise SettingsError("expected a value, found an empty text; `null` stands for none")
    try:
        return parse_yaml(text)
    except YamlError as error:
        if len(text) <= MOST_TEXT:
            return text
        raise SettingsError(f"{text[:20]}...: {error}") from None


def value_of(key: str, text: str) -> Any:
    """The value of a setting's text; a number where the setting is a text stays that text.

    Raises:
        SettingsError: the text is empty, or too much of something.
    """
    value = parse_value(text)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return text.strip() if is_number and value_type(KNOWN[key]) is str else value


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        SettingsError: no such file, not YAML, or not a mapping.
    """
    try:
        content = parse_yaml(read_whole(path, 4 * MOST_CHARACTERS).decode())
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = cause(error) if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"{path}: cannot be read: {reason}") from None
    except YamlError as error:
        raise SettingsError(f"{path}: {error}") from None
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
    flat: list[tuple[str, Any]] = []
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
            flat += [(f"{name}.{key}", v) for key, v in value.items()]
        else:
            flat.append((str(name), value))
    present: dict[str, Any] = {}
    for key, value in flat:
        name = check_key(key, source)
        if name in present:
            raise SettingsError(f"{source}: {name}: set twice, perhaps by its earlier name")
        present[name] = value
    return present


def check_key(key: str, source: str) -> str:
    """The present spelling of "section.key".

    Raises:
        SettingsError: there is no such key; the message names the nearest.
    """
    key = present_spelling(key)
    if key not in KEYS:
        hint = nearest_key(key) or "see `grok config schema` for all keys"
        raise SettingsError(f"{source}: unknown key {key}; {hint}")
    return key


def nearest_key(key: str) -> str:
    """The question whether another key was meant; "" if none is near.

    Short names that are usual elsewhere are known; then the last part decides.
    """
    name = key.rpartition(".")[2].lower().replace("-", "_")
    last = {known.partition(".")[2]: known for known in KEYS}
    plain = {short.replace("_", ""): known for short, known in last.items()}
    meant = USUAL_NAMES.get(name) or last.get(name) or plain.get(name.replace("_", ""))
    if meant is None and (near := nearest(name, known := USUAL_NAMES | last)):
        meant = known[near]
    return f"did you mean {meant}?" if meant else did_you_mean(key, KEYS)


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
        values[key], origin[key] = value_of(key, value), "--set"
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
    return yaml_text({"format": FORMAT, **config.model_dump(mode="json")})
