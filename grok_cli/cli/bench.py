"""`grok bench`: how fast training is on this machine."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from grok_cli.cli.output import Column, print_json, print_table
from grok_cli.core.placement import canonical_name
from grok_cli.errors import UsageError
from grok_cli.executors.local import available_cores

if TYPE_CHECKING:
    from grok_cli.bench import Timings

WHERE = (
    Column("ln_type", "placement"),
    Column("eval_every", "eval every", number=True, text=lambda steps: str(steps or "never")),
    Column("threads", number=True),
)
TIMINGS = (
    *WHERE,
    Column("phase"),
    Column("plain_ms", "plain ms", number=True, text="{:.1f}".format, drop=1),
    Column("fast_ms", "fast ms", number=True, text="{:.1f}".format),
    Column("speedup", "speed-up", number=True, text="{:.1f}".format, drop=2),
    Column("steps_per_second", "fast steps/s", number=True, text="{:.1f}".format, drop=3),
    Column("matmul_share", "matmul", number=True, text="{:.0%}".format, drop=5),
    Column("peak_mb", "peak MB", number=True, text="{:.0f}".format, drop=4),
)
ESTIMATES = (
    *WHERE,
    Column("run_minutes", "10,000 steps, min", number=True, text="{:.1f}".format),
    Column("processes", "at once", number=True, drop=1),
    Column("sweep_minutes", "20 such runs, min", number=True, text="{:.0f}".format, drop=2),
)


def bench(
    ln_type: Annotated[
        str, typer.Option(metavar="LIST", help="Placements, separated by commas.")
    ] = "off,pre,attn-pre-qk",
    eval_every: Annotated[
        str,
        typer.Option(
            metavar="LIST", help="Steps between test evaluations, separated by commas; 0: none."
        ),
    ] = "1,10,0",
    threads: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Threads, separated by commas.  [default: 1 and all cores]"
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each engine.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure training steps of the plain and the fast engine.

    The engines take turns, in a process of its own for each number of threads, at the start of a
    run and in its plateau (training loss below 1e-6, or after 1,500 steps); medians are shown.
    matmul: multiply-adds of the factored form, counted as matrix products, over time, as a share
    of the speed of a large float32 product. The default takes about ten minutes.
    """
    from grok_cli.bench import measure

    cores = available_cores()
    if threads is None:
        threads = f"1,{cores}" if cores > 1 else "1"
    progress = Console(stderr=True)
    timings = measure(
        [_placement(name) for name in ln_type.split(",")],
        _numbers("--eval-every", eval_every, least=0),
        _numbers("--threads", threads, least=1),
        rounds=rounds,
        cores=cores,
        say=lambda text: progress.print(text, highlight=False),
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


def _numbers(option: str, text: str, least: int) -> list[int]:
    try:
        numbers = [int(word) for word in text.split(",")]
    except ValueError:
        numbers = [least - 1]
    if min(numbers) < least:
        raise UsageError(
            f"{option}: {text!r} is not a list of numbers; expected numbers of at least {least} "
            f"separated by commas, such as {option} 1,10"
        )
    return numbers


def _print(console: Console, timings: "Timings") -> None:
    console.print(f"float32 matrix product: {timings.matmul_gflops:.0f} GFLOP/s")
    rows = [asdict(r) | {"steps_per_second": 1000 / r.fast_ms} for r in timings.results]
    print_table(TIMINGS, rows, console=console)
    console.print("\nfast engine, in the plateau:")
    print_table(ESTIMATES, [asdict(estimate) for estimate in timings.estimates], console=console)
