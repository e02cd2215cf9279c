"""What the contributor's page says must be done for a new part was done for all that are there."""

import re
from inspect import getsource
from pathlib import Path

import pytest

import grok_cli
from grok_cli.core.attention import Attention
from grok_cli.core.config import TrainConfig
from grok_cli.core.fields import choices
from grok_cli.core.loss import LOSSES
from grok_cli.core.model import Block, Transformer
from grok_cli.core.model_config import ModelConfig
from grok_cli.core.opt_config import USED_BY, OptConfig
from grok_cli.core.optimizers.filters import FILTERS
from grok_cli.core.optimizers.make import UPDATES
from grok_cli.core.placement import HEAD_SITES, NORM_OF_SITE, PLACEMENTS
from grok_cli.core.tasks import TASKS
from grok_cli.core.training import NORM_COLUMNS, TEST_COLUMNS, TRAIN_COLUMNS
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.executors.options import ExecutorOptions
from grok_cli.executors.registry import EXECUTORS, OWN
from grok_cli.figures.catalogue import COURSES
from grok_cli.figures.style import OF_PLACEMENT, SHAPES
from grok_cli.sweeps.spec import STUDIES, read_spec
from tests.core.optimizers.test_optimizers import EVERY as OPTIMIZERS
from tests.core.test_fast_engine import BIASES

PACKAGE = Path(grok_cli.__file__).parent
TESTS = Path(__file__).parent


@pytest.mark.parametrize("name", PLACEMENTS)
def test_placement_has_a_look_known_sites_and_a_place_in_its_page(name: str) -> None:
    assert OF_PLACEMENT[name][1] in SHAPES
    assert f"`{name}`" in (PACKAGE / "docs/training.md").read_text(encoding="utf-8")
    assert PLACEMENTS[name].sites <= NORM_OF_SITE.keys()
    assert PLACEMENTS[name].paper


@pytest.mark.parametrize("site", NORM_OF_SITE)
def test_norm_site_is_used_by_the_block_and_by_a_placement(site: str) -> None:
    if site == "embed":
        assert '"embed" in PLACEMENTS' in getsource(Transformer)
    else:
        halves = getsource(Block.attention_inputs) + getsource(Block.after_attention)
        source = getsource(Attention.project) if site in HEAD_SITES else halves
        assert f'self.norm("{site}"' in source
    assert any(site in placement.sites for placement in PLACEMENTS.values())


@pytest.mark.parametrize("chooser", USED_BY)
def test_optimizers_and_filters_are_made_and_have_a_row_in_the_documentation(chooser: str) -> None:
    made = {"optimizer": UPDATES.keys(), "gradient_filter": FILTERS.keys() | {"off"}}[chooser]
    assert made == USED_BY[chooser].keys() == set(choices(OptConfig.model_fields[chooser]))
    assert made <= {"adamw", "off", *(settings.get(chooser) for settings in OPTIMIZERS.values())}
    page = (PACKAGE / "docs/biases.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in page for name in made - {"off"})


def test_losses_and_norms_are_made_and_have_a_row_in_the_documentation() -> None:
    assert LOSSES.keys() == set(choices(TrainConfig.model_fields["loss"]))
    page = (PACKAGE / "docs/biases.md").read_text(encoding="utf-8")
    by_hand = (TESTS / "core/test_loss.py").read_text()
    for name in LOSSES:
        assert f"| `{name}` |" in page
        assert f'loss="{name}"' in by_hand or name == "cross-entropy"
    formulas = (TESTS / "core/test_model.py").read_text()
    norms = {*choices(ModelConfig.model_fields["norm"])} - {"layernorm", "rmsnorm"}
    for name in norms:
        assert f"| `model.norm: {name}` |" in page
        assert f'"{name}"' in formulas
    assert LOSSES.keys() - {"cross-entropy"} <= {one.get("train__loss") for one in BIASES.values()}
    assert norms <= {one.get("model__norm") for one in BIASES.values()}


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_diagnostic_has_formula_source_and_test(name: str) -> None:
    diagnostic = DIAGNOSTICS[name]
    assert diagnostic.formula
    assert diagnostic.source
    tests = "".join(file.read_text() for file in (TESTS / "diagnostics").glob("test_*.py"))
    tested = {"ntk-full": "kernel_of_all"}.get(name, name)  # what it computes with
    assert tested in tests or tested.replace("-", "_") in tests


@pytest.mark.parametrize("name", TASKS)
def test_task_has_a_formula(name: str) -> None:
    assert TASKS[name].formula


@pytest.mark.parametrize("name", COURSES)
def test_figure_is_of_metrics_that_something_computes(name: str) -> None:
    known = {*TRAIN_COLUMNS, *TEST_COLUMNS, *NORM_COLUMNS}
    for diagnostic in DIAGNOSTICS.values():
        known.update(diagnostic.columns(ModelConfig()))
    assert set(COURSES[name].metrics) <= known


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.yaml")), ids=lambda file: file.stem)
def test_study_says_its_question_and_source(file: Path) -> None:
    spec = read_spec(file)
    assert spec.question.endswith("?")
    assert spec.source


@pytest.mark.parametrize("kind", EXECUTORS)
def test_executor_has_options_and_tests(kind: str) -> None:
    assert issubclass(EXECUTORS[kind], ExecutorOptions)
    tests = [file.read_text() for file in TESTS.rglob("test_*.py")]
    assert any(f"executors.{kind}" in text for text in tests)
    needs = EXECUTORS[kind].needs
    assert needs is None or f'"{needs[1]}"' in (TESTS.parent / "pyproject.toml").read_text()


def test_executors_that_are_written_are_registered() -> None:
    written = "".join(file.read_text() for file in (PACKAGE / "executors").rglob("*.py"))
    assert set(re.findall(r'    kind: Literal\["(.+?)"\]', written)) == OWN.keys()
