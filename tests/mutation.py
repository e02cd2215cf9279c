"""What the tests notice: `python -m tests.mutation [FOLDER...]` and the score by folder.

mutmut makes one small mistake at a time in the functions of `grok_cli` (a comparison turned, a
constant changed, an argument left out) and runs the tests that reach the function. What no test
notices is named; a mistake that changes nothing a user could see stands in EQUIVALENT, with the
reason. Decorated functions and what runs at import are not changed by mutmut.

    python -m tests.mutation                    all that is configured in pyproject.toml
    python -m tests.mutation core/phases core   only these; what has not changed is not run again
"""

import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from fnmatch import fnmatch
from pathlib import Path

WANTED = {"core": 90, "diagnostics": 90, "report": 90}  # per cent noticed; 80 elsewhere
NOTICED = {1, 3, 24, 36, 37, 152, 255, -9, -11, -24}  # exit codes: tests failed, or had no end
MUTANTS = Path("mutants")

# Pattern of a mutant's name -> why no test can notice it.
EQUIVALENT: dict[str, str] = {}


def main(folders: list[str]) -> int:
    patterns = [f"grok_cli.{folder.replace('/', '.')}*" for folder in folders]
    subprocess.run(["mutmut", "run", "--max-children", "2", *patterns], check=False)
    noticed, missed = scores()
    enough = True
    print(f"{'folder':12} {'mistakes':>8} {'noticed':>8}")
    for folder in sorted(noticed.keys() | missed.keys()):
        total = noticed[folder] + len(missed[folder])
        share = 100 * noticed[folder] / total
        enough &= share >= WANTED.get(folder, 80)
        print(f"{folder:12} {total:8} {share:7.1f}%")
    for names in missed.values():
        for name in names:
            print(f"not noticed: {name}    (mutmut show {name})")
    return 0 if enough else 1


def scores() -> tuple[Counter[str], dict[str, list[str]]]:
    """By folder: how many mistakes were noticed, and the names of those that were not."""
    noticed: Counter[str] = Counter()
    missed: dict[str, list[str]] = defaultdict(list)
    for file in sorted(MUTANTS.rglob("*.py.meta")):
        for name, code in json.loads(file.read_text())["exit_code_by_key"].items():
            if code is None or any(fnmatch(name, pattern) for pattern in EQUIVALENT):
                continue
            folder = re.sub(r"^grok_cli\.(\w+)\..*", r"\1", name)
            if code in NOTICED:
                noticed[folder] += 1
            else:
                missed[folder].append(name)
    return noticed, missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
