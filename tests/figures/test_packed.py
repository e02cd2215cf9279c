"""Numbers of a page: rounded, packed, and read back as the page reads them."""

import zlib
from base64 import b64decode
from typing import Any

import numpy as np
import pytest

from grok_cli.diagnostics.inside import look
from grok_cli.figures.chart import Array
from grok_cli.figures.network import TO, panels
from grok_cli.figures.packed import Blob, pack_frames
from tests.diagnostics.builders import small_subject


def unpacked(blob: Blob) -> bytes:
    return zlib.decompress(b64decode(blob.text()))


def numbers(data: bytes, told: dict[str, Any], frame: int = 0) -> Array:
    """As page/unpack.js does."""
    kind = np.dtype("u1") if told["bytes"] == 1 else np.dtype("<u2")
    start = told["at"] + frame * told["n"] * told["bytes"]
    levels = np.frombuffer(data, kind, told["n"], start)
    values = told["low"] + (levels.astype(float) - 1) * told["step"]
    return np.where(levels == 0, np.nan, np.exp(values) if told["log"] else values)


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("log", [False, True])
def test_numbers_are_rounded_by_less_than_half_a_level(fine: bool, log: bool) -> None:
    values = np.array([[1e-6, 0.5, 3.0], [20.0, np.nan, 7.0]])
    blob = Blob()
    blob.add(np.array([1], np.uint8))  # what follows begins at a multiple of four
    told = blob.levels(values, log=log, fine=fine)
    assert told["at"] % 4 == 0
    found = np.stack([numbers(unpacked(blob), told, frame) for frame in range(2)])
    assert np.isnan(found[1, 1])
    known = np.isfinite(values)
    scale = np.log if log else np.asarray
    off = np.abs(scale(found[known]) - scale(values[known]))
    width = np.ptp(scale(values[known]))
    assert off.max() <= 0.5001 * width / (65534 if fine else 254)


def test_numbers_that_are_all_alike_or_none_are_told() -> None:
    blob = Blob()
    same, none = blob.levels(np.array([2.0, 2.0])), blob.levels(np.array([np.nan, np.inf]))
    data = unpacked(blob)
    assert numbers(data, same).tolist() == [2.0, 2.0]
    assert np.isnan(numbers(data, none)).all()


def test_frames_of_panels_come_back() -> None:
    frames = [panels(look(small_subject(noise=noise)), TO) for noise in (0.0, 0.3, 0.8)]
    blob = Blob()
    told = {panel["name"]: panel for panel in pack_frames(frames, blob)}
    data = unpacked(blob)
    for place, chart in enumerate(frames[0]):
        panel = told[chart.name]
        for frame, charts in enumerate(frames):
            here = charts[place]
            if here.dots is not None:
                for name, values in (("x", here.dots.x), ("y", here.dots.y)):
                    assert np.allclose(numbers(data, panel["dots"][name], frame), values, atol=0.02)
                if not frame:  # frames of one run are of the same planes
                    assert np.allclose(panel["dots"]["turns"], here.dots.turns, atol=1e-4)
            for line, packed in zip(here.lines, panel["lines"], strict=True):
                half = packed["y"]["step"] * 0.51
                assert np.allclose(numbers(data, packed["y"], frame), line.y, rtol=0, atol=half)
                assert packed["x"] == line.x[0]
            if here.cells is not None and here.cells.names:
                count, parts = here.cells.values.size, panel["kinds"]
                found = np.zeros(count, np.uint8)
                for before in range(frame + 1):
                    found ^= np.frombuffer(data, np.uint8, count, parts["at"] + before * count)
                assert (found.reshape(here.cells.values.shape) == here.cells.values + 1).all()
            if here.cells is not None and here.cells.factors is not None:
                parts = panel["shares"]
                a = np.exp(numbers(data, parts["first"], frame))[:, None]
                b = np.exp(numbers(data, parts["second"], frame))[None]
                share = (b if parts["of"] else a) / (a + b + 1)
                assert np.allclose(share, here.cells.values, atol=0.005)


def test_grids_that_no_factors_make_are_left_out() -> None:
    frames = [panels(look(small_subject(n_layers=2)))]
    names = [panel["name"] for panel in pack_frames(frames, Blob())]
    assert "attention0a0" in names
    assert not [name for name in names if name.startswith("attention1")]
