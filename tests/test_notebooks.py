"""The notebooks run from top to bottom, in a small form, and show what they are to show."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL = {"STEPS = 2500": "STEPS = 60", '"data.modulus": 59': '"data.modulus": 13', "=64": "=16"}
FIGURES = {"watch_it_grok": 5, "what_did_it_learn": 5}


def read(name: str) -> Any:
    return nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)


def test_every_notebook_is_tested() -> None:
    assert FIGURES.keys() == {file.stem for file in EXAMPLES.glob("*.ipynb")}


@pytest.mark.filterwarnings("ignore")  # of Jupyter's own
@pytest.mark.parametrize("name", FIGURES)
def test_notebook_runs_and_draws(name: str, tmp_path: Path) -> None:
    notebook = read(name)
    for cell in notebook.cells:
        for full, small in SMALL.items():
            cell.source = cell.source.replace(full, small)
    sources = "".join(cell.source for cell in notebook.cells)
    assert all(small in sources for small in SMALL.values())
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == FIGURES[name]
    assert not [
        output for output in outputs if output.output_type == "stream" and output.name == "stderr"
    ]


@pytest.mark.parametrize("name", FIGURES)
def test_notebook_is_light(name: str) -> None:
    assert (EXAMPLES / f"{name}.ipynb").stat().st_size < 400_000
