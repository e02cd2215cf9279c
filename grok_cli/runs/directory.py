"""A run directory: what is in it, and how each file is read.

config.yaml        the resolved configuration
environment.json   versions, hardware, threads and command of each session of training
metrics.csv        a row a step; one header; empty cells where nothing was measured
measured.csv       diagnostics computed afterwards from snapshots (only if there are any)
summary.json       status, phases, last metrics, speed
snapshots/         step_000200.pt: weights after 200 updates, and the configuration
resume.pt          the state from which training goes on
resume.previous.pt the one before, for when that one is damaged
claim.json         who is training it, while somebody is
states/            step_000500.pt: states that are kept, from which branches start
origin.json        of a branch: where its parent is, and at which step it left
log.txt            what workers of a sweep printed
wandb.json         which W&B run it is, and the last step logged there (only with W&B)
wandb/             W&B's own files (only with W&B)

In a sweep's directory, a run that another sweep trained is a link to that one's run directory.
"""

import os
import re
import shlex
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from grok_cli.core.config import BEFORE_INIT_DRAWS, IDENTITY, Config, digest_of
from grok_cli.errors import GrokWarning, UsageError, cause
from grok_cli.runs.claim import live_owner
from grok_cli.runs.files import read_entries, read_json, write_text
from grok_cli.runs.settings import build_config, dump_config, flatten, read_yaml

RUN_NAME = re.compile(r".+-s\d+-([0-9a-f]{10})")  # as Config.run_name() makes them
_NO_SNAPSHOT = (
    ": no snapshot there; expected a snapshot file, a run directory or a glob "
    "(`grok runs DIR` lists runs)"
)
DONE = ("finished", "diverged")  # statuses after which there is nothing left to train


class RunDirectoryError(UsageError):
    """A directory is not what it should be; the message says what to do."""


class RunDir:
    """The files of one run."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config_file = self.path / "config.yaml"
        self.environment_file = self.path / "environment.json"
        self.metrics_file = self.path / "metrics.csv"
        self.measured_file = self.path / "measured.csv"
        self.summary_file = self.path / "summary.json"
        self.resume_file = self.path / "resume.pt"
        self.previous_file = self.path / "resume.previous.pt"
        self.origin_file = self.path / "origin.json"
        self.states_dir = self.path / "states"
        self.log_file = self.path / "log.txt"
        self.wandb_file = self.path / "wandb.json"
        self.snapshots_dir = self.path / "snapshots"

    @property
    def named_digest(self) -> str | None:
        """The digest in the directory's name; None if it was named otherwise."""
        named = RUN_NAME.fullmatch(self.path.name)
        return named[1] if named else None

    def exists(self) -> bool:
        return os.path.isfile(self.config_file)  # noqa: PTH113 -- no, where nobody lets us look

    def has_begun(self) -> bool:
        """Whether something was trained here, or is being trained."""
        kept = (self.metrics_file, self.resume_file, self.snapshots_dir)
        return any(path.exists() for path in kept) or self.owner() is not None

    def owner(self) -> dict[str, str | int] | None:
        """Who trains the run at present; None if no live process does."""
        return live_owner(self.path / "claim.json")

    def write_config(self, config: Config) -> None:
        """Make the directory, with the configuration in it.

        Raises:
            UsageError: it cannot be made.
        """
        with self.being_made():
            write_text(self.config_file, dump_config(config))

    @contextmanager
    def being_made(self) -> Iterator[None]:
        """The directory is there, for its first file; UsageError if either cannot be made."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            raise UsageError(
                f"cannot make {self.path}: {cause(error)}; choose another --runs-dir"
            ) from None

    def config(self) -> Config:
        """The run's configuration.

        Raises:
            RunDirectoryError: there is no run here.
        """
        if not self.exists():
            if self.path.is_symlink():
                raise RunDirectoryError(
                    f"{self.path} is a link to {self.path.readlink()}, where no run is any more; "
                    "put the run back there, or delete the link, and `grok sweep` trains the run "
                    "here"
                )
            if self.path.is_dir() and not os.access(self.path, os.X_OK):
                raise RunDirectoryError(f"{self.path} cannot be looked into: permission denied")
            raise RunDirectoryError(f"{self.path} is not a run directory: it has no config.yaml")
        sections = read_yaml(self.config_file)
        if not sections.keys() >= set(Config().identity()):
            raise RunDirectoryError(
                f"{self.config_file} is damaged: it does not state all sections"
            )
        earlier = {f"model.{key}": value for key, value in BEFORE_INIT_DRAWS.items()}
        return build_config(
            earlier | flatten(sections, str(self.config_file)), str(self.config_file)
        )

    def recorded_summary(self) -> dict[str, Any]:
        """The content of summary.json; status "new" where nothing was trained yet.

        A damaged summary.json counts as one of an interrupted run, which going on writes anew.
        """
        summary = read_json(self.summary_file)
        if summary is None:
            return {"status": "interrupted" if self.resume_file.exists() else "new"}
        known = (*DONE, "running", "interrupted")
        return summary if summary.get("status") in known else summary | {"status": "interrupted"}

    def summary(self) -> dict[str, Any]:
        """`recorded_summary()` with the present status.

        A run that recorded "running" but that no live process claims was killed: "interrupted".
        """
        summary = self.recorded_summary()
        if self.owner() is not None:
            summary["status"] = "running"
        elif summary["status"] == "running":
            summary["status"] = "interrupted"
        return summary

    def refuse_changes(self, changed: list[str], source: Path) -> None:
        """Raise RunDirectoryError if settings differ from those that training began with.

        Args:
            changed: what `changed_settings` found.
            source: the file that says what they were.
        """
        if changed:
            raise RunDirectoryError(
                f"{self.config_file} is not what this run was started with: {'; '.join(changed)} "
                f"(by {source.name}); put that back, or start a new run with `grok train`"
            )

    def check_identity(self) -> Config:
        """The run's configuration, if it is the one that the run was started with.

        Raises:
            RunDirectoryError: it was edited: the message names the settings, or that the
                directory's name is of other settings.
        """
        config = self.config()
        for session in reversed(self.sessions()):
            if isinstance(session.get("identity"), dict):
                try:
                    began = Config.recorded(session["identity"])
                except ValidationError:
                    break
                self.refuse_changes(changed_settings(began, config), self.environment_file)
                break
        named = self.named_digest
        if named and named not in (config.digest(), self._digest_as_stated(config)):
            raise RunDirectoryError(
                f"{self.config_file} was edited: its settings have the digest {config.digest()}, "
                f"the directory's name says {named}; put the settings back, or rename the "
                "directory"
            )
        return config

    def _digest_as_stated(self, config: Config) -> str:
        """The digest without the settings that config.yaml leaves out, which came later."""
        stated = flatten(read_yaml(self.config_file), str(self.config_file))
        return digest_of(
            {
                section: {key: v for key, v in values.items() if f"{section}.{key}" in stated}
                for section, values in config.identity().items()
            }
        )

    def sessions(self) -> list[dict[str, Any]]:
        """The facts of each session of training, the first first; [] if none or damaged."""
        return read_entries(self.environment_file)

    def start_over(self) -> str:
        """What to do where the resume state cannot be used, for messages."""
        return f"to train this run from step 0 again, delete {self.resume_file}"

    def snapshot_file(self, step: int) -> Path:
        return self.snapshots_dir / f"step_{step:06d}.pt"

    def state_file(self, step: int) -> Path:
        return self.states_dir / f"step_{step:06d}.pt"

    def snapshots(self) -> list[Path]:
        """The snapshot files in order of their step."""
        return sorted(self.snapshots_dir.glob("step_*.pt"), key=snapshot_step)


def create_run(path: Path, config: Config) -> RunDir:
    """Make the directory of a new run; one in which nothing was trained yet is taken over.

    Raises:
        UsageError: there is a run already, or something else is in the way.
    """
    run = RunDir(path)
    if run.exists() and run.has_begun():
        status = run.summary()["status"]
        go_on = f"go on with `grok train --resume {shlex.quote(str(path))}`, or "
        done = status in DONE
        raise UsageError(
            f"{path} holds a run already ({status}); {'' if done else go_on}choose another --name"
        )
    run.write_config(config)
    return run


def check_name(name: str) -> str:
    """The name, if a directory of runs can hold a run of that name.

    Raises:
        UsageError: it is empty, more than one component of a path, "." or "..", begins with a
            hyphen, or holds control characters.
    """
    is_plain = name.isprintable() and len(os.fsencode(name)) <= 255
    if not is_plain or name in ("", ".", "..") or name.startswith("-") or {"/", os.sep} & set(name):
        raise UsageError(
            f"--name {name!r}: expected the plain name of a directory, such as my-run: no slash, "
            "no hyphen in front, no control characters; --runs-dir says where it is made"
        )
    return name


def changed_settings(began: Config, config: Config) -> list[str]:
    """The settings of a run's identity that differ, as "section.key: 1, and was 2"."""
    was, now = began.model_dump(mode="json"), config.model_dump(mode="json")
    found = []
    for section in IDENTITY:
        mine, theirs = now.get(section, {}), was.get(section, {})
        found += [
            f"{section}.{key}: {mine.get(key)!r}, and was {theirs.get(key)!r}"
            for key in {**mine, **theirs}
            if mine.get(key) != theirs.get(key)
        ]
    return found


def snapshot_step(path: Path) -> int:
    """The step that a snapshot's file name states; -1 if it states none."""
    match = re.fullmatch(r"step_(\d+)\.pt", path.name)
    return int(match[1]) if match else -1


def run_of_snapshot(path: Path) -> RunDir | None:
    """The run that a snapshot file belongs to; None if the file stands alone."""
    run = RunDir(path.parent.parent)
    return run if path.parent.name == run.snapshots_dir.name and run.exists() else None


def find_runs(root: Path) -> Iterator[RunDir]:
    """The run directories at or below `root`, in order of their path; none lies in another.

    Links to runs are followed, but each run comes once: a link to a run that is itself below
    `root` is left out. A link whose run is gone comes, too, and so does a directory with a run's
    name that cannot be looked into; its `config()` says so.
    """
    yield from _runs_below(Path(root), Path(os.path.realpath(root)), set())


def _runs_below(folder: Path, root: Path, linked: set[Path]) -> Iterator[RunDir]:
    """The runs of a folder of the tree at `root`; `linked` holds those that links led to."""
    if RunDir(folder).exists():
        yield RunDir(folder)  # W&B keeps files of that name, too: nothing below counts
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        if RunDir(folder).named_digest:
            yield RunDir(folder)
        return
    for entry in entries:
        path = folder / entry.name
        if entry.is_symlink():
            run, target = RunDir(path), Path(os.path.realpath(path))  # which takes links in a ring
            gone = not os.path.exists(path) and run.named_digest  # noqa: PTH110
            if (run.exists() or gone) and not target.is_relative_to(root) | (target in linked):
                linked.add(target)
                yield run
        elif entry.is_dir():
            yield from _runs_below(path, root, linked)


def paths_of(text: str | Path) -> list[Path]:
    """The paths that a path or glob means: what exists under that name, or what matches.

    The folders above that exist are meant as they are called, so that "[1]/*" finds what is there.
    """
    path = Path(text)
    if path.exists():
        return [path]
    above = next((folder for folder in path.parents if folder.exists()), Path())
    return [above / match for match in sorted(glob(str(path.relative_to(above)), root_dir=above))]


def find_snapshots(paths: Sequence[str]) -> list[Path]:
    """The snapshot files that paths mean, each once: files, run directories, directories of runs,
    or globs of these.

    What holds none, beside others that do, is left out with a warning: a shell makes "runs/*" of
    everything there, reports and records of sweeps included.

    Raises:
        UsageError: a path is not there, or none holds a snapshot.
    """
    found: list[Path] = []
    without: list[Path] = []
    for text in paths:
        matches = paths_of(text)
        if not matches:
            raise UsageError(f"{text}{_NO_SNAPSHOT}")
        for match in matches:
            files = _snapshots_in(match, alone=len(paths) == len(matches) == 1)
            found += files
            without += [] if files else [match]
    if not found:
        raise UsageError(f"{' '.join(map(str, paths))}{_NO_SNAPSHOT}")
    for match in without:
        warnings.warn(f"{match}: no snapshot there; left out", GrokWarning, stacklevel=2)
    return list(dict.fromkeys(found))


def _snapshots_in(place: Path, alone: bool) -> list[Path]:
    """The snapshots of a file, a run or a directory; a file of any name is one if it is alone."""
    if place.is_file():
        return [place] if alone or place.suffix == ".pt" else []
    files = [file for run in find_runs(place) for file in run.snapshots()]
    return files or sorted(place.glob("step_*.pt"), key=snapshot_step)
