"""Text that would take no end or all memory is refused at once; what was meant is guessed well."""

from pathlib import Path

import pytest

from grok_cli.core.config import MOST_MEMORY, Config
from grok_cli.runs.files import read_json
from grok_cli.runs.settings import (
    SettingsError,
    build_config,
    dump_config,
    layered,
    load_config,
    nearest_key,
)
from grok_cli.runs.yaml_text import YamlError, parse_yaml, yaml_text

LEVELS = list(zip("abcdefgh", "bcdefghi", strict=True))
ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{below}: &{below} [{', '.join(9 * [f'*{above}'])}]\n" for above, below in LEVELS
)
MERGES = f"a: &a {{{', '.join(f'k{i}: 1' for i in range(1001))}}}\nb: {{<<: *a}}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("9" * 5000, "a number of 5000 digits"),
        ("[" * 5000, "not valid YAML"),
        ("[" * 60 + "]" * 60, "nested more than 50 levels"),
        ("&a [*a]", "contains itself"),
        (ALIASES, "more than 100,000 values"),
        (MERGES, "more than 1,000 keys"),
        ("!!int x", "a tag and its value"),
        ("!!float [1]", "not valid YAML"),
        ("!!binary x", "not valid YAML"),
        ("!!python/object:os.system {}", "not valid YAML"),
        ("a\x00b", "not valid YAML"),
        ("x" * 1_000_001, "more than 1,000,000 characters"),
        ("a: 1\nb: [\n", "line 3"),
        ("train: {seed: 1}\ntrain: {steps: 5}", "train stands twice in one mapping, line 2"),
        ("train: {seed: 1, seed: 1}", "seed stands twice"),
    ],
)
def test_text_without_end_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(YamlError, match=message):
        parse_yaml(text)
    file = tmp_path / "x.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"x\.yaml: "):
        load_config(file)
    with pytest.raises(SettingsError):
        layered(None, {}, [f"model.d_model={text}"])


def test_a_hundred_thousand_values_are_read_and_one_more_is_not() -> None:
    """The list counts as one, and what an alias stands for as often as it stands there."""
    tens = "- &a [0, 0, 0, 0, 0, 0, 0, 0, 0]\n" + 9_998 * "- *a\n"  # 1 + 9,999 x 10
    assert len(parse_yaml(tens + 9 * "- 0\n")) == 9_999 + 9
    with pytest.raises(YamlError, match="more than 100,000 values"):
        parse_yaml(tens + 10 * "- 0\n")


def test_a_mapping_has_a_thousand_keys_with_its_merges_and_no_more() -> None:
    merge = f"a: &a {{{', '.join(f'k{i}: 1' for i in range(999))}}}\nb: {{<<: *a, x: 1"
    assert len(parse_yaml(merge + "}")["b"]) == 1000
    with pytest.raises(YamlError, match="more than 1,000 keys in a mapping"):
        parse_yaml(merge + ", y: 1}")


def test_aliases_and_merges_of_a_decent_size_are_read() -> None:
    text = "a: &a {x: 1, y: [2, 3]}\nb: {<<: *a, x: 7}\nc: [*a, *a]"
    a = {"x": 1, "y": [2, 3]}
    assert parse_yaml(text) == {"a": a, "b": {"x": 7, "y": [2, 3]}, "c": [a, a]}
    twice = "a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, x: 3}"
    assert parse_yaml(twice) == {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 3}}


ODD = ["0123456789", "12e4567890", "4587120963", "08", "1e5", ".5", "0x1f", "1_000", "1:30", "on"]
ODD += [
    "",
    "~",
    "<<",
    "=",
    "null",
    "True",
    "2024-01-01",
    "a: b",
    "- a",
    "#",
    "\u20ac",
    "a\nb",
    " a ",
]


@pytest.mark.parametrize("text", ODD)
def test_a_text_is_written_so_that_it_is_read_back_as_that_text(text: str) -> None:
    """A digest of digits around one e is no number."""
    assert parse_yaml(yaml_text({"a": text, "b": [text]})) == {"a": text, "b": [text]}


@pytest.mark.parametrize("digest", ["12e4567890", "0123456789", "1234567890"])
def test_a_branch_finds_its_parent_whatever_its_digest(digest: str, tmp_path: Path) -> None:
    taken = {"branch.transplant": ["mlp"], "branch.donor": digest}
    config = build_config({"branch.parent": digest, "branch.at": 1, **taken})
    file = tmp_path / "config.yaml"
    file.write_text(dump_config(config))
    assert load_config(file) == config
    assert layered(file, {}, [f"branch.donor={digest}"])[0] == config


def test_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"x\.yaml: cannot be read: it is not UTF-8"):
        load_config(tmp_path / "x.yaml")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_file_without_end_is_refused_before_memory_is_full(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="/dev/zero: cannot be read: more than 4,000,000 bytes"):
        load_config(Path("/dev/zero"))
    (tmp_path / "summary.json").symlink_to("/dev/zero")
    assert read_json(tmp_path / "summary.json") is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.modulus", 99999999999),
        ("model.n_layers", 1_000_000),
        ("run.threads", 100_000),
        ("train.evals_per_decade", 3 * 10**9),
        ("train.steps", 10**10),
    ],
)
def test_setting_beyond_all_sense_is_refused(key: str, value: int) -> None:
    with pytest.raises(SettingsError, match=rf"{key}: expected less than or equal to \d+, found"):
        build_config({key: value})


@pytest.mark.parametrize(
    ("settings", "gigabytes"), [({"data.modulus": 20000}, "136"), ({"model.d_model": 400_000}, "")]
)
def test_run_that_fits_no_machine_is_refused_with_its_memory(
    settings: dict[str, int], gigabytes: str
) -> None:
    with pytest.raises(SettingsError, match=rf"takes about {gigabytes}.* GiB of memory; expected"):
        build_config(settings)


def test_memory_of_the_published_model_is_that_of_its_parts() -> None:
    p, d, hidden, heads = 113, 128, 512, 4
    parameters = 4 * d * d + 2 * d * hidden + 2 * p * d
    tables = 2 * heads * p * (hidden + p)
    assert Config().memory() == 4 * (6 * parameters + 2 * tables) + 300 * p * p < MOST_MEMORY


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lr", "opt.learning_rate"),
        ("opt.lr", "opt.learning_rate"),
        ("wd", "opt.weight_decay"),
        ("bs", "train.batch_size"),
        ("d_model", "model.d_model"),
        ("dmodel", "model.d_model"),
        ("learning-rate", "opt.learning_rate"),
        ("data.p", "data.modulus"),
        ("train.learning_rate", "opt.learning_rate"),
        ("modle.d_model", "model.d_model"),
        ("model.layers", "model.n_layers"),
        ("train.sed", "train.seed"),
    ],
)
def test_key_that_was_meant_is_named(typed: str, meant: str) -> None:
    assert nearest_key(typed) == f"did you mean {meant}?"


@pytest.mark.parametrize("typed", ["foo", "xyz.qqq", "", "."])
def test_nothing_is_suggested_where_nothing_is_near(typed: str) -> None:
    assert nearest_key(typed) == ""
