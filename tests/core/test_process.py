"""A process that trains: every thread flushes subnormal numbers, and nothing slow is imported."""

import subprocess
import sys

import pytest
import torch

from grok_cli.core.process import one_thread

pytestmark = pytest.mark.slow

LATE = """
import torch
torch.set_num_threads(2)
torch.ones(2**20).mul(2.0)  # starts the pool
from grok_cli.core.process import prepare_process
print(prepare_process(2))
"""

EARLY = """
from grok_cli.core.process import prepare_process
print(prepare_process({threads}))
"""


def _output(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.parametrize("threads", [1, 2])
def test_all_threads_flush_if_prepared_first(threads: int) -> None:
    expected = f"ProcessFacts(threads={threads}, flush_denormal=True)"
    assert _output(EARLY.format(threads=threads)) == expected


def test_a_pool_started_before_is_found_out() -> None:
    assert _output(LATE) == "ProcessFacts(threads=2, flush_denormal=False)"


def test_threads_are_as_many_as_before_also_after_an_error() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(ZeroDivisionError), one_thread():
            1 / (torch.get_num_threads() - 1)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_crew_flushes_too() -> None:
    code = EARLY.format(threads=2) + (
        "from grok_cli.core.engines.fast.crew import Crew\n"
        "from grok_cli.core.process import all_threads_flush\n"
        "print(Crew(2).map(lambda _: all_threads_flush(), range(4)))\n"
    )
    assert _output(code).splitlines()[-1] == str([True] * 4)


TRAIN = """
import sys
from grok_cli.core.config import Config
from grok_cli.core.training import Trainer
for engine, ln_type in (("plain", "pre"), ("fast", "off"), ("fast", "pre"), ("fast", "post")):
    sizes = {"d_model": 8, "n_heads": 2, "ln_type": ln_type}
    train = {"steps": 3, "engine": engine}
    Trainer(Config(data={"modulus": 7}, model=sizes, train=train)).run()
    print([name for name in ("sympy", "torch._dynamo") if name in sys.modules])
"""


def test_training_imports_neither_sympy_nor_the_compiler() -> None:
    assert _output(TRAIN).splitlines() == 4 * ["[]"]
