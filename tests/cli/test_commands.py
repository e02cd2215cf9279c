"""The commands as a user types them."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
import yaml

from grok_cli import __version__
from grok_cli.core.config import SECTIONS
from grok_cli.core.placement import PLACEMENTS
from grok_cli.runs.directory import create_run
from grok_cli.runs.launch import train_run
from grok_cli.runs.measuring import measure_snapshots
from tests.conftest import SMALL_FLAGS, small_config
from tests.typed import Grok


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"]])
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from grok_cli.__main__ import main\n"
        f"sys.argv = ['grok', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'wandb', 'matplotlib', 'polars', 'numpy'} & sys.modules.keys()\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert ("--ln-type" if "train" in arguments else "") in result.stdout


def test_version_is_the_packages(grok: Grok) -> None:
    assert grok("--version").stdout.strip() == __version__


def test_train_then_look_then_measure(grok: Grok, typed: Grok, tmp_path: Path) -> None:
    trained = grok("train", "--ln-type", "M+A*", *SMALL_FLAGS)
    assert trained.returncode == 0, trained.stderr
    run = tmp_path / trained.stdout.splitlines()[-1]
    assert run.is_dir()
    assert "finished at step 60 of 60" in trained.stdout
    assert "\x1b" not in trained.stdout + trained.stderr

    listed = typed("runs", "runs", "--json")
    assert json.loads(listed.stdout)[0]["status"] == "finished"
    assert run.name in typed("runs", "runs").stdout

    measured = typed("measure-entropy", str(run), "--csv", "e.csv", "--plot", "e.png")
    assert measured.returncode == 0, measured.stderr
    table = pandas.read_csv(tmp_path / "e.csv")
    assert table["step"].tolist() == [0, 1, 10, 20, 40, 50, 60]
    entropy = table["attention/attn_score_entropy"]
    assert ((entropy > 0) & (entropy <= math.log(3) + 1e-6)).all()
    assert len(measured.stdout.splitlines()) == 2 + len(table)
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")


def test_entropy_rows_and_json(typed: Grok, tmp_path: Path) -> None:
    config = small_config(train__steps=1, model__n_layers=2)
    run = create_run(tmp_path / "deep", config)
    train_run(run, config)
    result = typed("measure-entropy", "deep/snapshots/*1.pt", "--rows", "test", "--json")
    (record,) = json.loads(result.stdout)
    assert (record["run"], record["step"], record["rows"]) == ("deep", 1, "test")
    assert {"attention/answer_entropy", "attention/layer1/answer_entropy"} <= record.keys()
    shown = typed("measure-entropy", "deep", "--rows", "test").stdout.splitlines()
    shapes = {"attn_score_entropy": ".4f", "answer_out_effective_rank": ".2f"}
    layers = [
        [format(record[f"attention/{of}{name}"], shape) for name, shape in shapes.items()]
        for of in ("", "layer1/")
    ]
    cells = [line.split("\t") for line in shown[-2:]]
    assert [row[:3] + row[4:5] for row in cells] == [["1", str(n), *layers[n]] for n in (0, 1)]
    assert layers[0] != layers[1]
    (other,) = json.loads(typed("measure-entropy", "deep/snapshots/*1.pt", "--json").stdout)
    assert (
        other["attention/attn_score_entropy"] != record["attention/attn_score_entropy"]
    )  # of all rows


@pytest.mark.parametrize("ln_type", PLACEMENTS)
def test_entropy_works_on_every_placement(ln_type: str, tmp_path: Path) -> None:
    config = small_config(train__steps=1, model__ln_type=ln_type)
    run = create_run(tmp_path / "run", config)
    train_run(run, config)
    (measured,) = measure_snapshots(run.snapshots()[:1], ["attention"])
    assert 0.9 < measured.values["attention/attn_score_entropy"] <= math.log(3) + 1e-6


def test_json_is_all_that_stands_on_stdout(typed: Grok, tmp_path: Path) -> None:
    result = typed("train", "--json", "--name", "mine", "--runs-dir", "here", *SMALL_FLAGS)
    summary = json.loads(result.stdout)
    assert Path(summary["path"]) == Path("here/mine")
    assert summary["status"] == "finished"
    assert result.stderr == ""


def test_diverged_run_exits_1_with_a_hint(typed: Grok) -> None:
    result = typed("train", "--lr", "1e30", *SMALL_FLAGS)
    assert result.returncode == 1
    assert "diverged" in result.stderr
    assert "try a smaller opt.learning_rate" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--set", "model.ln_typo=1"], "did you mean model.ln_type?"),
        (["train", "--steps", "abc"], "train.steps: expected a valid integer"),
        (["train", "--config", "none.yaml"], "none.yaml: no such file"),
        (["train", "--resume", "nowhere"], "nowhere is not a run directory"),
        (["train", "--no-such-flag"], "No such option"),
        (["measure-entropy", "nothing*"], "no snapshot there"),
        (["runs", "nowhere"], "no such directory"),
        (["config", "validate", "none.yaml"], "no such file"),
    ],
)
def test_mistake_ends_in_one_message_and_exit_2(
    typed: Grok, arguments: list[str], message: str
) -> None:
    result = typed(*arguments)
    assert result.returncode == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_config_show_prints_a_file_that_validates(typed: Grok, tmp_path: Path) -> None:
    shown = typed("config", "show", "--ln-type", "M", "--set", "opt.eps=1e-9")
    assert "--ln-type" in next(x for x in shown.stdout.splitlines() if "ln_type" in x)
    assert yaml.safe_load(shown.stdout)["model"]["ln_type"] == "mlp-pre"
    (tmp_path / "c.yaml").write_text(shown.stdout)
    assert typed("config", "validate", "c.yaml").returncode == 0


def test_config_show_says_where_each_value_is_from(typed: Grok, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("opt: {eps: 1e-7, beta1: 0.5}\ntrain.seed: 0\n")
    shown = typed("config", "show", "-c", "s.yaml", "--lr", "0.5", "-s", "opt.beta1=0.8")
    cells = [[part.strip() for part in line.split("#")] for line in shown.stdout.splitlines()]
    for line in (
        *(["eps: 1.0e-07", "s.yaml"], ["seed: 0", "s.yaml"], ["learning_rate: 0.5", "--lr"]),
        *(["beta1: 0.8", "--set"], ["steps: 10000", "default"]),
    ):
        assert line in cells


def test_config_schema_is_json(typed: Grok) -> None:
    schema = json.loads(typed("config", "schema").stdout)
    assert set(schema["properties"]) == set(SECTIONS)


def test_completion_offers_placements() -> None:
    code = "import sys; sys.argv = ['grok']; from grok_cli.__main__ import main; main()"
    asked = {
        "_GROK_COMPLETE": "complete_bash",
        "COMP_WORDS": "grok train --ln-type attn-",
        "COMP_CWORD": "3",
    }
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.split() == ["attn-pre-qk", "attn-pre-v", "attn-pre"]
