"""The command that makes a run, for a report."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from grok_cli.core.config import KEYS, Config, affects_result
from grok_cli.runs.settings import flat_settings


def train_command(settings: Mapping[str, Any]) -> str:
    """The command that trains a run with these settings, on any machine; of a branch, one that
    has its parent."""
    default = flat_settings(Config())
    command = ["grok", "train"]
    if parent := settings.get("branch.parent"):
        command = ["grok", "branch", parent, "--at", str(settings["branch.at"])]
        origin = ("branch.parent", "branch.at", "branch.was")
        usual = {k: v for k, v in settings.items() if k in origin or not k.startswith("branch.")}
        default = {**usual, **settings.get("branch.was", {}), "train.steps": None}
    for key in KEYS:
        value = settings.get(key)
        if affects_result(key) and value != default.get(key) and not key.startswith("wandb."):
            text = value if isinstance(value, str) else json.dumps(value)
            command += ["--set", f"{key}={text}"]
    return shlex.join(command)
