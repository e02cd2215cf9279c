"""Snapshots (weights and configuration) and resume states, read without running any code."""

import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from grok_cli.core.config import Config
from grok_cli.core.data import Dataset
from grok_cli.core.fields import explain
from grok_cli.core.model import Transformer
from grok_cli.errors import GrokError
from grok_cli.runs.files import write_atomically


class CheckpointError(GrokError):
    """A file that cannot be used as a snapshot or resume state; the message says why."""


@dataclass(frozen=True)
class Snapshot:
    """A model at a step, and the configuration of its run."""

    path: Path
    step: int
    config: Config
    weights: dict[str, Tensor]

    def dataset(self) -> Dataset:
        """The run's data set, on the CPU."""
        return Dataset.of(self.config)

    def model(self, vocab: int) -> Transformer:
        """The model with this snapshot's weights, on the CPU.

        Raises:
            CheckpointError: the weights are not those of such a model.
        """
        model = Transformer(self.config.model, vocab).to(getattr(torch, self.config.train.dtype))
        try:
            model.load_state_dict(self.weights)
        except (RuntimeError, TypeError, AttributeError):
            raise CheckpointError(
                f"{self.path}: its weights do not fit the model that its configuration describes"
            ) from None
        return model


def save_snapshot(path: Path, step: int, config: Config, model: Transformer) -> None:
    """Write a snapshot: the weights on the CPU, the step, and the configuration."""
    content = {
        "step": step,
        "config": config.model_dump(mode="json"),
        "weights": {name: tensor.cpu() for name, tensor in model.state_dict().items()},
    }
    write_atomically(path, lambda file: torch.save(content, file))


def load_snapshot(path: Path) -> Snapshot:
    """Read a snapshot.

    Raises:
        CheckpointError: no such file, truncated, holding code, or not a snapshot.
    """
    content = load_tensors(path)
    if not isinstance(content, dict) or not {"step", "config", "weights"} <= content.keys():
        raise CheckpointError(f"{path}: not a snapshot of this program (no step, config, weights)")
    try:
        config = Config.recorded(content["config"])
    except ValidationError as error:
        raise CheckpointError(
            f"{path}: its configuration is not valid: {explain(error, Config)}"
        ) from None
    if not isinstance(content["step"], int) or not isinstance(content["weights"], dict):
        raise CheckpointError(f"{path}: damaged: its step is no number, or its weights no weights")
    return Snapshot(path, content["step"], config, content["weights"])


def load_tensors(path: Path) -> Any:
    """What `torch.save` wrote: tensors and plain values only.

    Raises:
        CheckpointError: no such file, truncated, or holding code.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path}: truncated, or not a PyTorch file")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path}: damaged, or holds objects other than tensors, which could run code; refused"
        ) from None
    except (RuntimeError, EOFError, OSError, zipfile.BadZipFile):
        raise CheckpointError(f"{path}: damaged, or not a PyTorch file") from None
