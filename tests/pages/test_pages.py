"""The pages that are made: nothing that is there is left out, and nothing is cut off."""

import json
import re
from pathlib import Path

import pytest
import typer
import yaml

from grok_cli.cli.app import COMMANDS, app
from grok_cli.core.config import KEYS, KNOWN
from grok_cli.core.model_config import ModelConfig
from grok_cli.core.placement import PLACEMENTS
from grok_cli.diagnostics.registry import DIAGNOSTICS
from grok_cli.pages import commands, interface, measures, settings, studies
from grok_cli.pages.catalogue import SECTIONS, WRITTEN, linked, pages
from grok_cli.pages.markdown import escaped, table
from grok_cli.report.output import runs_table
from grok_cli.report.pages import markdown_page, markdown_text
from grok_cli.report.report import make_report
from grok_cli.results import Results
from grok_cli.results.times import times_to
from grok_cli.runs.settings import SHORT_NAMES
from grok_cli.sweeps.spec import study_files
from tests.written_runs import Rows, make_run

REPOSITORY = Path(__file__).parents[2]
PROGRAM = typer.main.get_command(app)
PAGES = pages(PROGRAM)
STUDIES = [file.stem for file in study_files()]


def test_every_page_is_listed_once_under_a_heading_that_is_there() -> None:
    made = {"studies", "interface", "commands", "settings", "measures"}
    written = {file.stem for file in WRITTEN.glob("*.md")}
    assert set(PAGES) == made | written | {f"study-{name}" for name in STUDIES}
    assert {page.section for page in PAGES.values()} == {*SECTIONS, ""}


@pytest.mark.parametrize("name", PAGES)
def test_page_begins_with_its_title(name: str) -> None:
    assert PAGES[name].text().startswith(f"# {PAGES[name].title}\n")


def test_a_page_that_stands_nowhere_comes_under_guides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new.md").write_text("# A new one\n")
    (tmp_path / "speed.md").write_text("# Speed\n")
    monkeypatch.setattr("grok_cli.pages.catalogue.WRITTEN", tmp_path)
    found = pages(PROGRAM)
    assert (found["new"].title, found["new"].section) == ("A new one", "Guides")
    assert found["new"].text() == "# A new one\n"
    order = [name for name in found if not name.startswith("study-")]
    assert order == ["speed", "new", "studies", "interface", "commands", "settings", "measures"]


def test_pages_stand_in_the_order_of_their_headings() -> None:
    listed = [name for names in SECTIONS.values() for name in names]
    assert list(PAGES) == [*listed, *(f"study-{name}" for name in STUDIES)]
    assert {page.name: page.section for page in PAGES.values() if page.section} == {
        name: section for section, names in SECTIONS.items() for name in names
    }


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_every_measure_is_there_with_formula_cost_and_source(name: str) -> None:
    one = DIAGNOSTICS[name]
    section = measures.every().split(f"\n## {name}\n")[1].split("\n## ")[0]
    plain = section.replace("\\", "")
    assert one.formula.replace("\\", "")[1:] in plain
    assert f"**Cost**: {one.cost}\n" in plain
    assert f"**Source**: {one.source}" in plain
    columns = ", ".join(f"`{column}`" for column in one.columns(ModelConfig()))
    assert f"**Columns**: {columns}\n" in section
    assert f"| [`{name}`](#{name}) | {one.cost} | " in measures.every()


def test_every_setting_is_there_with_its_flag_default_and_range() -> None:
    text = settings.every()
    for key in KEYS:
        assert f"| `{key}` |" in text
    assert "| `model.n_layers` | `--layers` | `1` | Number of blocks. | int ≥ 1 ≤ 1,000 |" in text
    assert "| `off`, `offline`, `online` |\n" in text
    assert "| `partition` | `--partition` |" in text.split("### slurm")[1]


@pytest.mark.parametrize("key", KEYS)
def test_the_row_of_a_setting_tells_its_default_flag_and_help(
    key: str, all_settings: dict[str, list[str]]
) -> None:
    flag, default, meaning, values = all_settings[f"`{key}`"]
    field = KNOWN[key]
    expected = field.get_default(call_default_factory=True, validated_data={})
    told = yaml.safe_load(default.strip("`"))
    assert told == (list(expected) if isinstance(expected, tuple) else expected)
    names = [name for name, of in SHORT_NAMES.items() if of == key]
    assert flag == "".join(f"`--{name.replace('_', '-')}`" for name in names)
    assert meaning == escaped(field.description or "")
    assert values


def test_ranges_of_settings_are_those_of_their_checks(all_settings: dict[str, list[str]]) -> None:
    for key, values in {
        "data.test_ratio": "float > 0 < 1",
        "opt.weight_decay": "float ≥ 0",
        "train.steps": "int ≥ 1 ≤ 1,000,000,000",
        "model.ln_type": ", ".join(f"`{name}`" for name in PLACEMENTS),
    }.items():
        assert all_settings[f"`{key}`"][-1] == values


def test_every_command_is_there_with_its_options_and_examples() -> None:
    text = commands.every(PROGRAM)
    for name in COMMANDS:
        assert f"## `grok {name}`" in text
    assert "* `--until-grokked`: Stop once test accuracy" in text
    assert "* `branch`: Leave a run at any of its steps, and go on from there with " in text
    assert "**Examples**:\n\n```console\n$ grok docs\n$ grok docs cite\n```" in text
    assert "Examples:\n" not in text.replace("**Examples**:\n", "")


@pytest.fixture(scope="module")
def all_settings() -> dict[str, list[str]]:
    """The cells beside each setting in the tables."""
    rows = re.findall(r"^\| (`[a-z]+\.\w+`) \| (.*) \|$", settings.every(), re.MULTILINE)
    return {key: re.split(r" \| ?|(?<=\|) ", rest) for key, rest in rows}


@pytest.fixture(scope="module")
def all_studies() -> str:
    return studies.every()  # which plans the runs of every study


@pytest.mark.parametrize("name", STUDIES)
def test_study_has_question_command_and_file(name: str, all_studies: str) -> None:
    text = studies.one(name)
    assert f"$ grok sweep {name}\n" in text
    assert text.count("?**\n") >= 1
    assert "```yaml\n" in text
    assert f"](study-{name}.md)" in all_studies


def test_study_that_was_run_has_its_verdict_figures_and_published_steps(all_studies: str) -> None:
    text = studies.one("ln-positions")
    assert "\n**Reproduced: " in text
    assert "20 runs of 10,000 steps. They took 2:30:23 here, one after another (cpu " in text
    assert "| 20 | 2:30:23 | Reproduced: " in all_studies
    assert "![loss](ln-positions/loss.png)" in text
    assert "| `off` | test accuracy ≥ 0.995 | 6,283 | 7,764 | 7,900 |" in text
    assert "Reproduced: " in all_studies
    assert {f"ln-positions/{f.name}" for f in studies.figures("ln-positions")} >= set(
        re.findall(r"!\[.*?\]\((.*?)\)", text)
    )


def test_a_report_that_is_kept_is_read_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time, machine and verdict by the page, the medians of its runs by `grok times`."""
    for seed, at in ((1, 20), (2, 30), (3, None)):
        rows: Rows = {"step": [10, 20, 30], "test/accuracy": [0.0, 0.1, 0.2]}
        rows["test/accuracy"] = [float(at is not None and (s or 0) >= at) for s in rows["step"]]
        run = make_run(tmp_path / "runs", rows, data__modulus=11, train__seed=seed)
        summary = json.loads((run / "summary.json").read_text()) | {"seconds": 1300, "step": 30}
        (run / "summary.json").write_text(json.dumps(summary | {"generalised_at": at}))
        (run / "environment.json").write_text(json.dumps([{"cpu": "a|b", "cores": 2}]))
    report = make_report(tmp_path / "runs")
    (tmp_path / "operations").mkdir()
    (tmp_path / "operations" / "README.md").write_text(markdown_page(report, [Path("loss.png")]))
    monkeypatch.setattr(studies, "KEPT", tmp_path)
    assert studies._time("operations") == ("1:05:00", r"cpu a\|b; cores 2")
    assert studies._verdict("operations") == markdown_text(report.verdict)
    text = studies.one("operations")
    assert "They took 1:05:00 here" in text
    assert "![loss](operations/loss.png)" in text
    runs_table(report).write_csv(tmp_path / "runs.csv")
    (group,) = times_to(Results.from_csv(tmp_path / "runs.csv"), "generalised", 0.995).groups
    assert group.median == report.groups[0].median


def test_published_steps_of_a_study_stand_in_their_columns() -> None:
    heading = "| group | criterion | first seed | mean curve | last seed |\n"
    texts = [studies.one(name) for name in ("ln-positions", "attention-pathways")]
    tables = [text.split(heading)[1].partition("\n\n")[0] for text in texts]
    rows = [row for table in tables for row in table.splitlines()[1:]]
    found = {tuple(row.split(" | ")[:2]): row.split(" | ", 2)[2] for row in rows}
    loss, accuracy = "test loss ≤ 0.01", "test accuracy ≥ 0.995"
    assert found["| `pre-v`", loss] == "529 | 964 | 1,061 |"
    assert found["| `attn-pre-qk`", loss] == "never | never | never |"
    assert found["| `pre`", loss] == "– | 3,525 | – |"
    assert found["| `pre`", accuracy] == "2,099 | 3,298 | 3,380 |"
    assert ("| `pre-v`", accuracy) not in found


def test_study_says_where_its_report_is_if_it_was_not_run_or_the_program_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "It was not run in full yet." in studies.one("operations")
    monkeypatch.setattr(studies, "KEPT", tmp_path / "absent")
    assert "in the repository, under examples/studies" in studies.one("ln-positions")
    assert "not run" not in studies.every()


def test_interface_names_stand_for_docstrings() -> None:
    text = interface.every()
    assert "::: grok_cli.train\n" in text
    spelled = interface.spelled_out(text)
    assert ":::" not in spelled
    assert "members: false" not in spelled
    for shown in ("train(settings", ".run_with_hooks(self", "KeyboardInterrupt", "norms.N.in"):
        assert shown in spelled, shown


def test_pages_named_in_a_text_become_links() -> None:
    text = "`grok docs sweeps`, [`grok docs cite`](x.md), `grok docs none`"
    assert linked(text, PAGES) == (
        "[`grok docs sweeps`](sweeps.md), [`grok docs cite`](x.md), `grok docs none`"
    )


@pytest.mark.parametrize("name", PAGES)
def test_pages_that_a_page_names_are_there(name: str) -> None:
    text = PAGES[name].text()
    assert set(re.findall(r"`grok docs ([a-z][\w-]*)`", text)) <= PAGES.keys()


def test_a_long_formula_is_cut_at_a_pause() -> None:
    for formula, short in (
        ("abc de", "abc de"),
        ("abc; de, fg", "abc …"),
        ("ab, cd, efghij", "ab, cd …"),
        ("ab cd efghij", "ab cd …"),
        ("abcdefghijkl", "abcdefghijkl"),
    ):
        assert measures._short(formula, 8) == short


def test_markdown_of_plain_text_shows_it() -> None:
    assert escaped("a_b * |x| < <y>") == r"a\_b \* \|x\| < &lt;y>"
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
