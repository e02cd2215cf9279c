"""Columns that once had another name."""

from pathlib import Path

import pytest

from grok_cli.core.training import Trainer
from grok_cli.diagnostics.columns import present_column
from grok_cli.diagnostics.registry import DIAGNOSTICS
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


PART = ("weight", "grad", "update", "from_init")
SPECTRUM = ("alpha", "stable_ranks", "effective_ranks", "ranks")
# Group -> metrics of a network of one layer and two heads without norms.
METRICS = {
    "alpha_req": [
        f"{m}_{split}"
        for m in ("rank", "stable_rank", "alpha", "effective_rank")
        for split in ("train", "test")
    ],
    "attention": [
        *("attn_score_entropy", "answer_out_effective_rank", "answer_entropy"),
        *(f"head{h}_{kind}" for h in (0, 1) for kind in ("entropy", "answer_entropy")),
        "published_rows_entropy",
    ],
    "circularity": ["embed"],
    "fourier": ["col_energy", "embed_gini", "unembed_gini", "embed_key_count", "embed_top_share"],
    "heads": ["qk_cosine", "ov_cosine"],
    "hessian": ["max_eigenval", "smallest_eigenval"],
    "htsr": [
        *SPECTRUM,
        *(f"layer0.{w}/{m}" for w in ("q", "k", "v", "out", "w_in", "w_out") for m in SPECTRUM),
        *(f"{table}/{m}" for table in ("embed", "unembed") for m in SPECTRUM),
    ],
    "norms": [
        f"{part}/{kind}"
        for part in ("embed", "pos", "layer0.attn", "layer0.mlp", "unembed")
        for kind in PART
    ],
    "ntk": ["relative_distance", "ntk_init_fro", "full_relative_distance"],
    "numerics": [
        "logit_scale",
        *(f"softmax_collapse_{t}" for t in ("float16", "bfloat16", "float32", "float64")),
    ],
    "progress": ["restricted_loss", "excluded_loss", "key_count", "key_variance"],
    "symmetry": ["distance_irrelevance", "gradient_symmetricity"],
    "test": ["top2_margin", "spec_loss", "spec_accuracy"],
    "train": ["top2_margin", "spec_loss", "spec_accuracy"],
}


def test_names_of_metrics_are_those_that_scripts_and_old_tables_have() -> None:
    config = small_config().model
    found = [column for name in DIAGNOSTICS for column in DIAGNOSTICS[name].columns(config)]
    known = [f"{group}/{metric}" for group, metrics in METRICS.items() for metric in metrics]
    assert sorted(found) == sorted(known)


def test_an_old_run_that_goes_on_writes_under_its_old_titles(tmp_path: Path) -> None:
    config = small_config()
    recorder = RunRecorder(RunDir(tmp_path), config)
    recorder.columns = ("step", "hessian/min_eigenval")  # as `resume` takes them from the state
    recorder.start(Trainer(config), ["hessian/smallest_eigenval"])
    recorder.rows([{"step": 1, "hessian/smallest_eigenval": -2.0}])
    recorder.close()
    assert (tmp_path / "metrics.csv").read_text() == "step,hessian/min_eigenval\n1,-2.0\n"
