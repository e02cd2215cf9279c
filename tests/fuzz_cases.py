"""Commands and damaged files at random, each drawn from a generator of random numbers.

A case gets a directory with `runs/done` (finished) and `runs/cut` (which can go on), damages what
it is about, and says what is typed.
"""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import typer.main

from grok_cli.cli.app import app
from grok_cli.core.config import KEYS
from grok_cli.figures.catalogue import CATALOGUE
from grok_cli.pages.catalogue import pages
from grok_cli.runs.sweep_record import record_sweep
from grok_cli.sweeps.spec import STUDIES
from tests.conftest import SMALL_FLAGS

ODD = [
    *("0", "-1", "1", "3", "0.5", "1e400", "-1e-400", "nan", "inf", "-inf", "1e30", "null", "~"),
    *("true", "no", "''", " ", "[]", "{}", "[1, 2", "{a: 1}", "!!int x", "!!python/none"),
    *("9" * 5000, "[" * 5000, "99999999999", "20000", "1000000", "400000", "100000"),
    *("off", "pre", "M+A*", "\x1b[2J", "a\nb", "\u202e", "ä", "..", "-", "--", "*", "[", "?"),
    *("a=b", "rank:1", "rank:0", "spec:", "2020-01-01", "0x10", "1_000", "0o7", "=1+1", "@x"),
    *("&x {a: &y [1], b: *y}", "&a [*a]", "cuda", "cuda:9", "mps", "float64", "x" * 300),
    *("\udcff", "/dev/full", "/dev/null", "/dev/null/x"),
]
CELLS = ["", "nan", "inf", "-inf", "1e400", "-1", "0", "1e308", "-1e308", "5e-324", "x", "1,2"]
CELLS += ['"', "9" * 400, "1e-400", "true", "\x00", "=1+1"]
SKIPPED = ("wandb",)  # would ask a server
Case = Callable[[random.Random, Path], list[str]]

# What could stand behind an option; half of the cases have something odd instead.
FIT: dict[str, Sequence[str]] = {
    "--where": ["status=finished", "seed=0", "ln_type=off,pre", "model.ln_type=off", "x=y", "="],
    "--group-by": ["seed", "ln_type", "model.ln_type,seed", "data.modulus", "status"],
    "--sort": ["generalised_at", "-test/loss", "seed", "status", "-run", "train.seed", "delay"],
    "--measure": ["margin", "rank", "attention,rank", "rank:5", "fourier,norms", "symmetry"],
    "--metric": ["test/*", "train/loss", "*", "rank/*,test/loss", "weight-norm/*"],
    "--out": ["a.svg", "a.png", "a.pdf", "a", "a/b/c.svg", "runs", "runs/done"],
    "--plot": ["a.svg", "a.png", "a.pdf", "a.txt", "runs"],
    "--csv": ["a.csv", "runs", "a/b/c.csv", "/dev/stdout"],
    "--compact": ["kept", "runs", "a/b"],
    "--seeds": ["1", "0,", "456,789", "1,1", "0"],
    "--grid": ["model.ln_type=off,pre", "data.modulus=5,7", "seed=1,2", "model.ln_type="],
    "--set": ["train.steps=3", "model.ln_type=pre", "train.steps=1,2", "seed=1"],
    "--config": ["runs/done/config.yaml", "runs/done/summary.json", "runs", "nowhere.yaml"],
    "--resume": ["runs/done", "runs/cut", "runs", "nowhere"],
    "--reuse": ["runs", "nowhere"],
    "--runs-dir": ["runs", "new", "runs/done"],
    "--sweep": ["ln-positions", "depth", "nowhere", "runs/done/config.yaml"],
    "--executor": ["local", "slurm", "ray", "none"],
    "--style": ["paper", "screen", "dark"],
    "--rows": ["train", "test", "all"],
    "--x": ["log", "linear"],
    "--y": ["log", "linear"],
    "--include": ["all", "finished"],
}
ARGUMENTS: dict[str, Sequence[str]] = {
    "what": [*CATALOGUE, "test/loss", "rank/out", "test/*"],
    "page": list(pages(typer.main.get_command(app))),
    "name": [study.stem for study in sorted(STUDIES.glob("*.yaml"))],
    "a": ["0", "1", "12", "13"],
    "b": ["0", "1", "12", "13"],
    "source": ["runs", "runs/done", "wandb:", "wandb:x", "nowhere"],
    "snapshot": ["runs/done", "runs/cut", "runs/done/snapshots/step_000020.pt", "runs"],
    "file": ["runs/done/config.yaml", "depth", "ln-positions", "new.yaml", "runs"],
}
PATHS = ["runs", "runs/done", "runs/cut", "runs/*", "nowhere", "runs/done/metrics.csv"]
NEVER = ("--stop-at-eof", "--yes")  # ends the process that asks; does what is to be asked for


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
    comma = "," * lines[i].endswith(",")
    lines[i] = f"{key}{colon} {rng.choice(ODD)}{comma}"
    return "\n".join(lines) + "\n"


def change_a_json_value(rng: random.Random, text: str) -> str:
    """A JSON text, still JSON, in which a value somewhere is another, or lost."""
    content = json.loads(text)
    holders: list[Any] = [content]
    for holder in holders:
        inside = holder.values() if isinstance(holder, dict) else holder
        holders += [value for value in inside if isinstance(value, dict | list) and value]
    holder = rng.choice(holders)
    key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    if rng.random() < 0.2:
        del holder[key]
    else:
        holder[key] = rng.choice(
            [None, True, 0, -1, 0.5, 10**30, "", "x", "\x1b[2J", [], {}, [1], {"a": None}]
        )
    return json.dumps(content)


def change_cells(rng: random.Random, text: str) -> str:
    """A CSV text in which a few cells are others."""
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(rng.choice([1, 1, 5])):
        row = rng.choice([rows[0], *rows[1:]])
        row[rng.randrange(len(row))] = rng.choice([*CELLS, *rng.choice(rows)])
    if rng.random() < 0.2:
        rng.shuffle(rows)
    return "\n".join(",".join(row) for row in rows) + "\n"


def replace(rng: random.Random, file: Path) -> None:
    """Nothing, a directory or a link in the file's place."""
    file.unlink()
    kind = rng.randrange(4)
    if kind == 0:
        file.mkdir()
    elif kind == 1:
        file.symlink_to(file)
    elif kind == 2:
        file.symlink_to("nowhere")


CHANGES: dict[str, Sequence[Callable[[random.Random, str], str]]] = {
    ".yaml": [change_a_value],
    ".json": [change_a_value, change_a_json_value],
    ".csv": [change_cells],
}


def damage_file(rng: random.Random, file: Path) -> None:
    if rng.random() < 0.07:
        replace(rng, file)
    elif file.suffix in CHANGES and rng.random() < 0.6:
        text = rng.choice(CHANGES[file.suffix])(rng, file.read_text())
        file.write_bytes(text.encode(errors="surrogateescape"))
    else:
        file.write_bytes(damage(rng, file.read_bytes()))


def reading(rng: random.Random, run: str) -> list[str]:
    """A command that reads a run, or all of them."""
    figure = rng.choice([*CATALOGUE, "test/loss", "rank/out"])
    sort = rng.choice(FIT["--sort"])
    return rng.choice(
        [
            ["runs", "runs", *rng.choice([[], ["--json"], ["--where", "status=finished"]])],
            ["runs", "runs", "--sort", sort, *rng.choice([[], ["--csv", "a.csv"]])],
            ["train", "--resume", f"runs/{run}", "--quiet"],
            ["measure", f"runs/{run}", "-m", "margin", "--json"],
            ["measure", "runs/*", "-m", "rank", "--where", "seed=0"],
            ["measure-entropy", f"runs/{run}", "--json"],
            ["inspect", f"runs/{run}", *rng.choice([["--json"], ["--plot", "a.svg"]])],
            ["predict", f"runs/{run}", "1", "2"],
            ["export-csv", "runs", "--all", *rng.choice([[], ["--long"], ["--summary"]])],
            ["export-csv", "runs", "--all", "--std", "--per-seed", "--where", "seed=0"],
            ["plot", figure, "runs", "-t", "--all", "--y", rng.choice(FIT["--y"])],
            ["plot", figure, "runs", "-o", "a.svg", "--all", "--each-seed"],
            ["report", "runs", *rng.choice([[], ["--markdown"], ["--compact", "kept"]])],
            ["report", "runs", "--sweep", "ln-positions"],
            ["config", "validate", f"runs/{run}/config.yaml"],
            ["sweep", *SMALL_FLAGS, "--runs-dir", "runs", rng.choice(["--dry-run", "--status"])],
            ["sweep", *SMALL_FLAGS, "--seeds=0,", "--reuse", "runs", "--dry-run", "--json"],
            ["studies", "--runs-dir", ".", *rng.choice([[], ["--json"]])],
            ["upload", rng.choice([f"runs/{run}", "runs"])],
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


@cache
def commands() -> dict[tuple[str, ...], list[Any]]:
    """The parameters of every command and subcommand, by the words that are typed for it."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
        for name, below in getattr(command, "commands", {}).items():
            yield (*words, name), below.params
            yield from walk(below, (*words, name))

    return dict(walk(typer.main.get_command(app), ()))


def typed(rng: random.Random, place: Path) -> list[str]:
    """A command with options and arguments of its own, whose values fit or are odd."""
    words = rng.choice(list(commands()))
    arguments, options = [], []
    for parameter in commands()[words]:
        if parameter.param_type_name == "argument":
            fit = ARGUMENTS.get(parameter.name, PATHS)
            count = rng.randrange(3) if parameter.nargs == -1 else rng.random() < 0.9
            arguments += [rng.choice(fit if rng.random() < 0.8 else ODD) for _ in range(count)]
        elif not set(parameter.opts) & {*NEVER, "--wandb"}:
            options.append(parameter)
    for option in rng.sample(options, min(len(options), rng.randrange(4))):
        name = rng.choice(option.opts)
        if option.is_flag:
            arguments.append(name)
        else:
            fit = FIT.get(option.opts[0], ODD)
            arguments.append(f"{name}={rng.choice(fit if rng.random() < 0.5 else ODD)}")
    return tamed([*words, *arguments])


def line(rng: random.Random, place: Path) -> list[str]:
    """A command with words at random."""
    options = [name for each in commands().values() for one in each for name in one.opts]
    options = sorted({name for name in options if name.startswith("-")} - {*NEVER, "--wandb"})
    words = [*PATHS, *ARGUMENTS["what"], "show", "schema", "validate", "copy", "--help"]
    command = rng.choice(["", *dict.fromkeys(words[0] for words in commands())])
    rest = [rng.choice(rng.choice([options, words, ODD])) for _ in range(rng.randrange(5))]
    return tamed([command, *rest])


def tamed(arguments: list[str]) -> list[str]:
    """The same, so that it takes no more than a moment."""
    if arguments[0] == "sweep":
        return [*arguments, "--dry-run"]
    if arguments[0] == "train":
        return [*arguments, *SMALL_FLAGS, "--steps", "1", "--quiet"]
    if arguments[0] == "bench":
        return [*arguments, "--rounds", "0"]
    if arguments[0] == "watch":
        return [*arguments, "--once"]
    return arguments


def sweep_file(rng: random.Random, place: Path) -> list[str]:
    file = place / "sweep.yaml"
    shutil.copy(rng.choice(sorted(STUDIES.glob("*.yaml"))), file)
    damage_file(rng, file)
    return rng.choice(
        [
            ["sweep", "sweep.yaml", "--dry-run"],
            ["sweep", "sweep.yaml", "--status", "--json"],
            ["config", "validate", "sweep.yaml"],
            ["report", "runs", "--sweep", "sweep.yaml"],
        ]
    )


def settings_file(rng: random.Random, place: Path) -> list[str]:
    file = place / "settings.yaml"
    shutil.copy(place / "runs/done/config.yaml", file)
    damage_file(rng, file)
    return rng.choice(
        [["config", "show", "-c", "settings.yaml"], ["config", "validate", "settings.yaml"]]
    )


def exported(rng: random.Random, place: Path) -> list[str]:
    """A damaged file of `grok export-csv`, drawn."""
    file = rng.choice(sorted((place / "export").glob("*.csv")))
    damage_file(rng, file)
    files = [f"export/{file.name}", *(["export/" + "test_loss.csv"] if rng.random() < 0.3 else [])]
    figure = rng.choice([*CATALOGUE, "test/loss", "loss", "accuracy"])
    where = rng.choice([[], ["--where", "seed=0"], ["--group-by", "seed"], ["--each-seed"]])
    return ["plot", figure, *files, *rng.choice([["-t"], ["-o", "a.svg"]]), *where]


def sweep_record(rng: random.Random, place: Path) -> list[str]:
    """A damaged sweep.json, and what reads it."""
    record_sweep(place / "runs", "grok sweep ln-positions", "ln-positions", 2)
    damage_file(rng, place / "runs/sweep.json")
    return rng.choice([["report", "runs"], ["runs"], ["studies", "--runs-dir", ".", "--json"]])


def claim(rng: random.Random, place: Path) -> list[str]:
    """A claim of somebody, damaged, on a run."""
    run = rng.choice(["done", "cut"])
    identity = {"host": "x", "system": "y", "pid": os.getpid(), "started": "1", "token": "z"}
    (place / "runs" / run / "claim.json").write_text(json.dumps(identity, indent=1))
    damage_file(rng, place / "runs" / run / "claim.json")
    return reading(rng, run)


def wandb_link(rng: random.Random, place: Path) -> list[str]:
    """A damaged note of which W&B run a run is."""
    link = {"id": "abc", "entity": None, "project": "grok-cli", "sent": 5}
    (place / "runs/done/wandb.json").write_text(json.dumps(link, indent=1))
    damage_file(rng, place / "runs/done/wandb.json")
    return ["upload", "runs/done", *rng.choice([[], ["--project", "grok-cli"], ["--entity", "e"]])]


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
    "typed": typed,
    "line": line,
    "sweep_file": sweep_file,
    "settings_file": settings_file,
    "exported": exported,
    "sweep_record": sweep_record,
    "claim": claim,
    "wandb_link": wandb_link,
    "config": in_run("config.yaml"),
    "summary": in_run("summary.json"),
    "metrics": in_run("metrics.csv"),
    "measured": in_run("measured.csv"),
    "environment": in_run("environment.json"),
    "snapshot": in_run("snapshots/*.pt"),
    "resume": in_run("resume*.pt"),
}
