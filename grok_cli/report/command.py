"""The command that makes a run, for a report."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from grok_cli.core.branch import BranchConfig
from grok_cli.core.config import KEYS, Config, affects_result
from grok_cli.runs.settings import flat_settings

# What a branch has that intervenes in nothing; the rest of its section stands in the command.
OF_NO_BRANCH = {
    f"branch.{key}": value
    for key, value in BranchConfig().model_dump(mode="json").items()
    if key not in ("parent", "at", "was")
}


def train_command(settings: Mapping[str, Any]) -> str:
    """The command that trains a run with these settings, on any machine; of a branch, one that
    has its parent."""
    default = flat_settings(Config())
    command = ["grok", "train"]
    if parent := settings.get("branch.parent"):
        command = ["grok", "branch", parent, "--at", str(settings["branch.at"])]
        default = {**settings, **OF_NO_BRANCH, **settings["branch.was"], "train.steps": None}
    for key in KEYS:
        value = settings.get(key)
        if affects_result(key) and value != default.get(key) and not key.startswith("wandb."):
            text = value if isinstance(value, str) else json.dumps(value)
            command += ["--set", f"{key}={text}"]
    return shlex.join(command)
