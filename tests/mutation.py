"""What the tests notice: `python tests/mutation.py PART...` and the score of each file.

mutmut makes one small mistake at a time in the functions of `grok_cli` (a comparison turned, a
constant changed, an argument left out) and runs the tests that reach the function. What no test
notices is named; a mistake that changes nothing a user could see stands in EQUIVALENT, with the
reason. Decorated functions and what runs at import are not changed by mutmut.

    python tests/mutation.py core/phases diagnostics/waves    files, by the tests of their folders
    python tests/mutation.py report                           a folder
    python tests/mutation.py                                  all that pyproject.toml configures
    python tests/mutation.py --show core/phases               the mistakes that were not noticed

A part is tried by those tests of its folder that name it (of tests/core, those that import from
grok_cli.core.phases), without SLOW ones, so that most files take a minute or two. A test elsewhere
that fails by the way does not count.
"""

import json
import subprocess
import sys
from collections import Counter, defaultdict
from fnmatch import fnmatch
from pathlib import Path

from mutmut import __main__ as mutmut
from mutmut.configuration import config
from mutmut.state import state
from mutmut.workers.isolation import ForkServerRunner

WANTED = {"core": 90, "diagnostics": 90, "report": 90}  # per cent noticed; 80 elsewhere
NOTICED = {1, 3, 24, 36, 37, 152, 255, -9, -11, -24}  # exit codes: tests failed, or had no end
MUTANTS = Path("mutants")
SECONDS = 20  # of tests for a mistake, the fastest first

# Start processes of their own, browsers or clusters, or train for long: they say nothing more about
# a line than the fast ones do.
SLOW = [
    "tests/core/test_process.py",
    "tests/core/test_initial.py::test_first_fifty_steps_are_the_published_ones",
    "tests/core/test_training.py::test_until_grokked_stops_after_sustained_generalisation",
    "tests/core/test_facts_settings.py::test_a_setting_of_what_a_run_is_changes_its_result_and_its_name[train.until_grokked]",
    "tests/core/optimizers/test_adamw.py::test_training_imports_no_compiler",
    "tests/core/test_fast_engine.py::test_training_is_the_same_with_any_number_of_threads",
    "tests/diagnostics/test_measures.py::test_attention_on_the_published_rows_is_the_published_entropy",
    "tests/diagnostics/test_spectra.py::test_exponent_equals_that_of_the_powerlaw_package",
    "tests/report/test_report.py",
    "tests/sweeps/test_kill.py",
    "tests/sweeps/test_studies.py::test_shortened_study_trains_to_a_report",
]

# Pattern of a mutant's name -> why no test can notice it.
EQUIVALENT = dict.fromkeys(
    (f"grok_cli.report.verdict.x__extent__mutmut_{number}" for number in (16, 23)),
    "the default of `off` stands in no sentence: without known steps it is not printed",
)


def main(parts: list[str]) -> int:
    show = "--show" in parts
    parts = [part for part in parts if part != "--show"]
    if not show:
        run(parts)
    noticed, missed = scores(parts)
    enough = True
    print(f"{'file':40} {'mistakes':>8} {'noticed':>8}")
    for file in sorted(noticed.keys() | missed.keys()):
        total = noticed[file] + len(missed[file])
        share = 100 * noticed[file] / total
        enough &= share >= WANTED.get(file.split("/")[0], 80)
        print(f"{file:40} {total:8} {share:7.1f}%")
    for names in missed.values():
        for name in names:
            print(f"not noticed: {name}")
            if show:
                subprocess.run(["mutmut", "show", name], check=False)
    return 0 if enough else 1


def run(parts: list[str]) -> None:
    """mutmut on these parts, each tried by the tests of its folder."""
    settings = config()
    settings.pytest_add_cli_args += [f"--deselect={test}" for test in SLOW]
    if parts:
        settings.only_mutate = [f"grok_cli/{part}*" for part in parts]
        settings.pytest_add_cli_args_test_selection = sorted(
            {t for p in parts for t in tests_of(p)}
        )
    ForkServerRunner.submit = fastest_first(ForkServerRunner.submit)  # type: ignore[method-assign]
    mutmut._run((), 2)


def tests_of(part: str) -> list[str]:
    """The test files that name the part, among those of its folder; all of them if none does."""
    folder, module = Path("tests", part.split("/")[0]), f"grok_cli.{part.replace('/', '.')}"
    files = sorted(folder.glob("test_*.py"))
    return [str(file) for file in files if module in file.read_text()] or [str(folder)]


def fastest_first(submit):  # type: ignore[no-untyped-def]
    """Hand over a mutant's tests in the order of their durations, no more than SECONDS of them."""

    def sorted_submit(self, mutant_name, tests, cpu_time_limit, estimated_time):  # type: ignore
        durations = state().duration_by_test
        chosen, total = [], 0.0
        for test in sorted(tests, key=lambda test: durations[test]):
            total += durations[test]
            if total <= SECONDS or not chosen:
                chosen.append(test)
        submit(self, mutant_name, chosen, cpu_time_limit, estimated_time)

    return sorted_submit


def scores(parts: list[str]) -> tuple[Counter[str], dict[str, list[str]]]:
    """By file: how many mistakes were noticed, and the names of those that were not."""
    noticed: Counter[str] = Counter()
    missed: dict[str, list[str]] = defaultdict(list)
    for meta in sorted(MUTANTS.rglob("*.py.meta")):
        file = meta.relative_to(MUTANTS / "grok_cli").as_posix().removesuffix(".py.meta")
        if parts and not file.startswith(tuple(parts)):
            continue
        for name, code in json.loads(meta.read_text())["exit_code_by_key"].items():
            if code is None or any(fnmatch(name, pattern) for pattern in EQUIVALENT):
                continue
            if code in NOTICED:
                noticed[file] += 1
            else:
                missed[file].append(name)
    return noticed, missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
