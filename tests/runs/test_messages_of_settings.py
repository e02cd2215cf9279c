"""What users read of settings that cannot be used, word for word."""

from pathlib import Path

import pytest

from grok_cli.core.config import Config
from grok_cli.runs.files import read_whole
from grok_cli.runs.settings import layered, load_config, nearest_key, parse_value, read_yaml
from grok_cli.runs.yaml_text import parse_yaml
from tests.conftest import said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" ", "expected a value, found an empty text; `null` stands for none"),
        ("a: b: c" + 994 * "d", "a: b: cddddddddddddd...: not valid YAML, line 1"),
    ],
)
def test_a_value_that_is_none(text: str, message: str) -> None:
    assert said(lambda: parse_value(text)) == message


def test_a_text_that_is_no_yaml_stands_for_itself_up_to_a_thousand_characters() -> None:
    text = "a: b: c" + 993 * "d"
    assert (len(text), parse_value(text)) == (1000, text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "cannot be read: it is not UTF-8"),
        (b"a: b: c", "not valid YAML, line 1"),
        (70 * b"x", f"expected sections such as 'model:', found '{59 * 'x'}"),
        (b"format: 3", "format 3: this version reads up to 2; {later}"),
        (b"format: true", "format True: this version reads up to 2; {later}"),
        (b"model: [1]", "model: expected keys below it, found [1]"),
        (b"opt: {lrr: 1}", "unknown key opt.lrr; did you mean opt.learning_rate?"),
        (b"zzzz: {}", "unknown key zzzz; see `grok config schema` for all keys"),
        (
            b"train.threads: 1\nrun.threads: 1",
            "run.threads: set twice, perhaps by its earlier name",
        ),
        (
            b"train.seed: 1\ntrain: {seed: 1}",
            "train.seed: set twice, perhaps by its earlier name",
        ),
        (b"train: {steps: 0}", "train.steps: expected greater than or equal to 1, found 0"),
    ],
)
def test_a_file_of_settings(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_bytes(content)
    later = "expected a file of this version or an earlier one"
    expected = f"{file}: {message.format(later=later)}"
    assert said(lambda: load_config(file)) == expected
    assert said(lambda: layered(file, {}, [])) == expected


def test_a_file_of_settings_that_cannot_be_read(tmp_path: Path) -> None:
    assert said(lambda: read_yaml(tmp_path / "none")) == f"{tmp_path}/none: no such file"
    assert said(lambda: read_yaml(tmp_path)) == f"{tmp_path}: cannot be read: Is a directory"
    file = tmp_path / "empty.yaml"
    file.touch()
    assert load_config(file) == Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.seed", "--set train.seed: expected section.key=value"),
        ("train.sede=1", "--set: unknown key train.sede; did you mean train.seed?"),
        ("train.steps=0", "--set: train.steps: expected greater than or equal to 1, found 0"),
    ],
)
def test_a_setting_as_typed(text: str, message: str) -> None:
    assert said(lambda: layered(None, {}, [text])) == message


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("model.lr", "opt.learning_rate"),
        ("WD", "opt.weight_decay"),
        ("opt.Weight-Decay", "opt.weight_decay"),
        ("weightdecay", "opt.weight_decay"),
        ("d__model", "model.d_model"),
        ("warm_up", "opt.warmup_steps"),
        ("train.see", "train.seed"),
        ("modle.n_headz", "model.n_heads"),
    ],
)
def test_the_key_that_was_meant(key: str, meant: str) -> None:
    assert nearest_key(key) == f"did you mean {meant}?"


def test_a_key_that_is_near_to_none() -> None:
    assert nearest_key("zzzzzzzz") == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("9" * 41, "a number of 41 digits; expected at most 40"),
        ("x" * 1_000_001, "more than 1,000,000 characters"),
        ("&a [*a]", "a value that contains itself"),
        ("[" * 51 + "]" * 51, "nested more than 50 levels deep"),
        ("!!int x", "not valid YAML: a tag and its value do not fit"),
        ("a: 1\nb: c: d", "not valid YAML, line 2"),
        ("k: 1\nk: 2", "k stands twice in one mapping, line 2"),
        (
            f"a: &a {{{', '.join(f'k{i}: 1' for i in range(1001))}}}\nb: {{<<: *a}}",
            "more than 1,000 keys in a mapping",
        ),
    ],
)
def test_yaml_that_is_refused(text: str, message: str) -> None:
    assert said(lambda: parse_yaml(text)) == message


def test_a_file_that_is_too_large_is_named(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(bytes(1001))
    assert read_whole(file, 1001) == bytes(1001)
    with pytest.raises(OSError, match="more than 1,000 bytes") as caught:
        read_whole(file, 1000)
    assert caught.value.filename == str(file)
