"""Settings: layers, origins, and one clear message for everything that is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from grok_cli.core.config import KEYS, LATER, MOVED, SECTIONS, Config, affects_result
from grok_cli.runs.settings import (
    SHORT_NAMES,
    USUAL_NAMES,
    SettingsError,
    build_config,
    dump_config,
    layered,
    load_config,
    parse_value,
)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_set_wins_over_flags_these_over_the_file_and_the_file_over_defaults(
    tmp_path: Path,
) -> None:
    text = "model: {ln_type: M, d_model: 64}\nopt: {eps: 1e-7}\ntrain: {seed: 5}"
    file = write(tmp_path / "s.yaml", text)
    flags = {"model.d_model": ("--d-model", 32), "opt.beta2": ("--beta2", 0.5)}
    config, origin = layered(file, flags, ["opt.beta2=0.99", "train.seed=7"])
    assert (config.train.seed, origin["train.seed"]) == (7, "--set")
    assert (config.model.ln_type, config.model.d_model) == ("mlp-pre", 32)
    assert (config.opt.eps, config.opt.beta2) == (1e-7, 0.99)
    assert origin["model.ln_type"] == str(file)
    assert origin["model.d_model"] == "--d-model"
    assert origin["opt.beta2"] == "--set"
    assert origin["train.steps"] == "default"


def test_a_short_name_is_the_end_of_the_setting_that_it_stands_for() -> None:
    others = {"lr": "opt.learning_rate", "wandb": "wandb.mode", "measure": "measure.diagnostics"}
    for name, key in SHORT_NAMES.items():
        assert key == others[name] if name in others else key.endswith(name)
        assert key in KEYS
    assert set(USUAL_NAMES.values()) <= set(KEYS)


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("model.ln_typo=off", ["unknown key model.ln_typo", "did you mean model.ln_type?"]),
        ("ln_type=off", ["unknown key ln_type", "did you mean model.ln_type?"]),
        ("train.sede=1", ["train.sede", "did you mean train.seed?"]),
        ("opt.lrr=1", ["unknown key opt.lrr", "did you mean opt.learning_rate?"]),
        ("model.ln_type=mlppre", ["model.ln_type", "expected one of off", "mlp-pre?"]),
        ("train.steps=many", ["train.steps", "expected a valid integer", "'many'"]),
        ("train.steps=0", ["train.steps", "greater than or equal to 1"]),
        ("opt.learning_rate=-1", ["opt.learning_rate", "greater than 0"]),
        ("opt.learning_rate=nan", ["opt.learning_rate", "finite number"]),
        ("model.n_heads=3", ["model.n_heads", "divide d_model = 128", "expected a divisor"]),
        ("data.test_ratio=1.0", ["data.test_ratio", "less than 1"]),
        ("data.test_ratio=0.00001", ["data.test_ratio", "no test pair"]),
        ("data.task=adding", ["data.task", "did you mean add?"]),
        ("model.norm=batchnorm", ["model.norm", "'layernorm', 'rmsnorm', 'dyt' or 'unit'"]),
        ("opt.warmup_steps=20000", ["opt.warmup_steps", "at most"]),
        ("run.device=tpu", ["run.device", "cuda"]),
        ("model", ["--set model", "section.key=value"]),
        ("train.seed=99999999999", ["train.seed", "less than 2147483648"]),
        ("train.seed=true", ["train.seed", "not a boolean"]),
        ("model.ln_type=", ["empty"]),
    ],
)
def test_bad_setting_names_key_and_expectation(setting: str, parts: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        layered(None, {}, [setting])
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        (["data.task=divide", "data.modulus=12"], "12 is not prime"),
        (["data.task=s5", "data.modulus=113"], "exactly 120 elements"),
    ],
)
def test_impossible_combination_is_refused(settings: list[str], part: str) -> None:
    with pytest.raises(SettingsError, match=part):
        layered(None, {}, settings)


def test_s5_brings_its_own_modulus() -> None:
    assert layered(None, {}, ["data.task=s5"])[0].data.modulus == 120


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("model: [1, 2]", "model: expected keys below it"),
        ("model: {ln_type: off", "not valid YAML"),
        ("just text", "expected sections"),
        ("modle: {ln_type: off}", "unknown key modle"),
    ],
)
def test_bad_file_is_named(tmp_path: Path, content: str, part: str) -> None:
    file = write(tmp_path / "bad.yaml", content)
    with pytest.raises(SettingsError, match=part) as caught:
        load_config(file)
    assert str(file) in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load_config(tmp_path / "none.yaml")


def test_dumped_config_reads_back(tmp_path: Path) -> None:
    config = build_config({"model.ln_type": "off", "opt.eps": 1e-12, "wandb.tags": ["a", "b"]})
    assert load_config(write(tmp_path / "c.yaml", dump_config(config))) == config


def test_bare_off_in_yaml_is_the_placement(tmp_path: Path) -> None:
    file = write(tmp_path / "c.yaml", "model:\n  ln_type: off\nwandb:\n  mode: off\n")
    assert load_config(file).model.ln_type == "off"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("10", 10),
        ("010", 10),
        ("null", None),
        ("off", "off"),
        ("true", True),
        ("2024-13-45", "2024-13-45"),
        ("[1, off]", [1, "off"]),
    ],
)
def test_flag_text_is_read_as_yaml(text: str, value: object) -> None:
    assert parse_value(text) == value


def test_digest_depends_on_what_affects_the_result_only() -> None:
    base = Config()
    same = build_config({"run.threads": 1, "run.engine": "plain", "wandb.mode": "offline"})
    assert same.digest() == base.digest()
    assert build_config({"train.seed": 1}).digest() != base.digest()
    assert build_config({"model.ln_type": "No LN"}).digest() == base.digest()


def test_every_key_has_a_description_in_the_schema() -> None:
    schema = json.dumps(Config.model_json_schema())
    for key in KEYS:
        section, _, name = key.partition(".")
        description = SECTIONS[section].model_fields[name].description
        assert description
        assert json.dumps(description) in schema
    assert not affects_result("wandb.project")
    assert affects_result("opt.learning_rate")
    assert affects_result("opt.unknown_here")


@pytest.mark.parametrize(
    ("settings", "digest"),
    [
        ({}, "4d36bd0181"),
        ({"model.ln_type": "attn-pre"}, "4d101548b3"),
        (
            {
                **{"model.ln_type": "post", "model.mlp_type": "gated", "model.n_layers": 2},
                **{"train.batch_size": 512, "train.seed": 7, "run.threads": 3},
                **{"measure.diagnostics": {"rank": 100}, "wandb.project": "x"},
            },
            "d255492b51",
        ),
    ],
)
def test_digests_are_those_that_directories_are_named_by(
    settings: dict[str, Any], digest: str
) -> None:
    assert build_config(settings).digest() == digest


def test_identity_is_whole_sections() -> None:
    identity = Config().identity()
    assert list(identity) == ["data", "model", "opt", "train"]
    for section, values in identity.items():
        stated = Config().model_dump()[section]
        assert values == {k: v for k, v in stated.items() if f"{section}.{k}" not in LATER}


@pytest.mark.parametrize("earlier", MOVED)
def test_earlier_spellings_of_settings_are_understood(earlier: str, tmp_path: Path) -> None:
    value = {"run.engine": "plain", "run.device": "cpu", "measure.diagnostics": {"rank": 7}}
    present = MOVED[earlier]
    expected = build_config({present: value.get(present, 3)})
    section, _, key = earlier.partition(".")
    file = tmp_path / "old.yaml"
    file.write_text(json.dumps({section: {key: value.get(present, 3)}, "model": {"d_model": 128}}))
    assert load_config(file) == expected
    assert Config.model_validate({section: {key: value.get(present, 3)}}) == expected
    text = f"{earlier}={json.dumps(value.get(present, 3))}"
    assert layered(None, {}, [text]) == (
        expected,
        dict.fromkeys(KEYS, "default") | {present: "--set"},
    )
    assert not affects_result(earlier)


def test_a_setting_by_both_of_its_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"train\.threads: is called run\.threads now"):
        Config.model_validate({"train": {"threads": 1}, "run": {"threads": 2}})
    file = tmp_path / "both.yaml"
    file.write_text("train: {threads: 1}\nrun: {threads: 2}")
    with pytest.raises(SettingsError, match=r"run\.threads: set twice"):
        load_config(file)
    file.write_text("train.seed: 1\ntrain: {seed: 2}")
    with pytest.raises(SettingsError, match=r"train\.seed: set twice"):
        load_config(file)
