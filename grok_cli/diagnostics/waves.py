"""Waves over the residues mod p: how much each holds of a table over tokens."""

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from grok_cli.core.interventions import only as only

KEY_SHARE = 0.95  # key frequencies are the fewest that hold this share together


def waves(table: Float[Tensor, "p n"]) -> Complex[Tensor, "frequency n"]:
    """Fourier transform over the residues (rows); frequencies 0, 1, ..., p // 2."""
    spectrum: Tensor = torch.fft.rfft(table.double(), dim=0)
    return spectrum


def shares(table: Float[Tensor, "p n"]) -> Float[Tensor, " frequency"]:
    """Share of each frequency 1, ..., p // 2 in the table's variance over residues; they sum to 1.

    By Parseval's theorem the variance is the sum over frequencies, of which all but p / 2 count
    twice, as k and p - k.
    """
    energy = waves(table).abs().square().sum(dim=1)[1:]
    if len(table) % 2 == 0:
        energy[-1] /= 2
    return energy / energy.sum()


def key_frequencies(share: Float[Tensor, " frequency"]) -> Int[Tensor, " key"]:
    """The fewest frequencies that hold `KEY_SHARE` together, the largest first."""
    ordered, index = share.sort(descending=True)
    count = int((ordered.cumsum(0) < KEY_SHARE).sum()) + 1
    return index[:count] + 1
