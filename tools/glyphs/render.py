"""Draw glyphs of one font at one font-wide scale into cells of 28×28 pixels with 16 levels of grey."""

import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from glyphs.sources import BuildError

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CELL = 28
OVERSAMPLING = 8  # so large that FreeType's hinting moves an edge by less than a tenth of a cell pixel
CAP_HEIGHT = 16.5  # cell pixels, the median height of A–Z
BASELINE = 21.0  # cell pixels from the top
MARGIN = 0.5  # cell pixels that stay black at each border
LEVELS = 15
SCALE_RANGE = (0.75, 1.2)
SHIFT_RANGE = (-2.5, 2.5)  # cell pixels
SEED = 20210105
UNDEFINED = "\U000ffffd"  # private use; the fonts draw their "missing glyph" picture for it

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Style:
    """A font file and the size that makes capitals `CAP_HEIGHT` high, or less if a glyph would not fit."""

    path: Path
    size: float  # oversampled pixels per em
    shrink: float  # how much smaller than CAP_HEIGHT asks; 1 = not at all


@dataclass(frozen=True)
class Ink:
    """The drawn part of a glyph, oversampled, and the height of its top above the baseline."""

    pixels: Pixels
    top: int


@cache
def _font(path: Path, size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def _trace(path: Path, size: float, character: str) -> Ink | None:
    font = _font(path, size)
    left, top, right, bottom = font.getbbox(character, anchor="ls")
    pad = 8 + round(size / 4)  # some fonts draw outside the box they announce
    width, height = int(right - left) + 2 * pad, int(bottom - top) + 2 * pad
    canvas = Image.new("L", (width, height))
    baseline = pad - int(top)
    ImageDraw.Draw(canvas).text((pad - int(left), baseline), character, fill=255, font=font, anchor="ls")
    box = canvas.getbbox()
    if box is None:
        return None
    return Ink(np.asarray(canvas.crop(box)), baseline - box[1])


def draw_ink(path: Path, size: float, character: str) -> Ink:
    """Draw one character of a font that draws something for it."""
    ink = _trace(path, size, character)
    if ink is None:
        raise BuildError(f"{path} draws nothing for {character!r}")
    return ink


def has_all_characters(path: Path) -> bool:
    """Whether the font draws all 62 characters, none of them as its "missing glyph" picture."""
    size = 64.0
    missing = _trace(path, size, UNDEFINED)
    for character in CHARACTERS:
        ink = _trace(path, size, character)
        if ink is None:
            return False
        if missing is not None and ink.top == missing.top and np.array_equal(ink.pixels, missing.pixels):
            return False
    return True


def open_style(path: Path) -> Style:
    """Find the font-wide scale: capitals of `CAP_HEIGHT`, unless the largest glyph then leaves the cell."""
    probe = 256.0
    inks = [draw_ink(path, probe, c) for c in CHARACTERS]
    capitals = [ink.top for ink in inks[10:36]]
    room = CELL - 2 * MARGIN
    widest = max(ink.pixels.shape[1] for ink in inks)
    extent = max(ink.top for ink in inks) + max(0, max(ink.pixels.shape[0] - ink.top for ink in inks))
    wanted = CAP_HEIGHT / float(np.median(capitals))
    scale = min(wanted, room / widest, room / extent)
    return Style(path, round(scale * probe * OVERSAMPLING * 64) / 64, wanted / scale)


def _place(wished: float, length: int, low: int, high: int) -> int:
    return max(low, min(round(wished), high - length))


def _cell(ink: Ink, shift: tuple[float, float]) -> Pixels:
    side, border = CELL * OVERSAMPLING, round(MARGIN * OVERSAMPLING)
    height, width = ink.pixels.shape
    x = _place(side / 2 - width / 2 + shift[0] * OVERSAMPLING, width, border, side - border)
    y = _place((BASELINE + shift[1]) * OVERSAMPLING - ink.top, height, border, side - border)
    canvas = np.zeros((side, side), np.int64)
    canvas[y : y + height, x : x + width] = ink.pixels
    sums = canvas.reshape(CELL, OVERSAMPLING, CELL, OVERSAMPLING).sum((1, 3))
    white = 255 * OVERSAMPLING**2
    return ((sums * LEVELS + white // 2) // white).astype(np.uint8)


def canonical(style: Style) -> Pixels:
    """All 62 characters [62, 28, 28], levels 0–15, without shift or change of size."""
    return np.stack([_cell(draw_ink(style.path, style.size, c), (0.0, 0.0)) for c in CHARACTERS])


def jittered(style: Style, name: str) -> Pixels:
    """All 62 characters [62, 28, 28], levels 0–15, each with a shift and size of its own, fixed by `name`."""
    room = (CELL - 2 * MARGIN) * OVERSAMPLING
    cells: list[Pixels] = []
    for index, character in enumerate(CHARACTERS):
        # Raw draws: numpy promises never to change a bit generator's stream, but not its distributions.
        draws = (
            np.random.PCG64([SEED, zlib.crc32(name.encode()), index]).random_raw(3).astype(np.float64) / 2**64
        )
        scale = SCALE_RANGE[0] + float(draws[0]) * (SCALE_RANGE[1] - SCALE_RANGE[0])
        dx, dy = (SHIFT_RANGE[0] + float(d) * (SHIFT_RANGE[1] - SHIFT_RANGE[0]) for d in draws[1:])
        plain = draw_ink(style.path, style.size, character)
        scale = min(scale, (room - 1) / max(plain.pixels.shape))
        ink = draw_ink(style.path, round(style.size * scale * 64) / 64, character)
        cells.append(_cell(ink, (dx, dy)))
    return np.stack(cells)
