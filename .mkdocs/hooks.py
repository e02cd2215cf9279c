"""What mkdocs is told besides: the pages that are made, their order, and README as first page."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import typer
from mkdocs.structure.files import File, Files

from grok_cli.cli.app import app
from grok_cli.pages.catalogue import SECTIONS, STUDY, Page, linked, pages
from grok_cli.pages.studies import figures
from grok_cli.sweeps.studies import study_files

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
SEARCH_IN_FILES = "iframe-worker.js"
CONTRIBUTING = ".github/CONTRIBUTING.md"
# Where README and other files of the repository lead to, on the site.
MOVED = (
    (r"grok_cli/docs/([\w-]+\.md)", r"\1"),
    (r"examples/studies/([\w-]+)/README\.md", r"study-\1.md"),
    (r"(?:\.\./\.\./)?examples/studies/([\w-]+/[\w-]+\.png)", r"\1"),
    (re.escape(CONTRIBUTING), "contributing.md"),
    (r"examples/([\w-]+)\.ipynb", r"\1.md"),
    (r"(?:\.\./)?LICENSE", "cite.md"),
)
FILM = "examples/mlp-pre.webp"  # of README
NOTEBOOKS = ("watch_it_grok", "what_did_it_learn")
known: dict[str, Page] = {}


def on_config(config: Any) -> Any:
    """The list of pages, in its order."""
    known.update(pages(typer.main.get_command(app)))
    sections = [
        {section: [f"{name}.md" for name in names if name in known]}
        for section in SECTIONS
        if (names := [one.name for one in known.values() if one.section == section])
    ]
    studies = [{name.removeprefix(STUDY): f"{name}.md"} for name in known if name.startswith(STUDY)]
    for section in sections:
        for heading, listed in section.items():
            if "notebooks.md" in listed:
                listed.extend(f"{name}.md" for name in NOTEBOOKS)
            if "studies.md" in listed:
                listed.append({"Studies": studies})
            if heading == "The project":
                listed.insert(1, "contributing.md")
    config.nav = [{"Home": "index.md"}, *sections]
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """The pages that no file holds, and the pictures of the studies."""
    made = {name: page.text() for name, page in known.items() if f"{name}.md" not in files.src_uris}
    made["index"] = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    made["contributing"] = (REPOSITORY / CONTRIBUTING).read_text(encoding="utf-8")
    for name, text in made.items():
        files.append(File.generated(config, f"{name}.md", content=text))
    for name in NOTEBOOKS:
        for where, content in _notebook(name).items():
            files.append(File.generated(config, where, content=content))
    for study in study_files():
        for picture in figures(study.stem):
            where = f"{study.stem}/{picture.name}"
            files.append(File.generated(config, where, abs_src_path=str(picture)))
    for name in ("style.css", SEARCH_IN_FILES):
        files.append(File.generated(config, name, abs_src_path=str(HERE / name)))
    files.append(File.generated(config, FILM, abs_src_path=str(REPOSITORY / FILM)))
    return files


def _notebook(name: str) -> dict[str, str | bytes]:
    """A notebook as a page, and its pictures, by their place on the site."""
    cells = json.loads((REPOSITORY / f"examples/{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    found: dict[str, str | bytes] = {}
    parts = []
    for cell in cells:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {"text/plain": output.get("text", [])})
            if "image/png" in data:
                picture = f"{name}/{len(found)}.png"
                found[picture] = base64.b64decode("".join(data["image/png"]))
                parts.append(f"![what the cell above draws]({picture})")
            else:
                parts.append("```text\n" + "".join(data["text/plain"]).rstrip() + "\n```")
    return {f"{name}.md": "\n\n".join(parts), **found}


def on_post_page(output: str, **_: Any) -> str:
    """Without a network: the theme would load this script from one."""
    return output.replace("https://unpkg.com/iframe-worker/shim", SEARCH_IN_FILES)


def on_post_template(output_content: str, **_: Any) -> str:
    """The same for the page that is shown where there is none."""
    return on_post_page(output_content)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to other pages."""
    for there, here in MOVED:
        markdown = re.sub(rf"(?<=\]\(){there}(?=\))", here, markdown)
    return linked(markdown, known)
