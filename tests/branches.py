"""Tiny runs and branches of them, and whether two of them are the same."""

import hashlib
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from grok_cli.runs.branching import branch_config, check_branch, create_branch
from grok_cli.runs.checkpoints import load_snapshot
from grok_cli.runs.directory import RunDir, create_run
from grok_cli.runs.launch import train_run
from grok_cli.runs.tensor_files import load_tensors
from tests.conftest import small_config

STEPS = 30
TINY = {
    "data__modulus": 7,
    "data__test_ratio": 0.4,
    "model__d_model": 8,
    "train__steps": STEPS,
    "train__eval_every": 4,
    "train__snapshot_every": 10,
    "run__save_every": 11,
}


def trained(path: Path, **changes: Any) -> RunDir:
    config = small_config(**(TINY | changes))
    run = create_run(path, config)
    assert train_run(run, config).status == "finished"
    return run


def branched(
    parent: RunDir, at: int | str, changes: dict[str, Any] | None = None, name: str = "branch"
) -> RunDir:
    config = branch_config(parent.config(), at, changes or {})
    check_branch(config, parent.config())
    run = create_branch(parent.path.parent / name, config, parent)
    assert train_run(run, config).status == "finished"
    return run


def fingerprint(run: RunDir) -> dict[str, str]:
    files = [file for file in sorted(run.path.rglob("*")) if file.is_file()]
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def weights(run: RunDir, step: int = STEPS) -> dict[str, torch.Tensor]:
    return load_snapshot(run.snapshot_file(step)).weights


def moments(run: RunDir) -> Any:
    return load_tensors(run.resume_file)["optimizer"]


def same(one: RunDir, two: RunDir) -> bool:
    """Whether metrics are the same bytes, and weights and moments the same bits, to the end."""

    def tensors(run: RunDir) -> list[torch.Tensor]:
        return [*weights(run).values(), *chain(*moments(run).values())]

    pairs = zip(tensors(one), tensors(two), strict=True)
    return one.metrics_file.read_bytes() == two.metrics_file.read_bytes() and all(
        a.equal(b) for a, b in pairs
    )
