"""Snapshots (weights and configuration) and resume states, read without running any code."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from grok_cli.core.config import Config
from grok_cli.core.data import Dataset
from grok_cli.core.fields import first_problem
from grok_cli.core.model import Transformer
from grok_cli.runs.tensor_files import CheckpointError, load_tensors, save_tensors

MISFIT = "its weights do not fit the model that its configuration describes"


@dataclass(frozen=True)
class Snapshot:
    """A model at a step, and the configuration of its run.

    Attributes:
        path: the file.
        step: number of updates.
        config: every setting of the run.
        weights: by name, on the CPU; matrices [out in], `embed` [vocab d], `pos` [pos d].

    Examples:
        >>> snapshot = run.snapshot(step=20)
        >>> snapshot.step, snapshot.path.name, snapshot.weights["embed"].shape
        (20, 'step_000020.pt', torch.Size([14, 16]))
    """

    path: Path
    step: int
    config: Config
    weights: dict[str, Tensor]

    def dataset(self) -> Dataset:
        """The run's data set, on the CPU.

        Examples:
            >>> run.snapshot().dataset().labels.shape
            torch.Size([169])
        """
        return Dataset.of(self.config)

    def model(self, vocab: int | None = None) -> Transformer:
        """The model with this snapshot's weights, on the CPU.

        Args:
            vocab: number of tokens; None: of the run's data set, which is then made.

        Raises:
            CheckpointError: it has another vocabulary. A `GrokError`.

        Examples:
            >>> run.snapshot().model()(run.dataset.tokens).shape
            torch.Size([169, 14])
        """
        vocab = self.dataset().vocab if vocab is None else vocab
        if len(self.weights["embed"]) != vocab:
            raise CheckpointError(f"{self.path}: {MISFIT}")
        model = Transformer(self.config.model, vocab).to(getattr(torch, self.config.train.dtype))
        model.load_state_dict(self.weights)
        return model


def save_snapshot(path: Path, step: int, config: Config, model: Transformer) -> None:
    """Write a snapshot: the weights on the CPU, the step, and the configuration."""
    content = {
        "step": step,
        # Read back from its text: pickle writes a string that is the same object elsewhere as a
        # reference, and a run that goes on must end with the same bytes.
        "config": json.loads(json.dumps(config.model_dump(mode="json"))),
        "weights": {name: tensor.cpu() for name, tensor in model.state_dict().items()},
    }
    save_tensors(path, content)


def load_snapshot(path: Path) -> Snapshot:
    """Read a snapshot.

    Raises:
        CheckpointError: no such file, damaged, holding code, or not a snapshot of a model of the
            size that its configuration describes.
    """
    content = load_tensors(path)
    if not isinstance(content, dict) or not {"step", "config", "weights"} <= content.keys():
        raise CheckpointError(f"{path}: not a snapshot of this program (no step, config, weights)")
    try:
        config = Config.recorded(dict(content["config"]))
    except ValidationError as error:
        raise CheckpointError(
            f"{path}: its configuration is not valid: {first_problem(error, Config)}"
        ) from None
    except (TypeError, ValueError):
        raise CheckpointError(f"{path}: damaged: its configuration has no sections") from None
    step, weights = content["step"], content["weights"]
    if type(step) is not int or not 0 <= step <= config.train.steps:
        raise CheckpointError(f"{path}: damaged: its step is none of its run's")
    if not isinstance(weights, dict) or not _fit(weights, config):
        raise CheckpointError(f"{path}: {MISFIT}")
    return Snapshot(path, step, config, weights)


def _fit(weights: dict[Any, Any], config: Config) -> bool:
    """Whether these are weights of the configuration's model; takes no memory of its size."""
    if not all(isinstance(w, Tensor) and w.is_floating_point() for w in weights.values()):
        return False
    vocab = len(weights["embed"]) if "embed" in weights and weights["embed"].dim() else 0
    with torch.device("meta"):
        expected = Transformer(config.model, vocab).state_dict()
    shapes = {name: tensor.shape for name, tensor in expected.items()}
    return vocab > config.data.modulus and {n: w.shape for n, w in weights.items()} == shapes
