"""Each folder of the package imports only from those below it, and no two modules each other."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grok_cli

ROOT = Path(grok_cli.__file__).parent
FLOORS = [  # from the ground up
    "version",
    "errors",
    "plugins",
    "core",
    "diagnostics",
    "runs",
    "results",
    "figures",
    "executors",
    "bench",
    "sweeps",
    "report",
    "library",
    "pages",
    "cli",
    "__main__",
]
# (importing module, imported folder) that break the rule today; this list only gets shorter.
KNOWN: set[tuple[str, str]] = set()


def modules() -> dict[str, Path]:
    """Every module of the package, by its name below `grok_cli`."""
    names = {}
    for file in sorted(ROOT.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    del names[""]  # the public names, which may come from everywhere
    return names


def imported(file: Path, known: dict[str, Path]) -> Iterator[str]:
    """The package's modules that a file imports, at its top or anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            below = name.removeprefix("grok_cli.")
            if below != name:
                yield below if below in known else below.rpartition(".")[0]


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: {i for i in imported(file, known) if i in known} for name, file in known.items()}


def test_no_module_imports_what_the_package_offers_to_others() -> None:
    known = modules()
    for name, file in known.items():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "grok_cli":
                assert {alias.name for alias in node.names} <= {*known, *FLOORS}, name


def floor(module: str) -> str:
    return module.partition(".")[0]


def test_every_module_stands_on_a_floor() -> None:
    assert {floor(module) for module in modules()} <= set(FLOORS)


def test_folders_import_only_from_those_below() -> None:
    upward = {
        (module, floor(other))
        for module, others in graph().items()
        for other in others
        if FLOORS.index(floor(other)) > FLOORS.index(floor(module))
    }
    assert upward <= KNOWN


def test_no_modules_import_each_other() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None
