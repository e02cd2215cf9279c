"""What a run was computed with."""

import os
import platform
import shlex
import socket
import sys
import warnings
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from grok_cli.core.config import Config
from grok_cli.core.engines import FastEngine
from grok_cli.core.process import ProcessFacts
from grok_cli.core.training import Trainer
from grok_cli.errors import GrokWarning
from grok_cli.runs.directory import RunDir
from grok_cli.runs.files import read_json, write_json
from grok_cli.runs.sweep_record import git_commit
from grok_cli.version import __version__


def record_environment(run: RunDir, trainer: Trainer, process: ProcessFacts) -> None:
    """Add this session's facts to the run's environment.json, a list with an entry a session."""
    identity = trainer.config.identity()
    facts = environment(trainer, process) | {"from_step": trainer.step, "identity": identity}
    write_json(run.environment_file, [*run.sessions(), facts])


def trained_with(run: RunDir) -> str | None:
    """The kernels of the run's last session (of a branch before its first, those that it was begun
    with), if that was on a CPU."""
    session = (run.sessions() or [read_json(run.origin_file) or {}])[-1]
    if session.get("engine") != FastEngine.__name__ or session.get("device") != "cpu":
        return None
    return str(session.get("kernels", "torch"))  # as it was before there were others


def with_its_kernels(run: RunDir, config: Config) -> Config:
    """The configuration with which a run goes on: `run.kernels: auto` are those that it has."""
    kernels = trained_with(run)
    if kernels is None or config.run.kernels != "auto":
        return config
    update = {"run": config.run.model_copy(update={"kernels": kernels})}
    return config.model_copy(update=update)


def warn_of_other_kernels(run: RunDir, trainer: Trainer) -> None:
    """Say so if a run goes on with other kernels than it had."""
    before, now = trained_with(run), trainer.engine.kernels
    if before not in (None, now) and isinstance(trainer.engine, FastEngine):
        warnings.warn(
            f"{run.path}: goes on with run.kernels {now} and had {before}: from step "
            f"{trainer.step + 1} on, last digits of float32 are others than they would have been",
            GrokWarning,
            stacklevel=2,
        )


def environment(trainer: Trainer, process: ProcessFacts) -> dict[str, Any]:
    """Versions, hardware, threads and command of this process."""
    device = trainer.device
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(["grok", *sys.argv[1:]]),
        "grok_cli": __version__,
        "git": git_commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "host": socket.gethostname(),
        "system": platform.platform(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        **asdict(process),
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "engine": type(trainer.engine).__name__,
        "kernels": trainer.engine.kernels,
        "loss_dtype": trainer.config.train.loss_dtype,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
