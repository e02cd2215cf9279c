"""The panels of one network, and the film of several."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from grok_cli.diagnostics.inside import look
from grok_cli.errors import UsageError
from grok_cli.figures.film import picture, write_film, writer
from grok_cli.figures.network import KINDS, TO, caption, panels
from grok_cli.figures.sheet import draw_sheet
from grok_cli.figures.style import WHEEL
from tests.diagnostics.builders import small_subject


def test_there_is_a_panel_for_each_plane_head_and_element() -> None:
    charts = panels(look(small_subject(n_layers=2)), TO)
    names = [chart.name for chart in charts]
    assert len(set(names)) == len(names)
    assert len([name for name in names if name.startswith("attention")]) == 2 * 2 * 2
    assert {"circle0", "spectrum", "logits", "answers"} <= set(names)


def test_answers_are_four_kinds() -> None:
    inside = look(small_subject())
    cells = panels(inside)[-1].cells
    assert cells is not None
    assert cells.names == KINDS
    right = cells.values % 2 == 1
    trained = cells.values >= 2
    assert right.sum() == inside.right.sum()
    assert (trained == inside.train.numpy()).all()
    said = [("right" in name, "training" in name) for name in KINDS]
    assert said == [(bool(kind % 2), kind >= 2) for kind in range(4)]


def test_the_factors_of_an_attention_panel_make_its_cells() -> None:
    for chart in panels(look(small_subject()), TO):
        if chart.cells is None or chart.cells.factors is None:
            continue
        parts = chart.cells.factors
        a, b = np.exp(parts.first)[:, None], np.exp(parts.second)[None, :]
        share = (a, b)[parts.of] / (a + b + 1)
        assert np.allclose(share, chart.cells.values)


def test_two_rows_of_panels_are_1200_by_630_and_places_are_fixed(tmp_path: Path) -> None:
    first = look(small_subject(n_heads=4))
    other = look(small_subject(n_heads=4, noise=2.0))
    sheets = [draw_sheet(panels(inside), "a run", caption(inside)) for inside in (first, other)]
    boxes = [[axes.get_position().bounds for axes in sheet.axes] for sheet in sheets]
    assert boxes[0] == boxes[1]
    assert picture(sheets[0], 1200).size == (1200, 630)
    assert picture(sheets[0], 600).size == (600, 316)


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_a_film_has_every_frame_and_holds_the_last(tmp_path: Path, ending: str) -> None:
    colours = ["red", "green", "blue"]
    frames = [Image.new("RGB", (20, 10), colour) for colour in colours]
    write_film(tmp_path / f"film{ending}", frames, 5)
    with Image.open(tmp_path / f"film{ending}") as film:
        assert (film.n_frames, film.info["loop"]) == (3, 0)  # for ever
        durations = []
        for place in range(3):
            film.seek(place)
            film.load()
            durations.append(film.info["duration"])
            shown = np.asarray(film.convert("RGB"), dtype=int)[5, 10]
            assert abs(shown - np.asarray(frames[place])[5, 10]).max() < 8
    assert durations == [200, 200, 2000]


def test_small_dots_keep_their_colours_in_a_gif(tmp_path: Path) -> None:
    level = np.linspace(90, 130, 200).astype(np.uint8)
    frame = np.repeat(np.broadcast_to(level, (100, 200))[..., None], 3, axis=2).copy()
    frame[::2, :, 2] += 30  # large areas in many shades of blue and grey
    dots = {(5 * i, 10 * i): np.array(ImageColor.getrgb(hue)) for i, hue in enumerate(WHEEL)}
    for (row, column), colour in dots.items():
        frame[row : row + 2, column : column + 2] = colour
    write_film(tmp_path / "film.gif", [Image.fromarray(frame)], 5)
    with Image.open(tmp_path / "film.gif") as film:
        shown = np.asarray(film.convert("RGB"), dtype=int)
    assert max(abs(shown[place] - colour).max() for place, colour in dots.items()) < 25


def test_another_ending_is_refused_and_a_missing_package_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UsageError, match=r"expected a file ending in \.gif, \.mp4, \.webp"):
        writer(Path("film.avi"))
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(UsageError, match=r"MP4 .* needs a package that is not installed"):
        writer(Path("film.mp4"))


def test_mp4_is_encoded_in_silence_where_the_package_is_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    frames = [Image.new("RGB", (64, 32), colour) for colour in ("red", "blue")]
    write_film(tmp_path / "film.mp4", frames, 5)
    assert capfd.readouterr() == ("", "")
    count, seconds = ffmpeg.count_frames_and_secs(str(tmp_path / "film.mp4"))
    assert count == 11  # two, and the last for two seconds
    assert seconds == pytest.approx(2.2, abs=0.3)
