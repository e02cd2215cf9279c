"""The random numbers that PyTorch draws on an NVIDIA GPU, computed on any machine.

The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC
2011): ten rounds that mix a 128-bit counter with a 64-bit key into 128 random bits, without state.
PyTorch's CUDA kernels (cuRAND) take the seed as the key and, as the words of the counter,

    (counters used so far, 0, thread, 0)

A kernel runs min(ceil(n / 256), 8 * multiprocessors) blocks of 256 threads. Thread t of T fills
the elements t, t + T, t + 2T, t + 3T from the four words w0..w3 of one counter, then the next
four from the next counter. As long as n <= T, element e is w0 of thread e.

    uniform   u(w) = w * 2^-32 + 2^-33, in (0, 1]
    normal    sqrt(-2 ln u(w0)) * sin(2 pi u(w1)), then cos; the same from w2 and w3

Numbers are rounded to float32 where the GPU rounds them; logarithm, sine and erfinv are computed in
float64, so that the last digit of a number may differ from a GPU's own functions.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

A100_MULTIPROCESSORS = 108  # the GPU whose layout tensors of more elements than threads follow
BLOCK = 256
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_STEPS = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10
LOW = 0xFFFFFFFF  # the low 32 bits of a 64-bit number


def philox(counter: Int[Tensor, "4 n"], key: tuple[int, int]) -> Int[Tensor, "4 n"]:
    """Philox4x32-10 of each counter: 32-bit words, kept in int64."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        # int64 wraps around at 2^64, which leaves the 64 bits of the product as they should be.
        first, second = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1 = ((second >> 32) & LOW) ^ c1 ^ k0, second & LOW
        c2, c3 = ((first >> 32) & LOW) ^ c3 ^ k1, first & LOW
        k0, k1 = (k0 + KEY_STEPS[0]) & LOW, (k1 + KEY_STEPS[1]) & LOW
    return torch.stack([c0, c1, c2, c3])


class GpuRandom:
    """What `torch.Generator("cuda").manual_seed(seed)` draws; each call goes on from the last."""

    def __init__(self, seed: int, multiprocessors: int = A100_MULTIPROCESSORS) -> None:
        self.key = seed & LOW, seed >> 32
        self.most_threads = 8 * multiprocessors * BLOCK
        self.counters_used = 0

    def normal(self, shape: tuple[int, ...], std: float) -> Float[Tensor, "..."]:
        """Normal numbers of mean 0, in float32; as `tensor.normal_(std=std)`."""
        return self._fill(shape, _normals) * std

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> Float[Tensor, "..."]:
        """Uniform numbers in (low, high], in float32; as `tensor.uniform_(low, high)`."""
        return self._fill(shape, _uniforms) * (high - low) + low

    def trunc_normal(self, shape: tuple[int, ...], std: float) -> Float[Tensor, "..."]:
        """Normal numbers without those beyond two std, in float32.

        By inversion, as `torch.nn.init.trunc_normal_(tensor, std=std, a=-2 * std, b=2 * std)`:
        std * sqrt(2) * erfinv(uniform in (2 Phi(-2) - 1, 2 Phi(2) - 1)).
        """
        bound = math.erf(math.sqrt(2))  # 2 Phi(2) - 1
        uniform = self.uniform(shape, -bound, bound)
        values = torch.erfinv(uniform.double()).float() * (std * math.sqrt(2))
        return values.clamp(-2 * std, 2 * std)

    def _fill(
        self, shape: tuple[int, ...], transform: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "..."]:
        """A tensor filled as one kernel fills it, from the four numbers that `transform` makes of
        the four words of a counter."""
        n = math.prod(shape)
        threads = min(-(-n // BLOCK) * BLOCK, self.most_threads)
        counters = -(-n // (4 * threads))  # of each thread
        call = torch.arange(counters).repeat_interleave(threads) + self.counters_used
        thread = torch.arange(threads).repeat(counters)
        words = philox(torch.stack([call, 0 * call, thread, 0 * call]), self.key)
        self.counters_used += counters
        numbers = transform(words).reshape(4, counters, threads)
        return numbers.transpose(0, 1).flatten()[:n].reshape(shape)


def _uniforms(words: Int[Tensor, "words n"]) -> Float[Tensor, "words n"]:
    return words.float() * 2.0**-32 + 2.0**-33


def _normals(words: Int[Tensor, "words n"]) -> Float[Tensor, "words n"]:
    radius = (-2 * _uniforms(words[::2]).double().log()).sqrt().float()
    angle = (words[1::2].float() * (2.0**-32 * 2 * math.pi) + 2.0**-33 * 2 * math.pi).double()
    sines, cosines = radius * angle.sin().float(), radius * angle.cos().float()
    return torch.stack([sines, cosines], dim=1).flatten(0, 1)
