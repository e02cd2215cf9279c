"""The page "From Python": what it shows is run, in a small form."""

import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest

from grok_cli.core.tasks import Task
from grok_cli.diagnostics import registry as diagnostics
from grok_cli.executors.local import LocalExecutor
from tests.diagnostics.builders import small_subject

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "grok_cli/docs/python.md"
TOUR, PARTS = PAGE.read_text(encoding="utf-8").split("## Parts of your own")
SMALL = '{"data.modulus": 11, "model.d_model": 16}, threads=1, '


def code(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_tour_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in code(TOUR):
        small = block.replace("grok.train(", f"grok.train({SMALL}").replace("3000", "40")
        small = small.replace("seeds=2,", f"seeds=1, settings={SMALL}")
        exec(compile(small, str(PAGE), "exec"), names)
    assert matplotlib.image.imread(tmp_path / "entropy.png").size > 0
    assert names["cache"]["blocks.0.pattern"].shape[1:] == (4, 3, 3)
    assert names["patched"].shape == (*names["data"].labels.shape, names["data"].vocab)
    assert list(names["sweep"]) == [names["mlp"], names["pre"]]
    assert set(names["table"]["group"]) == {"mlp-pre", "pre"}
    left = names["only"](names["model"].embed.detach()[:11], names["keys"])
    assert left.abs().max() < 1e-6  # of the key frequencies


def test_parts_work_as_they_stand_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for block in code(PARTS):
        name = re.match(r"# (\w+\.py)\n", block)
        assert name is not None
        (tmp_path / name[1]).write_text(block)
    task = EntryPoint("cube-sum", "my_tasks:TASK", "grok_cli.tasks").load()
    assert isinstance(task, Task)
    assert task.apply(2, 3, 5) == 0

    point = EntryPoint("embedding-norm", "my_measures:embedding_norm", "grok_cli.diagnostics")
    monkeypatch.setattr("grok_cli.plugins.entry_points", lambda group: [point])
    subject = small_subject()
    measured = diagnostics.Registry()["embedding-norm"].measure(subject)
    assert measured == {"mine/embedding_norm": subject.model.embed.norm().item()}

    options = EntryPoint("laptop", "my_machine:LaptopOptions", "grok_cli.executors").load()
    executor = options(cores=3).make(tmp_path, 4, None)
    assert isinstance(executor, LocalExecutor)
    assert executor.workers == 3
    for name in ("my_tasks", "my_measures", "my_machine"):
        sys.modules.pop(name)


def test_every_entry_point_group_is_named_on_the_page() -> None:
    for group in ("grok_cli.tasks", "grok_cli.diagnostics", "grok_cli.executors"):
        assert group in PARTS
