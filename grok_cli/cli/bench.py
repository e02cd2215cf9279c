"""`grok bench`: how fast training is on this machine."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from rich.console import Console

from grok_cli.cli import completion
from grok_cli.cli.options import listed
from grok_cli.cli.output import Column, print_json, print_table
from grok_cli.cli.parameters import Json, option
from grok_cli.core.placement import canonical_name
from grok_cli.errors import UsageError
from grok_cli.executors.local import available_cores

if TYPE_CHECKING:
    from grok_cli.bench.compare import Timings

WHERE = (
    Column("ln_type", "placement"),
    Column("threads", number=True),
    Column("eval_every", "eval every", number=True, text=lambda steps: str(steps or "never")),
)
TIMINGS = (
    *WHERE,
    Column("phase", drop=4),
    Column("plain_ms", "plain ms", number=True, text="{:.1f}".format, drop=3),
    Column("torch_ms", "torch ms", number=True, text="{:.1f}".format, drop=2),
    Column("kernels", drop=5),
    Column("fast_ms", "fast ms", number=True, text="{:.1f}".format),
    Column("speedup", "speed-up", number=True, text="{:.1f}".format),
    Column("products_ms", "products ms", number=True, text="{:.1f}".format, drop=1),
    Column("other_ms", "other ms", number=True, text="{:.1f}".format, drop=2),
    Column("product_gflop", "products GFLOP", number=True, text="{:.2f}".format, drop=7),
    Column("matmul_share", "share", number=True, text="{:.0%}".format, drop=5),
    Column("peak_mb", "peak MB", number=True, text="{:.0f}".format, drop=6),
)
ESTIMATES = (
    *WHERE,
    Column("run_minutes", "one run, min", number=True, text="{:.1f}".format),
    Column("processes", "side by side", number=True, drop=1),
    Column("sweep_minutes", "20 such runs, min", number=True, text="{:.0f}".format),
)
BUSY = 0.9  # cores to a process, below which the machine is called busy
EXPLAINED = (
    "torch: the fast engine with run.kernels: torch; products: the fast engine's matrix products, "
    "made alone; other: the rest of its step; share: of the step, at the large product's speed"
)


def bench(
    ln_type: Annotated[
        list[str] | None,
        option(
            "Placements. [default: off,pre; with --full attn-pre-qk, too]",
            metavar="NAME,...",
            autocompletion=completion.placements,
        ),
    ] = None,
    eval_every: Annotated[
        list[str] | None,
        option(
            "Steps between test evaluations, 0 for none. [default: 10; with --full 1,10,0]",
            metavar="N,...",
        ),
    ] = None,
    threads: Annotated[
        list[str] | None, option("Threads. [default: 1 and all cores]", metavar="N,...")
    ] = None,
    rounds: Annotated[
        int | None, option("Turns of each engine. [default: 3; with --full 8]", min=1)
    ] = None,
    full: Annotated[
        bool, option("Measure more, and the plateau, too; ten minutes.", "--full")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure training steps of the plain and the fast engine; takes under a minute.

    The engines take turns in one process, and the fastest turn of each counts. "torch" is the fast
    engine without its kernels (`run.kernels: torch`), "products" what the fast engine's matrix
    products take alone, "other" the rest of its step, and "share" what part of the step the
    products would take at the speed of a large float32 product. The plateau is a run whose training
    loss is below 1e-6, or 1,500 steps old.
    """
    from grok_cli.bench.compare import measure

    cores = available_cores()
    progress = Console(stderr=True)
    timings = measure(
        [_placement(name) for name in listed(ln_type)] or ["off", "pre", "attn-pre-qk"][: 2 + full],
        _numbers("--eval-every", eval_every, least=0) or ([1, 10, 0] if full else [10]),
        _numbers("--threads", threads, least=1) or sorted({1, cores}),
        rounds=rounds or (8 if full else 3),
        plateau=full,
        cores=cores,
        say=lambda text: progress.print(text, highlight=False, style="dim"),
    )
    if as_json:
        print_json(asdict(timings))
    else:
        _print(Console(highlight=False), timings)


def _placement(name: str) -> str:
    try:
        return canonical_name(name)
    except ValueError as error:
        raise UsageError(f"--ln-type: {name!r} is no placement; {error}") from None


def _numbers(flag: str, texts: list[str] | None, least: int) -> list[int]:
    typed = listed(texts)
    if not all(text.isdecimal() and int(text) >= least for text in typed):
        raise UsageError(
            f"{flag}: {','.join(typed)!r} is not a list of numbers; expected numbers of at least "
            f"{least} separated by commas, such as {flag} 1,10"
        )
    return [int(text) for text in typed]


def _print(console: Console, timings: "Timings") -> None:
    print_table(
        TIMINGS,
        [asdict(result) for result in timings.results],
        title="A training step",
        console=console,
    )
    if console.is_terminal:
        console.print(EXPLAINED, style="dim")
    speeds = {result.threads: result.matmul_gflops for result in timings.results}
    on = ", ".join(f"{speed:.0f} GFLOP/s on {n}" for n, speed in sorted(speeds.items()))
    console.print(f"large float32 product, by threads: {on}\n")
    print_table(
        ESTIMATES,
        [asdict(estimate) for estimate in timings.estimates],
        title="Runs of 10,000 steps with the fast engine",
        console=console,
    )
    if (cores := min(estimate.cores for estimate in timings.estimates)) < BUSY:
        console.print(
            f"this machine is busy: other work left {cores:.0%} of a core to a process, which the "
            "minutes of 20 runs include",
            style="yellow",
        )
