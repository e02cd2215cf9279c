"""sweep.json: the commands by which a directory of runs was made, so that they can be repeated.

A list with an entry a command, the last one last:

    {"command": "grok sweep ...", "spec": name, file or null, "runs": how many,
     "started": UTC, "grok_cli": version, "git": commit or null}
"""

import subprocess
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

from grok_cli.runs.files import read_entries, write_json
from grok_cli.version import __version__

NAME = "sweep.json"


def read_records(directory: Path) -> list[dict[str, Any]]:
    """The entries of a directory's sweep.json; [] if there is none, or it is damaged."""
    entries = read_entries(directory / NAME)
    return [entry for entry in entries if isinstance(entry.get("command"), str)]


def record_sweep(directory: Path, command: str, spec: str | None, runs: int) -> None:
    """Make the directory, and write the command into its sweep.json; a command that is there
    already moves to the end, with the time at which it was first given.

    Raises:
        OSError: it cannot be written.
    """
    entries = {entry["command"]: entry for entry in read_records(directory)}
    entry = {
        "command": command,
        "spec": spec,
        "runs": runs,
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "grok_cli": __version__,
        "git": git_commit(),
    }
    entries[command] = entry | entries.pop(command, {})
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / NAME, list(entries.values()))


@cache
def git_commit() -> str | None:
    """The commit of this program's checkout, "+" behind it if files differ; None without one."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", "-C", str(checkout), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return commit + ("+" if git("status", "--porcelain", "-uno", "grok_cli") else "")
    except (OSError, subprocess.SubprocessError):
        return None
