"""Whatever is typed and whatever lies in the files: one message, a known exit code, no traceback.

Each case is drawn from its kind and number, so that one that fails can be run alone:
`pytest "tests/test_fuzz.py::test_no_case_ends_in_a_traceback[snapshot-3]"`. The suite runs a few of
each kind; `GROK_FUZZ=1000` runs that many in all.
"""

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grok_cli.core.config import KEYS
from grok_cli.runs.directory import create_run
from grok_cli.runs.launch import train_run
from grok_cli.sweeps.spec import STUDIES
from tests.conftest import SMALL_FLAGS, small_config
from tests.typed import type_in

SECONDS = 60  # more than any case takes, on a machine that is busy
MEMORY = 6 << 30  # bytes that a case may take beside what is there
ODD = [
    *("0", "-1", "1", "3", "0.5", "1e400", "-1e-400", "nan", "inf", "-inf", "1e30", "null", "~"),
    *(
        "true",
        "no",
        "''",
        " ",
        "[]",
        "{}",
        "[1, 2",
        "{a: 1}",
        "!!int x",
        "!!python/none",
        "&a [*a]",
    ),
    *("9" * 5000, "[" * 5000, "99999999999", "20000", "1000000", "400000", "100000"),
    *("off", "pre", "M+A*", "\x1b[2J", "a\nb", "\u202e", "ä", "..", "/", "-", "--", "*", "[", "?"),
    *("a=b", "rank:1", "rank:0", "spec:", "2020-01-01", "0x10", "1_000", "0o7", "=1+1", "@x"),
    *("&x {a: &y [1], b: *y}", "cuda", "cuda:9", "mps", "float64", "x" * 300, "\udcff"),
]
SKIPPED = ("wandb",)  # would ask a server
Case = Callable[[random.Random, Path], list[str]]


@pytest.fixture(scope="module")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 20 steps, and one that can go on."""
    root = tmp_path_factory.mktemp("fuzz")
    for name, stop in (("done", 20), ("cut", 10)):
        config = small_config(train__steps=20)
        run = create_run(root / "runs" / name, config)
        steps = iter(range(1, 100))
        train_run(run, config, should_stop=lambda steps=steps, stop=stop: next(steps) == stop)  # type: ignore[misc]
    return root / "runs"


def damage(rng: random.Random, content: bytes) -> bytes:
    """The content with a few bits or bytes changed, a piece lost, doubled or replaced."""
    kind = rng.randrange(6)
    start = rng.randrange(len(content) + 1)
    end = min(len(content), start + rng.choice([1, 4, 30, 1000]))
    if kind == 0:
        return content[:start]
    if kind == 1:
        return content[:start] + content[end:]
    if kind == 2:
        return content[:start] + content[start:end] * 2 + content[end:]
    if kind == 3:
        odd = rng.choice(ODD).encode(errors="surrogateescape")
        return content[:start] + odd + content[end:]
    if kind == 4:
        return rng.randbytes(rng.choice([0, 1, 100]))
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 3])):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def change_a_value(rng: random.Random, text: str) -> str:
    """A YAML or JSON text in which one line has another value."""
    lines = text.splitlines()
    i = rng.randrange(len(lines))
    key, colon, _ = lines[i].partition(":")
    lines[i] = f"{key}{colon} {rng.choice(ODD)}"
    return "\n".join(lines) + "\n"


def damage_file(rng: random.Random, file: Path) -> None:
    content = file.read_bytes()
    if file.suffix in (".yaml", ".json") and rng.random() < 0.6:
        text = change_a_value(rng, content.decode())
        file.write_bytes(text.encode(errors="surrogateescape"))
    else:
        file.write_bytes(damage(rng, content))


def reading(rng: random.Random, run: str) -> list[str]:
    """A command that reads a run, or all of them."""
    return rng.choice(
        [
            ["runs", "runs", *rng.choice([[], ["--json"], ["--where", "status=finished"]])],
            ["train", "--resume", f"runs/{run}", "--quiet"],
            ["measure", f"runs/{run}", "-m", "margin", "--json"],
            ["measure-entropy", f"runs/{run}", "--json"],
            ["inspect", f"runs/{run}", "--json"],
            ["predict", f"runs/{run}", "1", "2"],
            ["export-csv", "runs", "--all", *rng.choice([[], ["--long"], ["--summary"]])],
            ["plot", rng.choice(["accuracy", "loss", "generalisation"]), "runs", "-t", "--all"],
            ["report", "runs", *rng.choice([[], ["--markdown"]])],
            ["config", "validate", f"runs/{run}/config.yaml"],
        ]
    )


def setting(rng: random.Random, place: Path) -> list[str]:
    keys = [key for key in KEYS if not key.startswith(SKIPPED)]
    sets = [
        f"--set={rng.choice([*keys, 'model', 'x.y', ''])}={rng.choice(ODD)}"
        for _ in range(rng.choice([1, 1, 2]))
    ]
    if rng.random() < 0.5:
        return ["config", "show", *sets]
    return ["train", *SMALL_FLAGS, "--steps", "1", "--quiet", *sets]


def line(rng: random.Random, place: Path) -> list[str]:
    """A command with options and arguments at random."""
    options = ["--json", "--csv", "--rows", "-m", "--out", "--where", "--group-by", "--metric"]
    options += ["--help", "--list", "--name", "--resume", "--seeds", "--grid", "--x", "--all"]
    options += ["--ln-type", "--steps", "--measure", "--config", "--sweep", "--style", "--sort"]
    words = ["runs", "runs/done", "runs/*", "accuracy", "nowhere", "runs/done/config.yaml"]
    command = rng.choice(
        [
            *("runs", "measure", "plot", "report", "export-csv", "predict", "inspect", "studies"),
            *("measure-entropy", "sweep", "train", "config", "docs", ""),
        ]
    )
    rest = [
        rng.choice(rng.choice([options, words, ODD, ["show", "schema", "validate"]]))
        for _ in range(rng.randrange(5))
    ]
    if command == "sweep":
        rest.append("--dry-run")
    if command == "train":
        rest += [*SMALL_FLAGS, "--steps", "1", "--quiet"]
    return [command, *rest]


def sweep_file(rng: random.Random, place: Path) -> list[str]:
    file = place / "sweep.yaml"
    shutil.copy(rng.choice(sorted(STUDIES.glob("*.yaml"))), file)
    damage_file(rng, file)
    return rng.choice([["sweep", "sweep.yaml", "--dry-run"], ["config", "validate", "sweep.yaml"]])


def settings_file(rng: random.Random, place: Path) -> list[str]:
    file = place / "settings.yaml"
    shutil.copy(place / "runs/done/config.yaml", file)
    damage_file(rng, file)
    return rng.choice(
        [["config", "show", "-c", "settings.yaml"], ["config", "validate", "settings.yaml"]]
    )


def in_run(pattern: str) -> Case:
    def case(rng: random.Random, place: Path) -> list[str]:
        run = rng.choice(["done", "cut"])
        file = rng.choice(sorted((place / "runs" / run).glob(pattern)))
        damage_file(rng, file)
        if file.suffix == ".pt" and file.parent.name == "snapshots" and rng.random() < 0.7:
            name = str(file.relative_to(place))
            return rng.choice(
                [["inspect", name], ["measure-entropy", name], ["measure", name, "-m", "rank"]]
            )
        return reading(rng, run)

    return case


KINDS: dict[str, Case] = {
    "setting": setting,
    "line": line,
    "sweep_file": sweep_file,
    "settings_file": settings_file,
    "config": in_run("config.yaml"),
    "summary": in_run("summary.json"),
    "metrics": in_run("metrics.csv"),
    "environment": in_run("environment.json"),
    "snapshot": in_run("snapshots/*.pt"),
    "resume": in_run("resume*.pt"),
}
NUMBER = int(os.environ.get("GROK_FUZZ", "60"))


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """At most so much time and memory, so that a case that takes more fails alone."""

    def late(number: int, frame: object) -> None:
        raise AssertionError(f"no end after {SECONDS} s")

    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, before[1]))
    handler = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def run_case(kind: str, number: int, place: Path) -> "subprocess.CompletedProcess[str]":
    arguments = KINDS[kind](random.Random(f"{kind} {number}"), place)
    with limits():
        return type_in(place, *arguments)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("kind", "number"),
    [(list(KINDS)[i % len(KINDS)], i // len(KINDS)) for i in range(NUMBER)],
    ids=lambda value: str(value),
)
def test_no_case_ends_in_a_traceback(
    kind: str, number: int, run_directory: Path, tmp_path: Path
) -> None:
    shutil.copytree(run_directory, tmp_path / "runs")
    result = run_case(kind, number, tmp_path)
    shown = f"{[text[:80] for text in result.args]}\n{result.stderr[-2000:]}"
    assert result.returncode in (0, 1, 2, 130), shown
    assert "Traceback" not in result.stdout + result.stderr, shown
    assert "\x1b[2J" not in result.stdout, shown
    assert result.returncode == 0 or result.stderr.strip(), f"no message: {shown}"
    if "--json" in result.args and result.returncode == 0 and "--help" not in result.args:
        json.loads(result.stdout, parse_constant=pytest.fail)
