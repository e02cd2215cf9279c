"""Branches: the parent's part stays, what was changed changes, and the parent is not touched."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from grok_cli.core.config import Config
from grok_cli.errors import UsageError
from grok_cli.runs.branching import branch_config, create_branch
from grok_cli.runs.claim import Claim
from grok_cli.runs.directory import RunDir
from grok_cli.runs.files import read_json
from grok_cli.runs.launch import train_run
from grok_cli.runs.relatives import find_run
from grok_cli.runs.tensor_files import load_tensors, save_tensors
from tests.branches import STEPS, branched, fingerprint, same, trained, weights


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run without norms that keeps the state of step 12, and measures."""
    return trained(
        tmp_path_factory.mktemp("runs") / "parent",
        run__state_at=[12],
        measure__diagnostics={"rank": 5, "ntk": 10},
    )


CASES = [(p, engine) for p in ("off", "mlp-pre", "peri") for engine in ("plain", "fast")]


@pytest.mark.parametrize(("placement", "engine"), CASES)
def test_branch_that_changes_nothing_is_its_parent_to_the_last_bit(
    placement: str, engine: str, tmp_path: Path
) -> None:
    """Left at any step: each step is that of one of the cases."""
    parent = trained(
        tmp_path / "parent",
        model__ln_type=placement,
        run__engine=engine,
        run__save_every=25,
        train__snapshot_every=STEPS,
    )
    before = fingerprint(parent)
    for step in range(CASES.index((placement, engine)), STEPS + 1, len(CASES)):
        branch = branched(parent, step, name=f"at-{step}")
        assert same(branch, parent), step
        final = [RunDir(r.path).summary()["final"] for r in (branch, parent)]
        assert final[0] == final[1]
    assert fingerprint(parent) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"train__batch_size": 5},
        {"train__dtype": "float64"},
        {"model__subtract_init": True},
        {"model__unembed": "tied", "model__final_norm": "on"},
        {"train__eval_spacing": "log"},
    ],
)
def test_other_kinds_of_runs_go_on_the_same(changes: dict[str, Any], tmp_path: Path) -> None:
    parent = trained(tmp_path / "parent", **changes)
    assert same(branched(parent, 17), parent)


def test_branch_has_the_kernels_of_its_parent(tmp_path: Path) -> None:
    """A parent that began with others than it would begin with today goes on to the same bits."""
    parent = trained(tmp_path / "parent", run__kernels="numba", run__threads=1)
    branch = branched(parent, 13, {"run.kernels": "auto"})
    assert branch.sessions()[-1]["kernels"] == parent.sessions()[-1]["kernels"] == "numba"
    assert same(branch, parent)


def test_branch_may_ask_for_other_kernels(tmp_path: Path) -> None:
    parent = trained(tmp_path / "parent", run__kernels="numba", run__threads=1)
    branch = branched(parent, 13, {"run.kernels": "torch"})
    assert branch.sessions()[-1]["kernels"] == "torch"


def test_branch_of_a_branch_goes_on_the_same(parent: RunDir, tmp_path: Path) -> None:
    far = RunDir(shutil.copytree(parent.path, tmp_path / "far" / "off" / "parent"))
    changes = {"branch.freeze": ["pos"], "branch.scale": 0.5}
    first = branched(far, 10, changes, "../../deep/er/first")  # not beside its parent
    second = branched(first, 13, name="second")
    assert same(second, first)
    assert same(branched(first, 10, name="at once"), first)
    assert not same(first, parent)
    third = branched(first, 6, {"branch.freeze": []}, name="third")  # before the first one left
    assert same(third, parent)


def test_first_part_is_the_parents_own(parent: RunDir) -> None:
    branch = branched(parent, 14, {"opt.learning_rate": 0.01}, "own")
    theirs, mine = (run.metrics_file.read_text().splitlines() for run in (parent, branch))
    assert mine[:15] == theirs[:15]
    assert mine[15].split(",")[1:4] == theirs[15].split(",")[1:4]  # before the update
    assert mine[16] != theirs[16]
    for step in (0, 1, 10):
        one, two = (run.snapshot_file(step) for run in (parent, branch))
        assert one.samefile(two)
    assert (read_json(branch.origin_file) or {})["state_of_step"] == 12
    assert branch.sessions()[0]["from_step"] == 14


def test_a_branch_knows_the_phases_before_it_and_keeps_them_when_it_goes_on(
    parent: RunDir, tmp_path: Path
) -> None:
    own = RunDir(shutil.copytree(parent.path, tmp_path / "parent"))
    state = load_tensors(own.state_file(12))
    own.state_file(12).unlink()
    save_tensors(own.state_file(12), state | {"phases": state["phases"] | {"memorised": 5}})
    config = branch_config(own.config(), 12, {"train.steps": 16})
    run = create_branch(tmp_path / "branch", config, own)
    stop = iter([False, True])
    assert train_run(run, config, should_stop=lambda: next(stop)).status == "interrupted"
    assert run.summary()["memorised_at"] == 5
    assert train_run(run, config).status == "finished"
    assert run.summary()["memorised_at"] == 5


def test_more_can_be_measured_from_the_branch_on(parent: RunDir) -> None:
    branch = branched(parent, 14, {"measure.diagnostics": {"rank": 5, "fourier": 5}}, "measured")
    theirs, mine = (run.metrics_file.read_text().splitlines() for run in (parent, branch))
    added = len(mine[0].split(",")) - len(theirs[0].split(","))
    assert added > 0
    assert mine[14] == theirs[14] + "," * added
    assert mine[20].split(",")[-added] != ""


@pytest.mark.parametrize(
    "changes",
    [
        {"opt.weight_decay": 0.0},
        {"opt.learning_rate": 0.01},
        {"opt.beta2": 0.9},
        {"data.split_seed": 5},
        {"data.test_ratio": 0.5},
        {"train.batch_size": 4},
        {"train.loss_dtype": "float32"},
        {"train.dtype": "float64"},
        {"model.ln_type": "pre", "model.norm_eps": 1e-5},
        {"model.activation": "relu"},
        {"branch.freeze": ["embedding"]},
        {"branch.reset_moments": True},
        {"branch.scale": 0.5},
        {"branch.perturb": 0.1},
        {"branch.frequencies": "only", "branch.which_frequencies": [2]},
        {"branch.frequencies": "without"},
    ],
    ids=str,
)
def test_a_change_changes_what_comes_after_and_the_name(
    changes: dict[str, Any], parent: RunDir
) -> None:
    name = hashlib.sha256(repr(changes).encode()).hexdigest()
    branch = branched(parent, 12, changes, name)
    theirs, mine = (run.metrics_file.read_text().splitlines() for run in (parent, branch))
    assert mine[:13] == theirs[:13]
    assert mine[14:] != theirs[14:]
    plain = branch_config(parent.config(), 12, {})
    assert branch.config().digest() != plain.digest()
    assert branch.config().branch.was.keys() == {
        key for key in changes if not key.startswith("branch.")
    }


def test_frozen_parameters_stay(parent: RunDir) -> None:
    branch = branched(parent, 10, {"branch.freeze": ["embedding", "blocks.*.attn.out"]}, "frozen")
    then, now = weights(parent, 10), weights(branch)
    stayed = {name for name in then if then[name].equal(now[name])}
    assert stayed == {"embed", "blocks.0.attn.out"}
    header, *rows = branch.metrics_file.read_text().splitlines()
    place = header.split(",").index("grads/weight_norm")
    norms = [float(row.split(",")[place]) for row in rows]
    assert norms[10] == pytest.approx(norms[9], rel=0.02)  # of all parameters, as before


def test_a_norm_that_is_switched_on_has_gain_1_and_one_switched_off_is_gone(
    tmp_path: Path,
) -> None:
    parent = trained(tmp_path / "parent", model__norm_eps=1e-5)
    on = branched(parent, STEPS, {"model.ln_type": "mlp-pre", "train.steps": STEPS}, "on")
    state = load_tensors(on.resume_file)["weights"]
    assert state["blocks.0.norms.mlp_in.gain"].equal(torch.ones(8))
    assert state["blocks.0.norms.mlp_in.bias"].equal(torch.zeros(8))
    assert state["embed"].equal(weights(parent)["embed"])
    further = branched(parent, 10, {"model.ln_type": "mlp-pre"}, "further")
    off = branched(further, 20, {"model.ln_type": "off"}, "off")
    assert weights(off).keys() == weights(parent).keys()
    frozen = branched(further, 20, {"branch.freeze": ["norms"]}, "frozen")
    gain = "blocks.0.norms.mlp_in.gain"
    assert weights(frozen)[gain].equal(weights(frozen, 20)[gain])


def test_dtype_twins_start_from_the_same_numbers(parent: RunDir) -> None:
    twin = branched(parent, STEPS, {"train.dtype": "float64", "train.steps": STEPS}, "twin")
    state = load_tensors(twin.resume_file)
    for name, weight in weights(parent).items():
        assert state["weights"][name].dtype == torch.float64
        assert state["weights"][name].equal(weight.double())


def test_transplant_takes_the_donors_weights(parent: RunDir, tmp_path: Path) -> None:
    donor = trained(tmp_path / "donor", train__seed=9)
    for at in (0, 12):
        config = branch_config(
            parent.config(),
            at,
            {
                "branch.transplant": ["embedding", "mlp"],
                "branch.donor": donor.config().digest(),
                "train.steps": at or 1,
            },
        )
        run = create_branch(tmp_path / f"at-{at}", config, parent, donor)
        train_run(run, config)
        now = weights(run, 0) if at == 0 else load_tensors(run.resume_file)["weights"]
        mine, theirs = weights(parent, 0), weights(donor)
        assert now["embed"].equal(theirs["embed"])
        assert now["blocks.0.mlp.b_in"].equal(theirs["blocks.0.mlp.b_in"])
        if at == 0:
            assert now["unembed"].equal(mine["unembed"])


def test_parent_is_found_where_it_has_moved_to(tmp_path: Path) -> None:
    parent = trained(tmp_path / "a" / "parent")
    config = branch_config(parent.config(), 5, {})
    run = create_branch(tmp_path / "b" / "branch", config, parent)
    shutil.move(parent.path, tmp_path / "b" / "renamed")
    assert train_run(run, config).status == "finished"
    assert find_run(config.branch.parent or "", [tmp_path]).path.name == "renamed"


def test_parent_that_is_gone_is_a_message_and_a_begun_branch_needs_it_no_more(
    tmp_path: Path,
) -> None:
    runs = tmp_path / "a" / "b"
    parent = trained(runs / "parent")
    config = branch_config(parent.config(), 5, {})
    begun = create_branch(runs / "begun", config, parent)
    stop = iter([False] * 5 + [True] * 100)
    assert train_run(begun, config, should_stop=lambda: next(stop)).status == "interrupted"
    late = create_branch(runs / "late", config, parent)
    shutil.rmtree(parent.path)
    assert train_run(begun, config).status == "finished"
    with pytest.raises(UsageError, match=f"the run {config.branch.parent}, .* not there any more"):
        train_run(late, config)


def test_parent_that_is_being_trained_is_refused(tmp_path: Path) -> None:
    parent = trained(tmp_path / "parent")
    config = branch_config(parent.config(), 9, {})
    run = create_branch(tmp_path / "branch", config, parent)
    with Claim(parent.path), pytest.raises(UsageError, match="is being trained by process"):
        train_run(run, config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.modulus": 11}, "data.modulus: decides which weights there are"),
        ({"model.mlp_type": "gated"}, "expected 'plain' as there"),
        ({"data.task": "sum-xor"}, "embed has the shape"),
        ({"train.seed": 1}, "decides the first weights"),
        ({"branch.freeze": ["embeding"]}, "did you mean embedding"),
        ({"branch.freeze": ["*"]}, "nothing is left to train"),
        ({"branch.scale": -1}, "branch.scale"),
        ({"branch.frequencies": "only", "branch.which_frequencies": [4]}, "expected 1 to 3"),
        ({"train.steps": 5}, "branch.at: 9 is more than train.steps"),
        ({"branch.transplant": ["embed"]}, "belong together"),
    ],
    ids=str,
)
def test_changes_that_cannot_be_made_are_one_message(
    changes: dict[str, Any], message: str, parent: RunDir, tmp_path: Path
) -> None:
    before = fingerprint(parent)
    shutil.copytree(parent.path, tmp_path / "parent")
    with pytest.raises(UsageError, match=message):
        branched(RunDir(tmp_path / "parent"), 9, changes)
    assert fingerprint(parent) == before


def test_only_branches_have_the_section() -> None:
    plain = Config()
    assert "branch" not in plain.model_dump()
    assert plain.digest() == "4d36bd0181"  # as before there were branches


def test_a_missing_step_is_a_message(
    typed: Callable[..., Any], parent: RunDir, tmp_path: Path
) -> None:
    asked = typed("branch", str(parent.path), "--at", "31", "--steps", "40")
    assert asked.returncode == 2
    assert "was trained up to step 30" in asked.stderr
    assert typed("branch", "nothing", "--at", "3").returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_command_makes_a_branch_and_resumes_it(
    typed: Callable[..., Any], parent: RunDir, tmp_path: Path
) -> None:
    made = typed("branch", str(parent.path), "--at", "9", "--weight-decay", "0", "-q")
    assert made.returncode == 0, made.stderr
    run = RunDir(tmp_path / made.stdout.strip())
    assert "-at-9-s456-" in run.path.name
    assert run.config().branch.was == {"opt.weight_decay": 1.0}
    again = typed("train", "--resume", str(run.path), "-q")
    assert again.returncode == 0
    changed = typed("train", "--resume", str(run.path), "--set", "branch.scale=2")
    assert "a resumed run keeps it" in changed.stderr


def test_what_a_branch_leaves_at_its_default_is_no_part_of_its_name(parent: RunDir) -> None:
    config = branch_config(parent.config(), 5, {"branch.perturb": 0.1})
    assert config.identity()["branch"] == {
        "parent": parent.config().digest(),
        "at": 5,
        "perturb": 0.1,
    }
    assert Config.model_validate(config.model_dump(mode="json")) == config
