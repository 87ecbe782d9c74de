"""What a font must fulfil to be in the data set, and which families are the same design or nearly so."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glyphs.render import CELL, CHARACTERS, LEVELS, Pixels

# Letters whose two cases differ in shape; c, o, s, v, w, x, z and their like are alike in every font.
TWO_SHAPED = "abdefghmnqrt"
ALIKE = 0.88  # cosine from which a lower-case letter counts as its capital
MOST_ALIKE = 4  # of the 12 letters
MOST_SHRUNK = 1.3


@dataclass(frozen=True)
class Similarity:
    """How alike families are, each matrix [F, F] the highest mean cosine over all pairs of their styles."""

    placed: NDArray[np.float64]  # glyphs at their size and height: sensitive to every difference
    fitted: NDArray[np.float64]  # each glyph enlarged to a common box: finds the same shapes at another scale

    def same_design(self) -> NDArray[np.bool_]:
        """One design under two names, such as Charis SIL and the Latin letters of Abyssinica SIL."""
        return (self.placed >= 0.985) | (self.fitted >= 0.970)

    def kin(self) -> NDArray[np.bool_]:
        """Forks and close imitations, such as Lato and Carlito, or Caliban and TeX Gyre Heros."""
        return (self.placed >= 0.970) | (self.fitted >= 0.950)


def _fitted(glyph: Pixels, side: int, *, keep_aspect: bool) -> Pixels:
    """Cut off the black border and enlarge the rest to [side, side], centred."""
    picture = Image.fromarray(glyph * np.uint8(255 // LEVELS))
    visible = picture.point([0] * 60 + [255] * 196).getbbox()
    cut = picture.crop(visible or picture.getbbox())
    factors = (side / cut.width, side / cut.height)
    factors = (min(factors), min(factors)) if keep_aspect else factors
    size = max(1, round(cut.width * factors[0])), max(1, round(cut.height * factors[1]))
    result = Image.new("L", (side, side))
    result.paste(cut.resize(size, Image.Resampling.BICUBIC), ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(result)


def _cosine(a: Pixels, b: Pixels) -> float:
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def alike_cases(glyphs: Pixels) -> int:
    """Count the letters of `TWO_SHAPED` whose lower case looks like the capital in the same box."""
    count = 0
    for letter in TWO_SHAPED:
        low, capital = glyphs[CHARACTERS.index(letter)], glyphs[CHARACTERS.index(letter.upper())]
        cosines = (
            _cosine(_fitted(low, 20, keep_aspect=aspect), _fitted(capital, 20, keep_aspect=aspect))
            for aspect in (True, False)
        )
        count += max(cosines) >= ALIKE
    return count


def fault(glyphs: Pixels, shrink: float) -> str | None:
    """Say why a style may not be in the data set; None if it may."""
    alike = alike_cases(glyphs)
    if alike > MOST_ALIKE:
        return f"lower case drawn as capitals ({alike} of {len(TWO_SHAPED)} letters)"
    if shrink > MOST_SHRUNK:
        return f"its widest or tallest glyph makes the capitals {shrink:.2f} times too small"
    return None


def _signature(glyphs: Pixels) -> NDArray[np.float64]:
    """A vector whose inner product with another one is the mean cosine over the 62 blurred glyphs."""
    blurred = np.pad(glyphs.astype(np.float64), ((0, 0), (2, 2), (2, 2)))
    for axis in (1, 2):
        blurred = 2 * blurred + np.roll(blurred, 1, axis) + np.roll(blurred, -1, axis)
    flat = blurred.reshape(len(glyphs), -1)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    return flat.ravel() / np.sqrt(len(flat))


def _highest(families: Sequence[Sequence[Pixels]]) -> NDArray[np.float64]:
    owner = np.repeat(np.arange(len(families)), [len(styles) for styles in families])
    vectors = np.stack([_signature(glyphs) for styles in families for glyphs in styles])
    result = np.zeros((len(families), len(families)))
    np.maximum.at(result, (owner[:, None], owner[None, :]), vectors @ vectors.T)
    return result


def similarity(families: Sequence[Sequence[Pixels]]) -> Similarity:
    """Compare families; each is a list of styles [62, 28, 28] without shift and change of size."""
    fitted = [
        [np.stack([_fitted(glyph, CELL - 4, keep_aspect=True) for glyph in style]) for style in styles]
        for styles in families
    ]
    return Similarity(_highest(families), _highest(fitted))
