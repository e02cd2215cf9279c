"""The compiled kernels: their functions, when they are used, and what happens where they cannot."""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from grok_cli.bench.products import work_of
from grok_cli.core.data import Dataset
from grok_cli.core.engines import FastEngine
from grok_cli.core.engines.fast import choice, kernels
from grok_cli.core.engines.fast.products import OneDnnProducts, Products, has_onednn
from grok_cli.core.initial import initial_model
from grok_cli.core.training import Trainer
from grok_cli.errors import GrokWarning
from grok_cli.runs.directory import RunDir, create_run
from grok_cli.runs.launch import train_run
from tests.conftest import small_config

pytestmark = pytest.mark.xdist_group("numba")  # compiled once for all

CPU = torch.device("cpu")
ON_CPU = "onednn" if has_onednn(torch.float32, CPU) else "torch"
ROUNDINGS = {np.float32: 1.2e-7, np.float64: 1e-12}  # the latter that of the approximations


@pytest.fixture
def unknown() -> Iterator[None]:
    """Nobody has tried yet whether kernels can be compiled."""
    choice.hindrance_to_numba.cache_clear()
    yield
    choice.hindrance_to_numba.cache_clear()


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_exp_is_exact_to_a_few_roundings(real: type) -> None:
    x = np.linspace(-86, 0, 20_001).astype(real)
    found = [kernels.exp(number) for number in x]
    np.testing.assert_allclose(found, np.exp(x.astype(float)), rtol=5 * ROUNDINGS[real])
    assert [kernels.exp(real(number)) for number in (-88.0, -1e30, -np.inf)] == [0, 0, 0]
    assert np.isnan(kernels.exp(real(np.nan)))


@pytest.mark.parametrize("real", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("compiled", "known"), [(kernels.gelu, F.gelu), (kernels.relu, F.relu), (kernels.silu, F.silu)]
)
def test_activations_and_their_slopes_are_torch_s(compiled, known, real: type) -> None:  # type: ignore[no-untyped-def]
    x = np.concatenate((np.linspace(-12, 12, 4001), [-1e4, -40, 40, 1e4])).astype(real)
    out, slope = np.empty_like(x), np.empty_like(x)
    compiled(x, out, slope)
    leaf = torch.from_numpy(x).double().requires_grad_()
    expected = known(leaf)
    expected.sum().backward()
    tolerance = {"rtol": 4 * ROUNDINGS[real], "atol": 4 * ROUNDINGS[real]}
    np.testing.assert_allclose(out, expected.detach(), **tolerance)
    np.testing.assert_allclose(slope, leaf.grad, **tolerance)


def test_a_number_that_is_none_stays_none() -> None:
    x = np.array([np.nan, 1.0], np.float32)
    for function in (kernels.gelu, kernels.relu, kernels.silu):
        out, slope = np.empty_like(x), np.empty_like(x)
        function(x, out, slope)
        assert np.isnan(out[0])
        assert np.isfinite(out[1])
    logits, labels = np.array([[np.nan, 1.0, 2.0]], np.float32), np.zeros((1, 1), np.int64)
    loss, correct = kernels.answer(logits, 0, 3, labels, np.zeros((0, 0), np.float32), 1.0)
    assert np.isnan(loss)
    assert correct == 0


def test_onednn_multiplies() -> None:
    generator = torch.Generator().manual_seed(0)
    x, w = (torch.randn(n, 9, generator=generator) for n in (5, 7))
    for left, right in ((x, w), (x[:, 1:], w[:, 1:]), (x.T, w[:5].T)):
        torch.testing.assert_close(OneDnnProducts.of(left, right), Products.of(left, right))
    sums = [torch.ones(5, 9) for _ in range(2)]
    OneDnnProducts.add(sums[0][:, 1:8], x, w)
    Products.add(sums[1][:, 1:8], x, w)
    torch.testing.assert_close(*sums)


def test_a_matrix_with_gaps_between_its_rows_is_not_left_to_the_slow_reference() -> None:
    x, w = torch.ones(3, 4), torch.ones(5, 9)
    (product,) = work_of(lambda: OneDnnProducts.of(x, w[:, :4])).products
    assert product.right.stride == (1, 4)


def test_products_of_a_model_are_onednn_s_and_have_the_gradients_of_torch_s() -> None:
    config = small_config(model__n_layers=2, model__ln_type="pre")
    dataset = Dataset.of(config)
    model = initial_model(config, dataset.vocab)
    gradients = []
    for products in (Products, OneDnnProducts):
        model.zero_grad()
        with products.everywhere():
            work = work_of(lambda: model(dataset.tokens[:20]).square().sum().backward())
        made_by = {product.by for product in work.products if len(product.left.size) == 2}
        gradients.append([p.grad for p in model.trainable().values()])
        if products is OneDnnProducts:
            assert made_by == {OneDnnProducts}
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"train__steps": 999}, ON_CPU),
        ({"train__steps": 1000}, "numba"),
        ({"train__steps": 1000, "model__n_layers": 2}, ON_CPU),  # has no rows to compile
        ({"train__steps": 1000, "run__kernels": "torch"}, "torch"),
        ({"train__steps": 10, "run__kernels": "numba"}, "numba"),
        ({"train__steps": 10, "run__kernels": "onednn"}, ON_CPU),
        ({"train__steps": 10, "run__kernels": "onednn", "train__dtype": "float64"}, "torch"),
        ({"train__steps": 1000, "train__dtype": "float64"}, "numba"),
    ],
)
def test_kernels_are_the_fastest_that_pay(settings: dict[str, object], expected: str) -> None:
    config = small_config(**settings)
    dataset = Dataset.of(config)
    engine = FastEngine(config, initial_model(config, dataset.vocab), dataset)
    assert engine.kernels == expected


@pytest.mark.parametrize("wanted", ["auto", "torch", "onednn", "numba"])
def test_on_a_gpu_the_kernels_are_torch_s(wanted: str) -> None:
    gpu = torch.device("cuda")
    assert not has_onednn(torch.float32, gpu)
    config = small_config(run__kernels=wanted, train__steps=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choice.choose_kernels(config, gpu, factored=True) == "torch"


def test_without_numba_runs_go_on_and_say_so_where_it_was_asked_for(
    unknown: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "grok_cli.core.engines.fast.compiled", None)
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Trainer(small_config(train__steps=1000)).engine.kernels == ON_CPU
    with pytest.warns(GrokWarning, match="numba cannot be used here: "):
        trainer = Trainer(small_config(run__kernels="numba"))
    assert trainer.engine.kernels == ON_CPU


def test_where_compiled_code_cannot_be_kept_runs_go_on_and_say_so(tmp_path: Path) -> None:
    """A cache folder that cannot be made; the folder of the package may be written here."""
    code = (
        "from grok_cli.core.training import Trainer\n"
        "from tests.conftest import small_config\n"
        "for _ in range(2): print(Trainer(small_config(run__kernels='numba')).engine.kernels)"
    )
    outside = {
        "NUMBA_CACHE_DIR": "/dev/null/none",
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | outside, capture_output=True, text=True
    )
    assert done.stdout.split() == [ON_CPU, ON_CPU], done.stderr
    assert done.stderr.count("numba cannot be used here") == 1


@pytest.mark.slow
def test_what_another_processor_compiled_is_compiled_anew(tmp_path: Path) -> None:
    """A folder that two machines share; its code may have instructions that one of them lacks."""
    code = (
        "import numpy as np\n"
        "from grok_cli.core.engines.fast.kernels import exp\n"
        "print(exp(np.float32(-1)), *(sum(n.values()) for n in exp.stats[1:]))"
    )
    shared = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}

    def computed_on(processor: str) -> tuple[float, int, int]:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=shared | {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": ""},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        value, hits, misses = done.stdout.split()
        return float(value), int(hits), int(misses)

    exact = pytest.approx(np.exp(-1), rel=1e-6)
    assert computed_on("x86-64") == (exact, 0, 1)
    assert computed_on("x86-64") == (exact, 1, 0)
    assert computed_on("nehalem") == (exact, 0, 1)


def begun(path: Path, kernels: str) -> RunDir:
    """A run that was stopped after its 6th step."""
    config = small_config(train__steps=20, run__kernels=kernels, run__threads=1)
    run, steps = create_run(path, config), iter(range(100))
    train_run(run, config, should_stop=lambda: next(steps) == 5)
    return run


def test_a_run_goes_on_with_the_kernels_that_it_began_with(tmp_path: Path) -> None:
    config = small_config(train__steps=20, run__threads=1)
    whole = small_config(train__steps=20, run__kernels="numba", run__threads=1)
    undisturbed = create_run(tmp_path / "whole", whole)
    train_run(undisturbed, whole)
    run = begun(tmp_path / "run", "numba")
    train_run(run, config)
    assert [session["kernels"] for session in run.sessions()] == ["numba", "numba"]
    assert run.metrics_file.read_bytes() == undisturbed.metrics_file.read_bytes()


def test_a_run_of_a_time_without_kernels_goes_on_with_torch_s(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", "torch")
    text = run.environment_file.read_text()
    run.environment_file.write_text(text.replace('"kernels": "torch",', ""))
    train_run(run, small_config(train__steps=20, run__threads=1))
    assert run.sessions()[-1]["kernels"] == "torch"


def test_other_kernels_than_before_are_told(tmp_path: Path) -> None:
    run = begun(tmp_path / "run", "numba")
    other = small_config(train__steps=20, run__kernels="torch", run__threads=1)
    with pytest.warns(GrokWarning, match="from step 7 on, last digits of float32 are others"):
        train_run(run, other)
