"""Branches among runs: at which step each left its parent, and the parents."""

from collections.abc import Iterable
from pathlib import Path

from grok_cli.errors import UsageError
from grok_cli.results.disk import find_on_disk
from grok_cli.results.run import Run
from grok_cli.runs.directory import RunDir
from grok_cli.runs.files import read_json
from grok_cli.runs.relatives import find_relative

PARENT = "branch.parent"
AT = "branch.at"


def left_at(run: Run) -> int | None:
    """The step at which a branch left its parent; None if it is no branch, or not known."""
    at = run.settings.get(AT) if run.settings.get(PARENT) else None
    if isinstance(at, str) and run.path is not None:
        at = (read_json(RunDir(run.path).origin_file) or {}).get("step")
    return at if isinstance(at, int) else None


def parents_of(branches: Iterable[Run], problems: list[str]) -> list[Run]:
    """The runs that branches left, each once, read from the disk; of each that is not there any
    more a message goes to `problems`."""
    places: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for branch in branches:
        digest = str(branch.settings[PARENT])
        if branch.path is not None and digest not in places:
            try:
                places[digest] = find_relative(RunDir(branch.path), digest).path
            except UsageError as error:
                missing.setdefault(digest, str(error))
    problems += [message for digest, message in missing.items() if digest not in places]
    return find_on_disk(places.values(), problems, lambda run: True) if places else []
