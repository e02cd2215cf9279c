"""A branch: a run whose first part is its parent's.

It is a run directory like any other, whose configuration has the section `branch`. Whoever trains
it first begins it: rows and snapshots up to the branch are taken from the parent, and the parent's
state there, changed, is written as the state to go on from. That is written last, so that a process
that is killed before leaves nothing but what the next one does again, and from then on a branch
needs its parent no more. Files of the parent are read and never changed.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grok_cli.core.branch import BEHIND, LENGTH
from grok_cli.core.config import Config, affects_result
from grok_cli.errors import UsageError
from grok_cli.runs.directory import RunDir, create_run, snapshot_step
from grok_cli.runs.files import read_json, write_json, write_text
from grok_cli.runs.relatives import check_step, find_relative, note_origin, step_of
from grok_cli.runs.settings import build_config, flat_settings

if TYPE_CHECKING:
    from torch import Tensor

    from grok_cli.core.interventions import State
    from grok_cli.core.training import Trainer


def branch_config(
    mine: Config,
    at: int | str,
    changes: Mapping[str, Any],
    source: str | Mapping[str, str] = "branch",
) -> Config:
    """The configuration of a branch.

    Args:
        mine: that of the parent.
        at: as `branch.at`.
        changes: {"section.key": value}.
        source: where they come from, for messages; or where that of each key does.

    Raises:
        UsageError: a change that is not valid, or that a branch cannot make.
    """
    stored = flat_settings(mine) | {"wandb.name": None}
    own = {key: value for key, value in stored.items() if not key.startswith("branch.")}
    own["branch.freeze"] = list(mine.branch.freeze)  # which goes on
    values = {**own, **changes, "branch.parent": mine.digest(), "branch.at": at}
    wanted = flat_settings(build_config(values, source))
    for key, what in BEHIND.items():
        if wanted[key] != stored[key]:
            raise UsageError(
                f"{key}: decides {what} in a run, and a branch has those of its parent; expected "
                f"{stored[key]!r} as there, or a run of its own by `grok train`"
            )
    was = {
        key: value
        for key, value in stored.items()
        if affects_result(key)
        and not key.startswith("branch.")
        and key not in LENGTH
        and wanted[key] != value
    }
    return build_config(values | {"branch.was": was}, source)


def plan_branch(
    parent: RunDir,
    at: int | str,
    changes: Mapping[str, Any],
    source: str | Mapping[str, str],
    donor: RunDir | None = None,
) -> Config:
    """The configuration of a branch of a run, which it can leave so.

    Args:
        at, changes, source: as in `branch_config`.
        donor: the run that gives the weights of `branch.transplant`.

    Raises:
        UsageError: a change that is not valid, or that the weights do not allow, or no such step.
    """
    theirs = parent.check_identity()
    if donor is not None:
        changes = {**changes, "branch.donor": donor.check_identity().digest()}
    config = branch_config(theirs, at, changes, source)
    check_branch(config, theirs)
    check_step(parent, config)
    return config


def changes_nothing(config: Config, parent: Config) -> bool:
    """Whether a branch computes what its parent did, for as long."""
    plain = branch_config(parent, config.branch.at, {})
    return config.identity() == plain.identity()


def check_branch(config: Config, parent: Config) -> None:
    """Raise UsageError if the parent's weights do not allow the changes of a branch."""
    import torch

    from grok_cli.core.data import Dataset
    from grok_cli.core.interventions import State, adapted, parameters_named
    from grok_cli.core.model import Transformer

    def empty(config: Config) -> State:
        vocab = Dataset.of(config).vocab
        with torch.device("meta"):
            return State(Transformer(config.model, vocab).state_dict(), {})

    state = adapted(empty(parent), empty(config))
    for key in ("transplant", "parameters", "freeze"):
        parameters_named(getattr(config.branch, key), state.weights, f"branch.{key}")


def create_branch(
    path: Path, config: Config, parent: RunDir, donor: RunDir | None = None
) -> RunDir:
    """Make the directory of a branch, and note where its parent is.

    Raises:
        UsageError: there is a run already, or something else is in the way.
    """
    run = RunDir(path)
    if not run.has_begun():
        note_origin(run, config, parent, donor)  # first: whoever finds the run can begin it
    return create_run(path, config)


def begin(run: RunDir, trainer: "Trainer", should_stop: Callable[[], bool] = lambda: False) -> bool:
    """Write the first part of a branch: its parent's rows and snapshots, and the state to go on
    from. Returns whether that is done; False: it was told to stop before.

    Args:
        trainer: of the branch, as it is made.

    Raises:
        UsageError: the parent is gone, is being trained, or has no such step, or the weights do
            not allow a change.
        GrokError: the parent's state cannot be computed again here.
    """
    from grok_cli.core.interventions import Given, adapted, intervene, optimizer_state
    from grok_cli.runs.recorder import state_of
    from grok_cli.runs.states import keep_state, rows_until, trainer_at
    from grok_cli.runs.tensor_files import save_tensors

    config = trainer.config
    branch = config.branch
    assert branch.parent is not None
    parent = find_relative(run, branch.parent)
    check_step(parent, config)
    step = step_of(branch.at, parent)
    source = _who_trained(parent, step)
    found = trainer_at(source, _here(source, config), step, should_stop)
    donor = _donor_weights(run, config, should_stop)
    if found is None or donor is None:
        return False
    grown, start = found
    state = adapted(_by_name(grown), _by_name(trainer))
    frequencies = _frequencies(config, state.weights["embed"][: trainer.dataset.p])
    state = intervene(state, branch, Given(trainer.dataset.p, donor, frequencies))
    step_of(branch.at, parent)  # nobody has gone on with it meanwhile

    rows = rows_until(parent, step).widened(config.measure.diagnostics, config.model)
    text = rows.text()
    _take_snapshots(run, parent, step)
    write_text(run.metrics_file, text)
    engine = {
        "engine": type(trainer.engine).__name__,
        "kernels": trainer.engine.kernels,
        "device": str(trainer.device),
    }
    facts = {"step": step, "state_of_step": start} | engine
    write_json(run.origin_file, (read_json(run.origin_file) or {}) | facts)
    changed = {
        "step": step,
        "weights": state.weights,
        "optimizer": optimizer_state(trainer.optimizer.state(), state.moments),
        "phases": grown.phases.state(),
    }
    newest = rows.newest()
    save_tensors(run.resume_file, state_of(changed, config, rows.columns, len(text), newest, 0.0))
    keep_state(run, step)  # branches of this branch start from it
    return True


def _who_trained(run: RunDir, step: int) -> RunDir:
    """The run that was at this step when the step was trained: of a branch, perhaps its parent."""
    while (left_at := (read_json(run.origin_file) or {}).get("step")) is not None:
        digest = run.check_identity().branch.parent
        if digest is None or step >= left_at:
            break
        run = find_relative(run, digest)
    return run


def _here(parent: RunDir, config: Config) -> Config:
    """The parent's configuration, on the device of the branch."""
    theirs = parent.check_identity()
    return theirs.model_copy(
        update={"run": theirs.run.model_copy(update={"device": config.run.device})}
    )


def _by_name(trainer: "Trainer") -> "State":
    """A trainer's state, its moments by the names of their parameters."""
    from grok_cli.core.interventions import State, moments_of

    state = trainer.state()
    return State(dict(state["weights"]), moments_of(state["optimizer"], list(trainer.updated)))


def _donor_weights(
    run: RunDir, config: Config, should_stop: Callable[[], bool]
) -> "dict[str, Tensor] | None":
    """The weights to be transplanted, {} if none are; None: told to stop before they were there."""
    from grok_cli.runs.checkpoints import load_snapshot
    from grok_cli.runs.states import trainer_at

    if config.branch.donor is None:
        return {}
    donor = find_relative(run, config.branch.donor)
    step = step_of(config.branch.donor_at, donor)
    if donor.snapshot_file(step).exists():
        return load_snapshot(donor.snapshot_file(step)).weights
    donor = _who_trained(donor, step)
    found = trainer_at(donor, _here(donor, config), step, should_stop)
    return None if found is None else found[0].model.state_dict()


def _frequencies(config: Config, table: "Tensor") -> list[int]:
    """The frequencies that `branch.frequencies` is about; of none given, the embedding's own.

    Raises:
        UsageError: there is no such frequency.
    """
    from grok_cli.diagnostics.waves import key_frequencies, shares

    if config.branch.frequencies == "all":
        return []
    found = list(config.branch.which_frequencies) or key_frequencies(shares(table)).tolist()
    if max(found) > len(table) // 2:
        raise UsageError(
            f"branch.which_frequencies: {max(found)}: expected 1 to {len(table) // 2}, half of "
            f"data.modulus = {len(table)}"
        )
    return found


def _take_snapshots(run: RunDir, parent: RunDir, step: int) -> None:
    """The parent's snapshots up to a step, as the branch's."""
    from grok_cli.runs.states import link_or_copy

    run.snapshots_dir.mkdir(exist_ok=True)
    for file in parent.snapshots():
        if snapshot_step(file) <= step:
            link_or_copy(file, run.snapshot_file(snapshot_step(file)))
