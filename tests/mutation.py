"""What the tests notice: `python tests/mutation.py PART...` and the score of each file and folder.

mutmut makes one small mistake at a time in the functions of `grok_cli` (a comparison turned, a
constant changed, an argument left out) and runs the tests that reach the function. What no test
notices is named; a mistake that changes nothing a user could see stands in
`tests/mutation_equivalent.py`, with the reason. What runs at import (tables, defaults of settings,
decorators' arguments) is not changed by mutmut.

    python tests/mutation.py core/phases diagnostics/waves    files, by the tests of their folders
    python tests/mutation.py report                           a folder
    python tests/mutation.py --sample 150 core runs           150 mistakes of each folder, drawn
    python tests/mutation.py                                  all that pyproject.toml configures
    python tests/mutation.py --show core/phases               the mistakes that were not noticed
    python tests/mutation.py --only 'core.data.*' core        again, and only these

A part is tried by those tests of its folder that name it (of tests/core, those that import from
grok_cli.core.phases), without slow ones. For one mistake those run first that are short and reach
few other functions, up to SECONDS of them, so that a score is a lower bound. A test elsewhere that
fails by the way does not count. Results are kept: a second run of a part, or of a sample of it,
tries what is new in it and what was not noticed before.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import libcst as cst
from mutation_equivalent import reason
from mutmut import __main__ as mutmut
from mutmut.configuration import config
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.state import state
from mutmut.workers.isolation import ForkServerRunner

# Per cent noticed; 80 elsewhere.
WANTED = dict.fromkeys(
    ("core", "diagnostics", "report/verdict", "report/replay", "report/precedence"), 90
)
NOTICED = {1, 3, 24, 36, 37, 152, 255, -9, -11, -24}  # exit codes: tests failed, or had no end
MUTANTS = Path("mutants")
SECONDS = 12  # of tests for a mistake
QUICK = ["-m", "not slow"]  # slow ones say nothing more about a line
COPIED = ["grok_cli", "tests", "examples", "pyproject.toml", "README.md", "LICENSE"]

# Parts of the names of what is not counted, and why.
NOT_COUNTED = {
    **dict.fromkeys(
        ("where_runs_stand", "leave_to_cluster", "take_out_of_queue"),
        "tried on real clusters alone, in tests/executors",
    ),
    **dict.fromkeys(
        (f"figures.{name}." for name in ("matplotlib", "svg", "text", "sheet", "style")),
        "draws what the other files of figures say; looked at by eye",
    ),
}

# Decorators that mutmut may leave behind: those that make something else of the function.
KEPT = {"staticmethod", "classmethod", "overload"}


def main() -> int:
    parser = argparse.ArgumentParser(description="Which mistakes the tests notice.")
    parser.add_argument("parts", nargs="*", metavar="PART", help="core, report/verdict, ...")
    parser.add_argument("--sample", type=int, metavar="N", help="N mistakes of each folder, drawn")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    parser.add_argument("--jobs", type=int, default=2, help="at once (2)")
    parser.add_argument("--at", type=Path, help="work in a copy in this folder, not in ./mutants")
    parser.add_argument("--only", metavar="PATTERN", help="only mistakes of this name, again")
    parser.add_argument("--show", action="store_true", help="of the last run, with differences")
    asked = parser.parse_args()
    if asked.at:
        copy_to(asked.at)
    if not asked.show:
        run(asked)
    return 0 if told(asked) else 1


def copy_to(place: Path) -> None:
    """The repository as it is now, in `place`, where the rest of this program then works."""
    root = Path(__file__).resolve().parent.parent
    for name in COPIED:
        source, target = root / name, place.resolve() / name
        if source.is_dir():
            if name == "tests":
                shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(
                source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy2(source, target)
    os.chdir(place)


def run(asked: argparse.Namespace) -> None:
    """mutmut on these parts, each tried by the tests of its folder."""
    settings = config()
    settings.pytest_add_cli_args += QUICK
    settings.pytest_add_cli_args += ["--timeout=0"]  # mutmut has its own, and machines are busy
    if asked.parts:
        settings.only_mutate = [f"grok_cli/{part}*" for part in asked.parts]
        settings.pytest_add_cli_args_test_selection = sorted(
            {t for p in asked.parts for t in tests_of(p)}
        )
    forget_copies(asked.parts or [""])
    plain = mutmut.mutate_file_contents
    mutmut.mutate_file_contents = lambda name, code, *lines: plain(name, undecorated(code), *lines)
    mutmut.collect_source_file_mutation_data = drawn(
        mutmut.collect_source_file_mutation_data, asked
    )
    ForkServerRunner.submit = nearest_first(ForkServerRunner.submit)  # type: ignore[method-assign]
    # The tests have just passed once, to learn which of them reach what.
    ForkServerRunner.run_clean_tests = lambda *_, **__: 0  # type: ignore[method-assign,assignment]
    mutmut.print_stats = progress()
    mutmut._run((), asked.jobs)
    try_at_import()


AT_IMPORT = """
import contextlib, json, os, sys
os.environ["MUTANT_UNDER_TEST"] = "stats"
import pytest
from mutmut.state import state
with contextlib.redirect_stdout(sys.stderr):
    pytest.main(["--collect-only", "-q", "--rootdir=.", *sys.argv[1:]])
print(json.dumps(sorted(state()._stats)))
"""


def try_at_import() -> None:
    """What is called while modules, and those of tests, are imported has been called before a
    mistake is put in: such mistakes are tried again, in processes of their own."""
    place = {"cwd": MUTANTS, "env": os.environ | {"PYTHONPATH": str(MUTANTS.resolve())}}
    command = [sys.executable, "-c", AT_IMPORT, *config().pytest_add_cli_args_test_selection]
    found = subprocess.run(command, text=True, capture_output=True, check=True, **place)
    called = set(json.loads(found.stdout))
    for meta in MUTANTS.rglob("*.py.meta"):
        data = json.loads(meta.read_text())
        codes = data["exit_code_by_key"]
        part = meta.relative_to(MUTANTS / "grok_cli").as_posix().removesuffix(".py.meta")
        tests = [*tests_of(part), *QUICK]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--rootdir=.", *tests]
        for name, code in codes.items():
            if code in (0, 5, 33) and name.partition("__mutmut_")[0] in called:
                place["env"]["MUTANT_UNDER_TEST"] = name
                try:
                    tried = subprocess.run(command, capture_output=True, timeout=600, **place)
                    codes[name] = tried.returncode and 1  # 2, if a module cannot be imported
                except subprocess.TimeoutExpired:
                    codes[name] = 24
        meta.write_text(json.dumps(data))


def tests_of(part: str) -> list[str]:
    """The test files that name the part, among those of its folder; all of them if none does."""
    folder, module = Path("tests", part.split("/")[0]), f"grok_cli.{part.replace('/', '.')}"
    files = sorted(folder.glob("test_*.py"))
    return [str(file) for file in files if module in file.read_text()] or [str(folder)]


def forget_copies(parts: Sequence[str]) -> None:
    """Remove what mutmut copied as it is, for another part's sake, and would now take for done."""
    for file in (MUTANTS / "grok_cli").rglob("*.py"):
        part = file.relative_to(MUTANTS / "grok_cli").as_posix()
        if part.startswith(tuple(parts)) and "__mutmut_" not in file.read_text():
            file.unlink()


def undecorated(code: str) -> str:
    """The same program with `f = decorator(f)` below the functions: mutmut leaves decorated out."""

    class Below(cst.CSTTransformer):
        def leave_FunctionDef(self, original_node, updated_node):  # type: ignore[no-untyped-def]
            moved, kept = [], list(updated_node.decorators)
            while kept and not (
                isinstance(kept[0].decorator, cst.Name) and kept[0].decorator.value in KEPT
            ):
                moved.append(kept.pop(0).decorator)
            if not moved or len(kept) > 1:
                return updated_node
            value: cst.BaseExpression = updated_node.name
            for decorator in reversed(moved):
                value = cst.Call(decorator, [cst.Arg(value)])
            target = cst.AssignTarget(updated_node.name)
            line = cst.SimpleStatementLine([cst.Assign([target], value)])
            return cst.FlattenSentinel([updated_node.with_changes(decorators=kept), line])

    return cst.parse_module(code).visit(Below()).code


def drawn(collect: Callable[..., Any], asked: argparse.Namespace) -> Callable[..., Any]:
    """Of all mistakes, those of the sample: the same for the same names, number and seed.

    What was not noticed before is tried again: there may be a new test.
    """

    def some(**arguments: Any) -> Any:
        mutants, by_path = collect(**arguments)
        mutants = [m for m in mutants if is_counted(m[1])]
        if asked.only:
            mutants = [m for m in mutants if fnmatch(m[1], f"grok_cli.{asked.only}")]
        if asked.sample:
            folders: dict[str, list[str]] = defaultdict(list)
            for _, name, _ in mutants:
                folders[folder_of(name)].append(name)
            chosen = {
                name
                for names in folders.values()
                for name in random.Random(asked.seed).sample(
                    sorted(names), min(asked.sample, len(names))
                )
            }
            mutants = [m for m in mutants if m[1] in chosen]
        for data, name, code in mutants:
            data.exit_code_by_key[name] = code if code in NOTICED else None
        again = [(data, name, data.exit_code_by_key[name]) for data, name, _ in mutants]
        return again, by_path

    return some


def nearest_first(submit: Callable[..., None]) -> Callable[..., None]:
    """Hand over a mutant's tests: those first that are short and reach little else."""
    reached: Counter[str] = Counter()

    def sorted_submit(self: Any, mutant: str, tests: list[str], _limit: int, time: float) -> None:
        if not reached:
            for some in state().tests_by_mangled_function_name.values():
                reached.update(some)
        durations = state().duration_by_test
        chosen, total = [], 0.0
        for test in sorted(tests, key=lambda test: durations[test] * reached[test]):
            total += durations[test]
            if total <= SECONDS or not chosen:
                chosen.append(test)
        submit(self, mutant, chosen, ceil(2 * (4 * min(total, SECONDS) + 20)), time)

    return sorted_submit


def progress() -> Callable[..., None]:
    """A line now and then, instead of one that turns."""
    calls = 0

    def told_sometimes(*_: Any, **__: Any) -> None:
        nonlocal calls
        calls += 1
        if calls % 50 == 0:
            print(f"{calls} mistakes", file=sys.stderr, flush=True)

    return told_sometimes


@dataclass
class Score:
    """Of one file or folder: the mistakes that were tried and are none that change nothing."""

    noticed: int = 0
    missed: list[str] = field(default_factory=list)
    equivalent: int = 0
    untried: int = 0

    def line(self, name: str, wanted: int) -> str:
        low, high = wilson(self.noticed, self.tried)
        extent = f"{low:.0f}..{high:.0f}" if self.untried else ""
        return (
            f"{name:36} {self.tried:6} {self.share:8.1f}% {extent:>8} {wanted:6}%"
            f" {self.equivalent:10} {self.untried:8}"
        )

    @property
    def tried(self) -> int:
        return self.noticed + len(self.missed)

    @property
    def share(self) -> float:
        return 100 * self.noticed / self.tried if self.tried else 100.0


def wilson(hits: int, tries: int) -> tuple[float, float]:
    """95 % interval of a share, in per cent (Wilson 1927), of mistakes drawn at random."""
    if not tries:
        return 0.0, 100.0
    z, share = 1.96, hits / tries
    middle, scale = share + z * z / (2 * tries), 1 + z * z / tries
    half = z * sqrt(share * (1 - share) / tries + z * z / (4 * tries * tries))
    return 100 * (middle - half) / scale, 100 * (middle + half) / scale


def told(asked: argparse.Namespace) -> bool:
    """Print the scores, then what was not noticed; True if all folders reach what is wanted."""
    files: dict[str, Score] = defaultdict(Score)
    folders: dict[str, Score] = defaultdict(Score)
    for meta in sorted(MUTANTS.rglob("*.py.meta")):
        file = meta.relative_to(MUTANTS / "grok_cli").as_posix().removesuffix(".py.meta")
        if asked.parts and not file.startswith(tuple(asked.parts)):
            continue
        codes = json.loads(meta.read_text())["exit_code_by_key"]
        if codes and "__mutmut_" not in meta.with_suffix("").read_text():
            print(f"{file}: another part was tried since; run this one again")
            continue
        for name, code in codes.items():
            if not is_counted(name):
                continue
            for score in (files[file], folders[folder_of(name)]):
                count(score, name, code)
    print(
        f"\n{'':36} {'tried':>6} {'noticed':>9} {'95 %':>8} {'wanted':>7}"
        f" {'equivalent':>10} {'untried':>8}"
    )
    for name, score in [*files.items(), *((f"{n}/", s) for n, s in folders.items())]:
        if score.tried:
            print(score.line(name, wanted(name)))
    for name in (n for score in folders.values() for n in score.missed):
        print(f"not noticed: {name}")
        if asked.show:
            print(difference(name))
    of_files = {name: files[name] for name in WANTED.keys() & files.keys()}
    return all(s.share >= wanted(name) for name, s in {**folders, **of_files}.items() if s.tried)


def wanted(name: str) -> int:
    return next((share for part, share in WANTED.items() if f"{name}/".startswith(f"{part}/")), 80)


def count(score: Score, name: str, code: int | None) -> None:
    if code is None:
        score.untried += 1
    elif code in NOTICED:
        score.noticed += 1
    elif reason(name, *changed(name)):
        score.equivalent += 1
    else:
        score.missed.append(name)


def difference(name: str) -> str:
    module = name.rpartition(".")[0].replace(".", "/")
    path = Path(f"{module}.py")
    return get_diff_for_mutant(name, path=path if path.exists() else Path(module, "__init__.py"))


def changed(name: str) -> tuple[str, str]:
    """The lines that the mistake changes, and what it makes of them."""
    lines = difference(name).splitlines()[3:]
    before, after = (
        " ".join(line[1:].strip() for line in lines if line[0] == sign) for sign in "-+"
    )
    return before, after


def is_counted(name: str) -> bool:
    return not any(part in name for part in NOT_COUNTED)


def folder_of(name: str) -> str:
    return name.split(".")[1]


if __name__ == "__main__":
    sys.exit(main())
