"""The runs that a branch comes from: found by path, name or digest, also when they have moved."""

import os
from collections.abc import Iterable
from pathlib import Path

from grok_cli.core.branch import AFTER_PHASE
from grok_cli.core.config import Config
from grok_cli.errors import GrokError, UsageError, did_you_mean
from grok_cli.runs.directory import RunDir, find_runs
from grok_cli.runs.files import read_json, write_json


def note_origin(run: RunDir, config: Config, parent: RunDir, donor: RunDir | None) -> None:
    """Write where parent and donor of a branch are, relative to it; makes its directory.

    Raises:
        UsageError: that cannot be made.
    """
    places = {config.branch.parent: parent.path}
    if donor is not None:
        places[config.branch.donor] = donor.path
    there = os.path.realpath(run.path)
    content = {
        "places": {
            digest: os.path.relpath(os.path.realpath(place), there)
            for digest, place in places.items()
        }
    }
    with run.being_made():
        write_json(run.origin_file, content)


def find_relative(run: RunDir, digest: str) -> RunDir:
    """The run of that digest, from which a branch was made: where it was, or beside the branch, or
    in a folder beside that.

    Raises:
        UsageError: it is in none of these places.
    """
    places = (read_json(run.origin_file) or {}).get("places")
    noted = places.get(digest) if isinstance(places, dict) else None
    if isinstance(noted, str):
        found = RunDir(os.path.normpath(Path(os.path.realpath(run.path)) / noted))
        if digest in digests(found):
            return found
    folder = run.path.absolute().parent
    for near in (folder, folder.parent):
        for path in sorted(near.glob("*/config.yaml" if near == folder else "*/*/config.yaml")):
            if digest in digests(RunDir(path.parent)):
                return RunDir(path.parent)
    was = f" It was at {os.path.normpath(run.path / noted)}." if isinstance(noted, str) else ""
    raise UsageError(
        f"{run.path}: the run {digest}, from which it is made, is not there any more.{was} Put it "
        f"back, or beside {run.path}"
    )


def digests(run: RunDir) -> set[str]:
    """The digests by which a run is known: of its settings, and that in its name, which may be of
    an earlier version; none if there is no run."""
    try:
        found = {run.check_identity().digest()}
    except GrokError:
        return set()
    return found | ({run.named_digest} if run.named_digest else set())


def find_run(text: str, roots: Iterable[Path] = (Path("runs"),)) -> RunDir:
    """The run that a path, a name or a digest means.

    Args:
        roots: where names and digests are looked for.

    Raises:
        UsageError: none, or several.
    """
    if RunDir(text).exists():
        return RunDir(text)
    if Path(text).exists() or "/" in text:
        RunDir(text).config()  # says why not
    runs = [run for root in roots for run in find_runs(root)]
    by_name = [run for run in runs if run.path.name == text]
    found = by_name or [run for run in runs if text in digests(run)]
    places = {os.path.realpath(run.path): run for run in found}
    if len(places) == 1:
        return next(iter(places.values()))
    where = ", ".join(map(str, roots))
    if places:
        several = ", ".join(str(run.path) for run in places.values())
        raise UsageError(f"{text}: several runs are called so: {several}; expected one of them")
    hint = did_you_mean(text, [run.path.name for run in runs])
    raise UsageError(
        f"{text}: no run of that path, name or digest in {where}; "
        f"{hint or '`grok runs` lists runs'}"
    )


def step_of(at: int | str, run: RunDir) -> int:
    """The step of a run that is meant: a number, the end, or a phase and steps after it.

    Raises:
        UsageError: the run has not reached it, or is being trained.
    """
    owner = run.owner()
    if owner is not None:
        raise UsageError(
            f"{run.path} is being trained by process {owner['pid']} on {owner['host']}; a branch "
            "leaves a run that nobody trains: wait for it, or stop it first"
        )
    if isinstance(at, int):
        return at
    if not run.exists():
        run.config()  # says so
    summary = run.summary()
    if at == "end":
        return int(summary.get("step") or 0)
    match = AFTER_PHASE.fullmatch(at)
    assert match is not None
    reached = summary.get(f"{match[1]}_at")
    if not isinstance(reached, int):
        raise UsageError(
            f"{run.path} has not {match[1]} (it is at step {summary.get('step', 0)}); expected a "
            "step as a number, or a run that has"
        )
    return reached + int(match[2] or 0)


def check_step(parent: RunDir, config: Config) -> None:
    """Raise UsageError, before anything is written, where a branch has no step to leave at, or
    none after it."""
    step, trained = step_of(config.branch.at, parent), parent.summary().get("step", 0)
    if step > trained:
        raise UsageError(
            f"{parent.path} has no step {step}: it was trained up to step {trained}; expected at "
            "most that"
        )
    if step > config.train.steps:
        raise UsageError(
            f"train.steps: {config.train.steps} is less than step {step}, at which the branch "
            f"leaves {parent.path}; expected more"
        )
