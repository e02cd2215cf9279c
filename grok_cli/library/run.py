"""A run on this disk, and what can be asked of it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grok_cli.core.config import Config
from grok_cli.core.phases import PHASE_STEPS
from grok_cli.errors import GrokError, UsageError, cause, suggestion, warn
from grok_cli.library.settings import Settings, Shortcuts, settings_of
from grok_cli.results.group import side_by_side
from grok_cli.results.run import STEP
from grok_cli.results.series import read_series
from grok_cli.runs.directory import RunDir, snapshot_step

if TYPE_CHECKING:
    import polars as pl
    from torch import Tensor
    from typing_extensions import Unpack

    from grok_cli.core.data import Dataset
    from grok_cli.core.model import Transformer
    from grok_cli.runs.checkpoints import Snapshot

ROWS = ("all", "train", "test")


class Run:
    """A run in its directory. What is asked of it is read from the disk, as it is then.

    Attributes:
        path: the directory.

    Raises:
        UsageError: there is no run at `path`.

    Examples:
        >>> run = grok.Run("runs/add-off-s456-a97208b75a")
        >>> run
        Run('runs/add-off-s456-a97208b75a'), finished at step 60
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._files = RunDir(self.path)
        if not self._files.exists():
            self._files.config()  # says why not

    def __repr__(self) -> str:
        summary = self.summary
        return f"Run('{self.path}'), {summary['status']} at step {summary.get('step', 0)}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.path.resolve() == other.path.resolve()

    def __hash__(self) -> int:
        return hash(self.path.resolve())

    @property
    def config(self) -> Config:
        """Every setting of the run, frozen, in sections: `run.config.model.ln_type`.

        Raises:
            UsageError: config.yaml is damaged.

        Examples:
            >>> run.config.data.modulus, run.config.opt.learning_rate
            (13, 0.001)
        """
        return self._files.config()

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json with the present status: "new", "running", "interrupted",
        "finished" or "diverged"; times in seconds, accuracies as shares, losses in nats.

        Examples:
            >>> run.summary["status"], run.summary["step"]
            ('finished', 60)
        """
        return self._files.summary()

    @property
    def phases(self) -> dict[str, int | None]:
        """The step of each phase, None where it was not reached: memorised_at, generalised_at,
        sustained_at, delay (in steps, between the first two) and collapsed_at.

        Examples:
            >>> run.phases["generalised_at"] is None
            True
        """
        summary = self.summary
        return {phase: summary.get(phase) for phase in PHASE_STEPS}

    @property
    def dataset(self) -> "Dataset":
        """All pairs [a, b, =] (`.tokens` [batch 3]), their `.labels` [batch], and the row numbers
        `.train` and `.test`, on the CPU.

        Examples:
            >>> run.dataset.tokens.shape, len(run.dataset.train)
            (torch.Size([169, 3]), 51)
        """
        from grok_cli.core.data import Dataset

        return Dataset.of(self.config)

    @property
    def snapshots(self) -> list[int]:
        """The steps of which there are weights, in order.

        Examples:
            >>> run.snapshots
            [0, 1, 10, 20, 40, 50, 60]
        """
        return [snapshot_step(file) for file in self._files.snapshots()]

    def metrics(self) -> "pl.DataFrame":
        """What was measured, while training and afterwards: metrics.csv and measured.csv as one.

        Returns:
            A row a step, in order. Columns "step" (Int64) and one for each metric (Float64; losses
            in nats, accuracies as shares), empty where it was not measured. `.to_pandas()` makes a
            frame of pandas', with the extra [pandas].

        Raises:
            GrokError: a file is damaged.

        Examples:
            >>> run.metrics().select("step", "train/accuracy")["step"].max()
            60
        """
        import polars as pl

        files = (self._files.metrics_file, self._files.measured_file)
        series = read_series([file for file in files if file.exists() and file.stat().st_size])
        if not series:
            return pl.DataFrame(schema={STEP: pl.Int64})
        return side_by_side(list(series.values()))

    def snapshot(self, step: int | None = None) -> "Snapshot":
        """The weights nearest to a step, with `.step` and `.config`.

        Args:
            step: number of updates; None: the last there is. Where there is none of that step, a
                `GrokWarning` says which is the nearest.

        Raises:
            UsageError: the run has no snapshot.
            GrokError: it cannot be read.

        Examples:
            >>> run.snapshot(40).step, run.snapshot().step
            (40, 60)
        """
        from grok_cli.runs.checkpoints import load_snapshot

        steps = self.snapshots
        if not steps:
            raise UsageError(f"{self.path}: no snapshot there; `grok runs` lists runs")
        nearest = steps[-1] if step is None else min(steps, key=lambda known: abs(known - step))
        if step not in (None, nearest):
            warn(f"{self.path}: no snapshot of step {step}; step {nearest} is the nearest")
        return load_snapshot(self._files.snapshot_file(nearest))

    def model(self, step: int | None = None) -> "Transformer":
        """The network with the weights nearest to a step, on the CPU: a `torch.nn.Module`.

        `model(tokens)` [batch 3] -> logits [batch vocab]; `model.run_with_cache` reads and
        `model.run_with_hooks` replaces named steps of the forward pass.

        Args:
            step: as in `snapshot`, which says which one it is.

        Raises:
            UsageError: the run has no snapshot.
            GrokError: it cannot be read.

        Examples:
            >>> run.model(step=20)(run.dataset.tokens).shape
            torch.Size([169, 14])
        """
        return self.snapshot(step).model()

    def to_transformer_lens(self, step: int | None = None) -> Any:
        """The network as a HookedTransformer of TransformerLens, with the extra
        [transformer-lens]: `run.to_transformer_lens()(tokens)[:, -1]` are the logits.

        Args:
            step: as in `snapshot`.

        Raises:
            UsageError: a HookedTransformer cannot compute it (norms as in off, attn-pre, mlp-pre,
                pre and peri it can), the extra is not installed, or there is no snapshot.
            GrokError: the snapshot cannot be read.

        Examples:
            >>> network = run.to_transformer_lens()  # doctest: +SKIP
            >>> logits, cache = network.run_with_cache(run.dataset.tokens)  # doctest: +SKIP
        """
        from grok_cli.library.lens import hooked

        return hooked(self.model(step))

    def cache(
        self,
        step: int | None = None,
        rows: str = "all",
        names: str | Sequence[str] | None = None,
    ) -> "dict[str, Tensor]":
        """Every named activation of a forward pass, without gradients.

        Names and shapes are those of `grok_cli.core.steps`, for example "blocks.0.pattern" [batch
        head query key], "blocks.0.mlp_post" [batch pos hidden], "logits" [batch vocab].

        Args:
            step: as in `snapshot`.
            rows: "all", "train" or "test" pairs.
            names: those wanted; None: all.

        Raises:
            UsageError: the run has no snapshot, or there are no such rows, or no such name.
            GrokError: the snapshot cannot be read.

        Examples:
            >>> run.cache(step=60, rows="test")["blocks.0.pattern"].shape
            torch.Size([118, 2, 3, 3])
        """
        if rows not in ROWS:
            raise UsageError(f"rows={rows!r}: no such rows; {suggestion(rows, ROWS)}")
        dataset = self.dataset
        return self.model(step).run_with_cache(dataset.tokens[dataset.rows(rows)], names)

    def measure(self, names: str | Sequence[str]) -> "pl.DataFrame":
        """Compute diagnostics from every snapshot, as `grok measure` does.

        They are kept in the run's measured.csv, so that `metrics`, figures and exports have them.

        Args:
            names: of diagnostics; `grok measure --list` explains them.

        Returns:
            A row a snapshot: "step" (Int64) and the metrics (Float64; entropies and losses in
            nats), nan where the weights are not finite.

        Raises:
            UsageError: no such diagnostic, no snapshot, or none of step 0 where that is needed.
            GrokError: a snapshot cannot be read, or measured.csv not be written.

        Examples:
            >>> run.measure("attention")["step"].to_list()
            [0, 1, 10, 20, 40, 50, 60]
        """
        import polars as pl

        from grok_cli.runs.measuring import measure_snapshots

        wanted = [names] if isinstance(names, str) else list(names)
        files = self._files.snapshots()
        if not files:
            raise UsageError(f"{self.path}: no snapshot there; `grok runs` lists runs")
        try:
            rows = [
                {STEP: one.snapshot.step, **one.values} for one in measure_snapshots(files, wanted)
            ]
        except OSError as error:
            raise GrokError(f"cannot write {self._files.measured_file}: {cause(error)}") from None
        schema: dict[str, Any] = {key: pl.Float64 for row in rows for key in row}
        return pl.DataFrame(rows, schema=schema | {STEP: pl.Int64})

    def branch(
        self,
        at: int | str,
        settings: Settings = None,
        *,
        donor: "Run | None" = None,
        name: str | None = None,
        runs_dir: str | os.PathLike[str] = "runs",
        progress: bool | None = None,
        **shortcuts: "Unpack[Shortcuts]",
    ) -> "Run":
        """Leave this run after a step, change something there, and train on, as `grok branch` does.

        The first part of the branch is this run's own; a branch that changes nothing is this run
        to the last bit. The same call again goes on, and returns a finished branch at once.

        Args:
            at: a step (number of updates), "memorised", "generalised", or "memorised+200".
            settings: what changes, as in `grok.train`: settings that hold from then on, and
                "branch.freeze", "branch.scale" and the others of `grok docs branches`.
            donor: the run that gives the weights of "branch.transplant".
            name, runs_dir, progress, **shortcuts: as in `grok.train`; steps is the last step,
                counted from the start of this run.

        Raises:
            UsageError: no such step, a change that the weights do not allow, or this run is being
                trained.
            GrokError: the branch diverged, or the state of the step cannot be computed again here.
            KeyboardInterrupt: after saving.

        Examples:
            >>> run.branch(at=20, weight_decay=0.0, runs_dir="branches").metrics()["step"].max()
            60
        """
        from grok_cli.library.bringing import made_branch

        given = settings_of(settings, shortcuts, "run.branch")
        giver = None if donor is None else donor._files
        return Run(made_branch(self._files, at, given, giver, Path(runs_dir), name, progress))
