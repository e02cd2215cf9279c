"""What the shell offers behind an option: names that begin with what is typed.

These run at every press of Tab, so they import nothing heavy and open two files at most.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from typer import Context


def among(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Completion by fixed names."""
    return lambda incomplete: _beginning(names, incomplete)


def settings_keys(incomplete: str) -> list[str]:
    """Keys of the configuration."""
    from grok_cli.core.config import KEYS

    return _beginning(KEYS, incomplete)


def assignments(incomplete: str) -> list[str]:
    """KEY= of `--set` and `--grid`, and behind that the values of a setting that has a few."""
    from grok_cli.core.config import Config
    from grok_cli.core.fields import choices, fields_of

    key, equals, _ = incomplete.partition("=")
    fields = fields_of(Config)
    if not equals:
        return _beginning((f"{name}=" for name in fields), incomplete)
    names = choices(fields[key]) if key in fields else ()
    return _last_of_list([f"{key}={name}" for name in names], names, incomplete)


def placements(incomplete: str) -> list[str]:
    """Where norms stand."""
    from grok_cli.core.placement import PLACEMENTS

    return _last_of_list(PLACEMENTS, PLACEMENTS, incomplete)


def diagnostics(incomplete: str) -> list[str]:
    """Diagnostics; of a comma list its last member."""
    from grok_cli.diagnostics.registry import DIAGNOSTICS

    return _last_of_list(DIAGNOSTICS, DIAGNOSTICS, incomplete)


def scheduled_diagnostics(incomplete: str) -> list[str]:
    """NAME: of `--measure NAME:EVERY`."""
    from grok_cli.diagnostics.registry import DIAGNOSTICS

    names = [f"{name}:" for name in DIAGNOSTICS]
    return _last_of_list(names, names, incomplete)


def executors(incomplete: str) -> list[str]:
    """Kinds of executor."""
    from grok_cli.executors.registry import EXECUTORS

    return _beginning(EXECUTORS, incomplete)


def studies(incomplete: str) -> list[str]:
    """Studies of the package, and YAML files."""
    return study_names(incomplete) + yaml_files(incomplete)


def study_names(incomplete: str) -> list[str]:
    """Studies of the package."""
    from grok_cli.sweeps.spec import study_files

    return _beginning([file.stem for file in study_files()], incomplete)


def figures(incomplete: str) -> list[str]:
    """Figures by name."""
    from grok_cli.figures.catalogue import CATALOGUE

    return _beginning(CATALOGUE, incomplete)


def yaml_files(incomplete: str) -> list[str]:
    """YAML files, and the directories on the way to them."""
    return [
        name
        for name in _paths(incomplete)
        if name.endswith("/") or Path(name).suffix in (".yaml", ".yml")
    ]


def run_directories(incomplete: str) -> list[str]:
    """Directories of runs, and those on the way to them; a run is complete without a slash."""
    return [
        name.rstrip("/") if (Path(name) / "config.yaml").is_file() else name
        for name in _paths(incomplete)
        if name.endswith("/")
    ]


def run_directories_and_csv(incomplete: str) -> list[str]:
    """Directories of runs, and CSV files."""
    files = [name for name in _paths(incomplete) if name.endswith(".csv")]
    return [*run_directories(incomplete), *files]


def metrics(context: Context, incomplete: str) -> list[str]:
    """What the first run in the typed directory measured; of a comma list its last member."""
    from grok_cli.runs.directory import find_runs
    from grok_cli.runs.files import read_header

    run = next(find_runs(Path(context.params.get("source") or "runs")), None)
    if run is None:
        return []
    names = [*read_header(run.metrics_file)[1:], *read_header(run.measured_file)[1:]]
    return _last_of_list(names, names, incomplete)


def _paths(incomplete: str) -> list[str]:
    """Names of files, and of directories with a slash behind; hidden ones if a dot was typed."""
    folder, slash, start = incomplete.rpartition("/")
    try:
        entries = sorted(Path(folder + slash or ".").iterdir())
    except OSError:
        return []
    return [
        f"{folder}{slash}{entry.name}" + ("/" if entry.is_dir() else "")
        for entry in entries
        if entry.name.startswith(start) and (start or not entry.name.startswith("."))
    ]


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _last_of_list(whole: Iterable[str], names: Iterable[str], incomplete: str) -> list[str]:
    """Names that complete a comma list; `whole` is offered while it has one member only."""
    before, comma, start = incomplete.rpartition(",")
    if not comma:
        return _beginning(whole, incomplete)
    return [f"{before},{name}" for name in names if name.startswith(start)]
