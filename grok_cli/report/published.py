"""Published numbers, and which runs may be compared with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from grok_cli.core.config import Config
from grok_cli.figures.names import PLACEMENT
from grok_cli.runs.groups import SEEDS
from grok_cli.runs.settings import flat_settings, read_yaml

FILE = Path(__file__).with_name("published.yaml")
# Settings of the train section that change how a network trains (as against how it is watched).
TRAINING = ("train.batch_size", "train.dtype", "train.loss_dtype")


@dataclass(frozen=True)
class PublishedGroup:
    """The published runs of a placement; all numbers are steps.

    Attributes:
        mean_accuracy, mean_loss: where the mean curve over the seeds crosses test accuracy 0.995,
            test loss 0.01.
        earliest: where the highest curve of a seed has test accuracy 0.995, which is when the
            first seed has.
        latest: where the lowest curve has. That is when the last seed first has, or later, if by
            then another one has fallen below again.
    """

    placement: str
    mean_accuracy: int
    mean_loss: int
    earliest: int
    latest: int


@dataclass(frozen=True)
class Published:
    """All published numbers, with their source.

    Attributes:
        seeds: how many runs a group has.
        groups: by placement.
    """

    source: str
    seeds: int
    groups: dict[str, PublishedGroup]


@cache
def published() -> Published:
    """The published numbers."""
    content = read_yaml(FILE)
    groups = {
        placement: PublishedGroup(placement, **numbers)
        for placement, numbers in content["groups"].items()
    }
    return Published(content["source"].strip(), len(content["seeds"]), groups)


def follows_protocol(settings: Mapping[str, Any]) -> bool:
    """Whether a run differs from the published ones in nothing but placement, seed and length.

    The defaults are the published protocol.
    """
    default = flat_settings(Config())
    return all(
        settings.get(key) == value
        for key, value in default.items()
        if (key.startswith(("data.", "model.", "opt.")) or key in TRAINING)
        and key not in (PLACEMENT, *SEEDS)
    ) and settings.get("data.split_seed") in (None, settings.get("train.seed"))
