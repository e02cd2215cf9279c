"""The data set: all pairs of a task, and which of them are training pairs."""

import random
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from grok_cli.core.config import Config
from grok_cli.core.tasks import TASKS
from grok_cli.errors import UsageError


@dataclass(frozen=True)
class Dataset:
    """All pairs of a task as token rows [a, b, =] and their labels, and a split of them.

    Rows stand in row-major order (a outer, b inner). Where the operation is defined for every
    pair, row a * p + b is the pair (a, b), so that values over all rows reshape to a p x p grid.

    Attributes:
        p: number of elements; the token "=" has id p.
        vocab: number of tokens, which is also the number of classes. It is p + 1 unless the task
            has labels beyond that (sum-xor).
        tokens: token rows.
        labels: a ∘ b.
        train: row numbers of the training pairs, in the order of the shuffle.
        test: row numbers of the test pairs, in the order of the shuffle.
    """

    p: int
    vocab: int
    tokens: Int[Tensor, "batch 3"]
    labels: Int[Tensor, " batch"]
    train: Int[Tensor, " train"]
    test: Int[Tensor, " test"]

    @classmethod
    def of(cls, config: Config, device: torch.device | str = "cpu") -> "Dataset":
        """The data set of a run.

        The split is the published code's: row numbers shuffled by `random.Random(seed).shuffle`;
        the last int(test_ratio * n) are the test rows, those before them the training rows.

        Raises:
            UsageError: the task of another package gives a negative label.
        """
        p = config.data.modulus
        task = TASKS[config.data.task]
        pairs = task.pairs(p)
        labels = [task.apply(a, b, p) for a, b in pairs]
        if labels and min(labels) < 0:
            raise UsageError(f"task '{task.name}' has the label {min(labels)}; expected 0 or more")
        rows = shuffled(len(pairs), config.split_seed)
        n_train = len(rows) - int(config.data.test_ratio * len(rows))
        return cls(
            p=p,
            vocab=max(p, max(labels)) + 1,
            tokens=torch.tensor([[a, b, p] for a, b in pairs], device=device),
            labels=torch.tensor(labels, device=device),
            train=torch.tensor(rows[:n_train], device=device),
            test=torch.tensor(rows[n_train:], device=device),
        )

    def training_rows_of(self, split_seed: int) -> Int[Tensor, " train"]:
        """The training rows that the split of another seed has, in the order of its shuffle."""
        rows = shuffled(len(self.labels), split_seed)[: len(self.train)]
        return torch.tensor(rows, device=self.labels.device)

    def rows(self, split: str) -> Int[Tensor, " rows"]:
        """Row numbers of "train", "test" or "all"."""
        if split == "all":
            return torch.arange(len(self.labels), device=self.labels.device)
        return {"train": self.train, "test": self.test}[split]


def shuffled(count: int, seed: int) -> list[int]:
    """Row numbers in the order in which a split of that seed takes them."""
    rows = list(range(count))
    random.Random(seed).shuffle(rows)
    return rows
