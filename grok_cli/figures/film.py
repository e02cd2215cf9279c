"""Frames as one file that moves: GIF and WebP by Pillow, MP4 by imageio-ffmpeg (an extra)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from grok_cli.errors import UsageError, lacking
from grok_cli.runs.files import write_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

COLOURS = 64  # of a GIF, shared by all its frames; twice that
HELD = 2.0  # seconds for which the last frame stays
LOOKED_AT = 8  # frames from which a GIF's colours are chosen


def picture(figure: "Figure", width: int) -> "Image":
    """A figure as a picture of that many points across."""
    from PIL import Image

    content = BytesIO()
    figure.savefig(content, format="raw", dpi=figure.dpi)
    across, down = figure.canvas.get_width_height()
    image = Image.frombuffer("RGBA", (across, down), content.getvalue()).convert("RGB")
    height = round(down * width / across / 2) * 2  # MP4 takes even numbers only
    return image if width == across else image.resize((width, height), Image.Resampling.LANCZOS)


def writer(path: Path) -> "Callable[[Iterable[Image], float], bytes]":
    """What makes a film of the kind that the file's ending says, of frames and frames a second.

    Raises:
        UsageError: another ending, or what it takes is not installed.
    """
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise UsageError(f"{path}: expected a file ending in {', '.join(KINDS)}")
    if kind == ".mp4":
        try:
            import imageio_ffmpeg  # noqa: F401
        except ImportError:
            raise lacking(f"{path}: MP4 (unlike .gif, .webp)", "imageio-ffmpeg>=0.5") from None
    return KINDS[kind]


def write_film(path: Path, frames: "Iterable[Image]", fps: float) -> None:
    """Write frames as a film; the last one stays for two seconds.

    Raises:
        UsageError: the file's ending says no known kind.
        GrokError: it cannot be written.
    """
    write_output(path, writer(path)(frames, fps))


def _gif(frames: "Iterable[Image]", fps: float) -> bytes:
    """One palette for all frames, without dithering: what stays the same takes no room.

    Half of its colours are those of the largest areas, half those that lie farthest apart, so that
    small dots do not lose theirs.
    """
    from PIL import Image
    from PIL.Image import Quantize

    images = list(frames)
    some = images[:: -(-len(images) // LOOKED_AT)]
    beside = Image.new("RGB", (images[0].width, sum(image.height for image in some)))
    for place, image in enumerate(some):
        beside.paste(image, (0, place * images[0].height))
    halves = [beside.quantize(COLOURS, way) for way in (Quantize.MEDIANCUT, Quantize.MAXCOVERAGE)]
    palette = Image.new("P", (1, 1))
    levels = [(half.getpalette() or [])[: 3 * COLOURS] for half in halves]
    palette.putpalette([*levels[0], *levels[1]])
    small = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    return _saved(small, fps, "GIF", optimize=True)


def _webp(frames: "Iterable[Image]", fps: float) -> bytes:
    return _saved(list(frames), fps, "WEBP", quality=80, method=4)


def _saved(images: "Sequence[Image]", fps: float, kind: str, **options: object) -> bytes:
    content = BytesIO()
    durations = [round(1000 / fps)] * (len(images) - 1) + [round(1000 * HELD)]
    images[0].save(
        content, kind, save_all=True, append_images=images[1:], duration=durations, loop=0,
        **options,
    )  # fmt: skip
    return content.getvalue()


def _mp4(frames: "Iterable[Image]", fps: float) -> bytes:
    import imageio_ffmpeg

    def every() -> "Iterator[Image]":
        image = None
        for image in frames:
            yield image
        for _ in range(round(HELD * fps) - 1):
            if image is not None:
                yield image

    with TemporaryDirectory() as folder:
        file, film = Path(folder) / "film.mp4", None
        for image in every():
            if film is None:
                film = imageio_ffmpeg.write_frames(
                    str(file), image.size, fps=fps, macro_block_size=2, ffmpeg_log_level="error"
                )
                film.send(None)
            film.send(image.tobytes())
        if film is not None:
            film.close()
        return file.read_bytes()


KINDS = {".gif": _gif, ".mp4": _mp4, ".webp": _webp}
