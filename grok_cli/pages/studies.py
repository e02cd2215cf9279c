"""The pages of the studies: question, commands, published numbers, and what came out here."""

import math
import re
from pathlib import Path

import grok_cli
from grok_cli.pages.markdown import code, escaped, page, table
from grok_cli.report.published import Milestones, PublishedGroup, published
from grok_cli.runs.settings import flat_settings
from grok_cli.sweeps.plan import PlannedRun, plan_runs
from grok_cli.sweeps.spec import read_spec, study_files
from grok_cli.sweeps.studies import find_study

TITLE = "Every study"
INTRODUCTION = """\
A study is a sweep that comes with the program: `grok sweep NAME` runs it, and goes on with it when
it was interrupted; `grok report runs/NAME` writes the page with its verdict and its figures. For
the impatient: `grok sweep NAME --seeds 1 --until-grokked`. `grok docs figures` says more. The time
is that of training all runs one after another, on the machine that the study's page names.
"""
# Reports that were kept (`grok report --compact`), in a checkout; an installed package has none.
KEPT = Path(grok_cli.__file__).parents[1] / "examples/studies"
NOT_YET = "not run in full yet"
ELSEWHERE = "in the repository, under examples/studies, if it was run in full"


def every() -> str:
    """The page that lists them."""
    rows = []
    for file in study_files():
        spec, runs = read_spec(file), _runs(file)
        name = f"[`{file.stem}`](study-{file.stem}.md)"
        time = (_time(file.stem) or ["–"])[0]
        rows.append([name, escaped(spec.question), str(len(runs)), time, _verdict(file.stem)])
    heading = ["study", "question", "runs", "time (h:min:s)", "what came out"]
    return page(TITLE, INTRODUCTION, table(heading, rows))


def one(name: str) -> str:
    """The page of a study.

    Raises:
        UsageError: there is none of that name.
    """
    file = find_study(name)
    spec, runs = read_spec(file), _runs(file)
    steps = sorted({run.config.train.steps for run in runs})
    commands = f"$ grok sweep {name}\n$ grok report runs/{name}"
    time = _time(name)
    took = f"They took {time[0]} here, one after another ({time[1]}). " if time else ""
    size = (
        f"{len(runs)} runs of {' or '.join(f'{count:,}' for count in steps)} steps. {took}`grok "
        f"sweep {name} --dry-run` estimates the time on your machine, and says what is trained "
        "already."
    )
    return page(
        f"Study {name}",
        f"**{escaped(spec.question)}**\n\nSource: {escaped(spec.source)}.",
        f"{code(commands, 'console')}\n{size}",
        f"## What came out here\n\n{_kept(name)}",
        _published(runs),
        f"## The file\n\n`grok studies copy {name} mine.yaml` starts one of your own.\n\n"
        f"{code(file.read_text(encoding='utf-8'), 'yaml')}",
    )


def figures(name: str) -> list[Path]:
    """The pictures of the report that was kept of a study."""
    return sorted((KEPT / name).glob("*.png"))


def _runs(file: Path) -> list[PlannedRun]:
    return list(plan_runs(read_spec(file), {}, None, Path("runs") / file.stem))


def _report(name: str) -> str | None:
    file = KEPT / name / "README.md"
    return file.read_text(encoding="utf-8") if file.exists() else None


def _time(name: str) -> tuple[str, str] | None:
    """How long the runs of a report that was kept took to train, and on what machine."""
    line = r"^Training time of all runs, one after another: (.+?); (.+)\.$"
    found = re.search(line, _report(name) or "", re.MULTILINE)
    return (found[1], found[2]) if found else None


def _verdict(name: str) -> str:
    """The sentence of the report that was kept of a study, or why there is none."""
    found = re.search(r"^\*\*(.+)\*\*$", _report(name) or "", re.MULTILINE)
    return found[1] if found else NOT_YET if KEPT.exists() else ELSEWHERE


def _kept(name: str) -> str:
    """The report that was kept, from its verdict on, its figures in the folder of their study."""
    text = _report(name)
    if text is None:
        return f"The report is {ELSEWHERE}." if not KEPT.exists() else f"It was {NOT_YET}."
    text = text[text.index("\n**") :].replace("\n## ", "\n### ").strip()
    return re.sub(r"!\[(.*?)\]\((.*?)\)", rf"![\1]({name}/\2)", text)


def _published(runs: list[PlannedRun]) -> str:
    """The published steps of those groups that the runs repeat; "" if they repeat none."""
    source = published()
    groups: dict[str, PublishedGroup] = {}
    for run in runs:
        group = source.group_of(flat_settings(run.config))
        if group is not None:
            groups[group.name] = group
    if not groups:
        return ""
    rows = [
        [f"`{name}`", criterion, *_steps(milestones)]
        for name, group in groups.items()
        for criterion, milestones in (
            ("test accuracy ≥ 0.995", group.accuracy),
            ("test loss ≤ 0.01", group.loss),
        )
        if milestones
    ]
    return (
        "## What was published\n\nThe step at which the best curve of a seed, the mean over the "
        f"seeds and the worst curve first reach the criterion ({escaped(source.source)}).\n\n"
        + table(["group", "criterion", "first seed", "mean curve", "last seed"], rows)
    )


def _steps(milestones: Milestones) -> list[str]:
    return [_step(milestones.get(which)) for which in ("first", "mean", "last")]


def _step(step: float | None) -> str:
    if step is None:
        return "–"
    return "never" if math.isinf(step) else f"{step:,}"
