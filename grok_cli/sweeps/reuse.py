"""A run is trained once: what another sweep trained is found by what it computes, and linked.

Equal runs are those of equal `Config.digest()`, whatever their directories are called and
whatever was measured on the way. In the sweep's directory stands a symbolic link to the run, so
that everything that reads runs reads it, too; measures that it lacks are computed from its
snapshots.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from grok_cli.errors import GrokError, UsageError, cause
from grok_cli.runs.directory import DONE, RunDir, find_runs


class TrainedRuns:
    """The runs of directories that were trained, wholly or in part, by their digest."""

    def __init__(self, runs: Iterable[RunDir] = ()) -> None:
        self._by_digest: dict[str, list[RunDir]] = {}
        seen: set[Path] = set()
        for found in runs:
            run = RunDir(os.path.realpath(found.path))
            if run.path in seen:
                continue
            seen.add(run.path)
            try:
                digest = run.config().digest()
            except GrokError:  # damaged, which is the matter of who reads it
                continue
            self._by_digest.setdefault(digest, []).append(run)

    def find(self, digest: str) -> RunDir | None:
        """The run of that digest that is nearest to its end; None if there is none.

        One that is not done, or not begun, counts if it can be gone on with where it is: a sweep
        makes a directory only when it starts the run.
        """
        ranked = [
            (rank, -order, run)
            for order, run in enumerate(self._by_digest.get(digest, []))
            if (rank := _rank(run)) is not None and _named_rightly(run, digest)
        ]
        return max(ranked, key=lambda entry: entry[:2])[2] if ranked else None


def _rank(run: RunDir) -> tuple[int, int] | None:
    """How far a run is: finished, diverged, running, then by steps; None: it cannot go on."""
    try:
        summary = run.summary()
    except OSError:  # of somebody else
        return None
    status, step = summary["status"], summary.get("step", 0)
    if status in DONE:
        return 3 - DONE.index(status), 0
    if not os.access(run.path, os.W_OK):
        return None
    if status == "new":
        return -1, 0
    return int(status == "running"), step if isinstance(step, int) else 0


def _named_rightly(run: RunDir, digest: str) -> bool:
    """Whether the run is what its config.yaml says, which may have been edited.

    A directory that is named by another digest is of an earlier version of this program, or was
    edited: then its last snapshot, which holds the configuration it was trained with, decides.
    """
    if run.named_digest in (None, digest):
        return True
    from grok_cli.runs.checkpoints import load_snapshot

    try:
        return load_snapshot(run.snapshots()[-1]).config.digest() == digest
    except (GrokError, IndexError, OSError):
        return False


def runs_beside(directory: Path) -> Iterator[RunDir]:
    """The runs of the directories beside a sweep's: of each, itself or what is directly in it."""
    parent, own = directory.absolute().parent, directory.absolute()
    for folder in _folders(parent):
        if folder == own:
            continue
        for path in (folder, *_folders(folder)):
            if (run := RunDir(path)).exists():
                yield run
                if path == folder:
                    break


def same_run_in(parent: Path, path: Path, digest: str) -> RunDir | None:
    """The run of that digest that stands by now under the name of `path` in another folder of
    `parent`: another sweep started it meanwhile. None if there is none."""
    found = (RunDir(folder / path.name) for folder in _folders(parent.absolute()))
    own = path.absolute()
    return TrainedRuns(run for run in found if run.path != own and run.exists()).find(digest)


def runs_named(directories: Iterable[Path]) -> Iterator[RunDir]:
    """The runs at or below directories that were named with --reuse.

    Raises:
        UsageError: there is no such directory, or no run in it.
    """
    for directory in directories:
        found = list(find_runs(directory))
        if not found:
            what = "holds no runs" if directory.is_dir() else "no such directory"
            raise UsageError(f"--reuse {directory}: {what}; expected a directory of runs")
        yield from found


def _folders(parent: Path) -> list[Path]:
    try:
        entries = sorted(os.scandir(parent), key=lambda entry: entry.name)
        return [Path(e.path) for e in entries if e.is_dir() and not e.name.startswith(".")]
    except OSError:
        return []


def link_run(path: Path, target: Path) -> None:
    """Have `path` lead to the run at `target`: relative to it where both are below the parent of
    the sweep's directory, so that they can be moved together.

    Raises:
        UsageError: something else is in the way, or there are no links here.
    """
    folder, target = path.parent.resolve(), target.resolve()
    near = target.is_relative_to(folder.parent)
    text = os.path.relpath(target, folder) if near else str(target)
    draft = path.with_name(f".{path.name}.{os.getpid()}.link")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():  # its run is gone, or it is this very link
            draft.symlink_to(text)
            draft.replace(path)
        else:
            path.symlink_to(text)
    except FileExistsError:
        if path.resolve() != target:
            raise UsageError(
                f"{path} is in the way of a link to {target}; move it, or give --no-reuse"
            ) from None
    except OSError as error:
        raise UsageError(
            f"cannot link {path} to {target}: {cause(error)}; --no-reuse trains the run anew"
        ) from None
    finally:
        draft.unlink(missing_ok=True)
