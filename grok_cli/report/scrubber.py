"""What the page's slider moves through: curves of runs, and looks into some of their networks."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grok_cli.errors import GrokError
from grok_cli.figures.chart import Chart
from grok_cli.figures.packed import Blob, pack_frames, palettes
from grok_cli.figures.scale import spread_out
from grok_cli.figures.svg import script_json
from grok_cli.report.report import Report
from grok_cli.results import Run
from grok_cli.runs.directory import RunDir

CURVES = {"accuracy": False, "loss": True}  # and whether their axis is logarithmic
SPLITS = ("train", "test")
MOST_RUNS = 40  # that can be chosen
POINTS = 240  # of a curve
FRAMES, MOST_FRAMES = 28, 400  # of a run, and of all runs
USUAL = 6  # runs that are looked into unless asked otherwise

# Of snapshots their steps, captions and panels.
Frames = tuple[list[int], list[str], list[list[Chart]]]
LookInto = Callable[[Sequence[Path]], Frames]


@dataclass(frozen=True)
class Scrubber:
    """For the page.

    Attributes:
        head: JSON: runs, their curves and panels, and where their numbers lie.
        numbers: these, as `Blob.text`.
        looked: how many runs are looked into.
    """

    head: str
    numbers: str
    looked: int


def look_into(files: Sequence[Path], keys: Sequence[int] | None = None) -> Frames:
    """Snapshots of a run; one that cannot be read is left out.

    Args:
        keys: as in `insides`.
    """
    from grok_cli.figures.network import caption, panels  # with torch, which takes 200 MB
    from grok_cli.runs.measuring import insides

    steps, captions, charts = [], [], []
    try:
        for snapshot, inside in insides(files, keys):
            steps.append(snapshot.step)
            captions.append(caption(inside))
            charts.append(panels(inside))
    except GrokError:
        sound = [file for file in files if _readable(file)]
        return look_into(sound, keys) if len(sound) < len(files) else ([], [], [])
    return steps, captions, charts


def _readable(file: Path) -> bool:
    from grok_cli.runs.checkpoints import load_snapshot

    try:
        load_snapshot(file)
    except GrokError:
        return False
    return True


def make_scrubber(
    report: Report, inside: int | None = None, look: LookInto = look_into
) -> Scrubber | None:
    """The runs of a report, as the page's slider shows them; None if none measured anything.

    Args:
        inside: how many runs are looked into, at up to 28 of their snapshots; None: one seed of
            each group, at most six. Those of one seed come first, so that groups can be compared.
        look: looks into snapshots of a run.
    """
    known = {run.name: run for run in report.runs if run.metrics()}
    if not known:
        return None
    order = _by_seed(report)
    chosen = order[:MOST_RUNS]
    looked = [run for run in order if _snapshots(run)]
    if inside is None:
        seeds = [run.seed for run in looked]
        looked = looked[: min(USUAL, seeds.count(seeds[0]) if seeds else 0)]
    else:
        looked = looked[:inside]
    chosen = [run for run in chosen if run not in looked][: MOST_RUNS - len(looked)] + looked
    chosen = [run for run in report.runs if run in chosen]  # as they stand in the tables
    blob = Blob()
    frames = min(FRAMES, MOST_FRAMES // max(len(looked), 1))
    runs = [_run(report, run, blob, frames if run in looked else 0, look) for run in chosen]
    head = {"runs": runs, "colours": palettes(), "curves": CURVES}
    return Scrubber(script_json(head), blob.text(), sum("panels" in run for run in runs))


def _by_seed(report: Report) -> list[Run]:
    """Runs with metrics: one seed after the other, the seed of most groups first."""
    runs = [run for run in report.runs if run.metrics()]
    seeds = list(dict.fromkeys(str(run.seed) for run in runs))
    count = {seed: sum(str(run.seed) == seed for run in runs) for seed in seeds}
    return sorted(runs, key=lambda run: (-count[str(run.seed)], seeds.index(str(run.seed))))


def _snapshots(run: Run) -> list[Path]:
    return RunDir(run.path).snapshots() if run.path else []


def _run(report: Report, run: Run, blob: Blob, frames: int, look: LookInto) -> dict[str, Any]:
    """A run: its name, group, curves, and its frames, if there are any."""
    place = next(i for i, group in enumerate(report.results.groups) if run in group.runs)
    group = report.legend.keys[place]
    told: dict[str, Any] = {
        "name": run.name,
        "group": group.name,
        "seed": str(run.seed),
        "colour": group.look.colour,
        "status": run.status,
        "curves": list(_curves(run, blob)),
    }
    files = _snapshots(run) if frames else []
    if files:
        places = np.unique(np.linspace(0, len(files) - 1, min(frames, len(files))).round())
        some = [files[int(place)] for place in places]
        steps, captions, charts = look(some)
        if steps:
            told |= {"steps": steps, "captions": captions, "panels": pack_frames(charts, blob)}
    return told


def _curves(run: Run, blob: Blob) -> Iterator[dict[str, Any]]:
    for what, log in CURVES.items():
        for split in SPLITS:
            metric = f"{split}/{what}"
            if metric not in run.metrics():
                continue
            steps, values = run.arrays(metric)
            if not len(steps):
                continue
            some = spread_out(len(steps), POINTS)
            yield {
                "metric": what,
                "split": split,
                "steps": {"at": blob.add(steps[some].astype("<u4")), "n": len(some)},
                "values": blob.levels(values[some].astype(np.float64), log=log, fine=True),
            }
