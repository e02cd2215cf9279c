"""Columns that once had another name."""

from pathlib import Path

import pytest

from grok_cli.core.training import Trainer
from grok_cli.diagnostics.columns import present_column
from grok_cli.runs.directory import RunDir
from grok_cli.runs.recorder import RunRecorder
from tests.conftest import small_config


@pytest.mark.parametrize(
    ("old", "present"),
    [
        ("attention/attn_out_eff_rank", "attention/answer_out_effective_rank"),
        ("attention/layer2/attn_out_eff_rank", "attention/layer2/answer_out_effective_rank"),
        ("hessian/min_eigenval", "hessian/smallest_eigenval"),
        ("test/loss", "test/loss"),
        ("step", "step"),
    ],
)
def test_a_former_name_is_known_and_the_present_one_stays(old: str, present: str) -> None:
    assert present_column(old) == present
    assert present_column(present) == present


def test_an_old_run_that_goes_on_writes_under_its_old_titles(tmp_path: Path) -> None:
    config = small_config()
    recorder = RunRecorder(RunDir(tmp_path), config)
    recorder.columns = ("step", "hessian/min_eigenval")  # as `resume` takes them from the state
    recorder.start(Trainer(config), ["hessian/smallest_eigenval"])
    recorder.rows([{"step": 1, "hessian/smallest_eigenval": -2.0}])
    recorder.close()
    assert (tmp_path / "metrics.csv").read_text() == "step,hessian/min_eigenval\n1,-2.0\n"
