"""The published runs' own initial weights."""

import math
from collections.abc import Sequence

import pytest
import torch

from grok_cli.core.config import Config
from grok_cli.core.data import Dataset
from grok_cli.core.engines import PlainEngine
from grok_cli.core.gpu_random import GpuRandom, _normals, philox
from grok_cli.core.initial import initial_model
from grok_cli.core.model import Transformer
from grok_cli.core.training import Recorder, Row, Trainer
from tests.conftest import small_config

PUBLISHED_SEEDS = (456, 789, 111, 222, 333)

# Mean, lowest and highest training loss of step 1 over the published seeds, and mean training and
# test loss of step 50 (published code of arXiv 2602.06702, its notebooks).
PUBLISHED = {
    "off": ((4.7417625, 4.7381372, 4.7451191), (4.304607, 5.475694)),
    "attn-pre": ((4.8313666, 4.8158474, 4.8569169), (1.997910, 7.292460)),
    "mlp-pre": ((4.8743968, 4.8466191, 4.9559517), (3.416215, None)),
    "pre": ((4.943989, 4.921495, 4.9868547), (2.004686, 6.111321)),
}


class Rows(Recorder):
    """Keeps the rows by their step."""

    def __init__(self) -> None:
        self.by_step: dict[int, Row] = {}

    def rows(self, rows: Sequence[Row]) -> None:
        self.by_step |= {int(row["step"]): row for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("ln_type", PUBLISHED)
def test_first_fifty_steps_are_the_published_ones(ln_type: str) -> None:
    first, train, test = [], [], []
    for seed in PUBLISHED_SEEDS:
        config = Config.model_validate(
            {"model": {"ln_type": ln_type}, "train": {"seed": seed, "steps": 50, "eval_every": 50}}
        )
        rows = Rows()
        Trainer(config).run(rows)
        first.append(rows.by_step[1]["train/loss"])
        train.append(rows.by_step[50]["train/loss"])
        test.append(rows.by_step[50]["test/loss"])
    step_1, step_50 = PUBLISHED[ln_type]
    assert (sum(first) / 5, min(first), max(first)) == pytest.approx(step_1, rel=0, abs=3e-7)
    assert sum(train) / 5 == pytest.approx(step_50[0], rel=0, abs=1e-5)
    if step_50[1] is not None:
        assert sum(test) / 5 == pytest.approx(step_50[1], rel=0, abs=1e-5)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_philox_gives_its_authors_known_answers(counter: str, key: str, expected: str) -> None:
    """The vectors "philox4x32 10" of Random123's file kat_vectors."""
    words = torch.tensor([[int(word, 16)] for word in counter.split()])
    k0, k1 = (int(word, 16) for word in key.split())
    assert [f"{word:08x}" for word in philox(words, (k0, k1))[:, 0].tolist()] == expected.split()


def by_hand(seed: int, call: int, thread: int) -> list[int]:
    """The words of one counter, in Python's own integers."""
    counter, key = [call, 0, thread, 0], [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        first, second = counter[0] * 0xD2511F53, counter[2] * 0xCD9E8D57
        counter = [
            (second >> 32) ^ counter[1] ^ key[0],
            second & 0xFFFFFFFF,
            (first >> 32) ^ counter[3] ^ key[1],
            first & 0xFFFFFFFF,
        ]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return counter


def test_an_element_is_the_first_number_of_its_own_thread() -> None:
    draws = GpuRandom(456)
    draws.uniform((7,), 0.0, 1.0)  # call 0
    normal, uniform = draws.normal((3, 200), 2.0), draws.uniform((4, 5), -1.0, 3.0)
    w0, w1, *_ = by_hand(456, call=1, thread=401)
    radius = math.sqrt(-2 * math.log(w0 / 2**32 + 2**-33))
    expected = 2 * radius * math.sin(2 * math.pi * (w1 / 2**32 + 2**-33))
    assert float(normal[2, 1]) == pytest.approx(expected, abs=1e-5)
    w0, *_ = by_hand(456, call=2, thread=13)
    assert float(uniform[2, 3]) == pytest.approx(4 * w0 / 2**32 - 1, abs=1e-6)


def test_a_tensor_of_more_elements_than_threads_uses_all_four_words() -> None:
    """One multiprocessor has 2,048 threads: element 2,048 * (4 c + k) + t is number k of thread t
    in its counter c."""
    draws = GpuRandom(7, multiprocessors=1)
    n = 2048 * 5
    uniform, normal = draws.uniform((n,), 0.0, 1.0), draws.normal((n,), 1.0)
    for element, call, word in (
        (5, 0, 0),
        (2048 + 5, 0, 1),
        (3 * 2048, 0, 3),
        (4 * 2048 + 9, 1, 0),
    ):
        words = by_hand(7, call, element % 2048)
        assert float(uniform[element]) == pytest.approx(words[word] / 2**32, abs=1e-6)
        words = by_hand(7, 2 + call, element % 2048)  # the call before used two counters
        u, v = words[2 * (word // 2)] / 2**32, words[2 * (word // 2) + 1] / 2**32
        wave = math.cos if word % 2 else math.sin
        expected = math.sqrt(-2 * math.log(u)) * wave(2 * math.pi * v)
        assert float(normal[element]) == pytest.approx(expected, abs=1e-4)
    assert draws.counters_used == 4


def test_a_published_tensor_fits_an_a100() -> None:
    draws = GpuRandom(0)
    assert draws.most_threads == 108 * 2048  # multiprocessors, threads that one holds
    draws.normal((864 * 256,), 1.0)
    assert draws.counters_used == 1
    draws.normal((864 * 256 * 4 + 1,), 1.0)
    assert draws.counters_used == 3


def test_the_smallest_words_give_the_smallest_numbers() -> None:
    """Words of 0 are u = 2^-33: a radius of sqrt(66 ln 2) at an angle of 2 pi 2^-33."""
    radius, angle = math.sqrt(66 * math.log(2)), 2 * math.pi * 2.0**-33
    sine, cosine, *_ = _normals(torch.zeros(4, 1, dtype=torch.int64)).flatten().tolist()
    assert (sine, cosine) == pytest.approx((radius * angle, radius), rel=1e-6)


def test_truncated_normal_is_erfinv_of_a_uniform_and_stays_within_two_std() -> None:
    values = GpuRandom(1).trunc_normal((100_000,), 0.5)
    assert values.abs().max() <= 1.0
    assert float(values.std()) == pytest.approx(0.5 * 0.8796, rel=0.01)  # of a truncated normal
    w0, *_ = by_hand(1, 0, 777)
    probability = 0.02275013 + 0.95449974 * w0 / 2**32  # Phi(-2) + (Phi(2) - Phi(-2)) u
    expected = 0.5 * math.sqrt(2) * float(torch.erfinv(torch.tensor(2 * probability - 1)))
    assert float(values[777]) == pytest.approx(expected, abs=1e-5)


def published(**changes: object) -> Transformer:
    return initial_model(small_config(**changes), 14)


def test_each_matrix_has_its_own_call_in_the_published_order() -> None:
    """Embedding; of each block attention output, MLP in, gate, out; unembedding as (d, vocab)."""
    model = published(model__n_layers=2, model__mlp_type="gated")
    d, gpu = model.config.d_model, GpuRandom(model_seed())
    assert model.embed.equal(gpu.normal((14, d), d**-0.5))
    for block in model.layers():
        mlp = block.mlp
        for weight in (block.attn.out, mlp.w_in, mlp.w_gate, mlp.w_out):
            assert weight is not None
            assert weight.equal(gpu.trunc_normal(tuple(weight.shape), weight.shape[1] ** -0.5))
    assert model.unembed is not None
    assert model.unembed.T.equal(gpu.normal((d, 14), d**-0.5))


def test_positions_and_qkv_come_from_the_stream_of_modules_as_they_are_made() -> None:
    """With torch's own modules, in the order of the published code's constructors."""
    model = published(model__n_layers=2, model__mlp_type="gated")
    d, hidden = model.config.d_model, model.config.d_mlp
    with torch.random.fork_rng():
        torch.manual_seed(model_seed())
        torch.nn.Embedding(14, d)
        assert model.pos.equal(torch.randn(3, d) * 0.02)
        for block in model.layers():
            torch.nn.Linear(d, d, bias=False)
            assert block.attn.qkv.equal(torch.nn.init.xavier_uniform_(torch.empty(3 * d, d)))
            torch.nn.Linear(d, hidden)
            torch.nn.Linear(d, hidden)
            torch.nn.Linear(hidden, d)


def model_seed() -> int:
    return small_config().train.seed


def test_kaiming_draws_normals() -> None:
    model = published(model__init="kaiming")
    d, gpu = model.config.d_model, GpuRandom(model_seed())
    gpu.normal((14, d), 1.0)
    assert model.layers()[0].attn.out.equal(gpu.normal((d, d), (2 / d) ** 0.5))


def test_a_tied_model_draws_the_same_embedding() -> None:
    assert published(model__unembed="tied").embed.equal(published().embed)


def test_seeds_beyond_32_bits_use_both_words_of_the_key() -> None:
    w0, *_ = by_hand(456 + (3 << 32), 0, 0)
    value = GpuRandom(456 + (3 << 32)).uniform((1,), 0.0, 1.0)
    assert float(value) == pytest.approx(w0 / 2**32, abs=1e-6)


def test_draws_of_the_cpu_stay_available() -> None:
    """PyTorch's own functions, parameter by parameter."""
    model = published(model__init_draws="cpu")
    d, generator = model.config.d_model, torch.Generator().manual_seed(model_seed())
    expected = torch.nn.init.normal_(torch.empty(14, d), std=d**-0.5, generator=generator)
    assert model.embed.equal(expected)
    assert not published().embed.equal(expected)


def test_draws_belong_to_what_a_run_is() -> None:
    assert small_config().digest() != small_config(model__init_draws="cpu").digest()


def test_a_run_recorded_before_there_were_published_draws_keeps_those_of_the_cpu() -> None:
    sections = small_config().model_dump(mode="json")
    assert Config.recorded(sections).model.init_draws == "published"
    del sections["model"]["init_draws"]
    assert Config.recorded(sections).model.init_draws == "cpu"
    assert Config.model_validate(sections).model.init_draws == "published"


def test_the_plain_engine_starts_from_the_published_loss_too() -> None:
    config = Config.model_validate({"model": {"ln_type": "pre"}, "train": {"seed": 456}})
    dataset = Dataset.of(config)
    engine = PlainEngine(config, initial_model(config, dataset.vocab), dataset)
    loss = float(engine.evaluate(dataset.train).loss)
    assert 4.921494 <= loss <= 4.986856
