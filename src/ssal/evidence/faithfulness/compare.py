"""The maps of two models over the same images."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ssal.errors import InputError
from ssal.evidence.faithfulness.differences import mean_difference, relative_difference, relative_mean
from ssal.evidence.faithfulness.results import Areas, Comparison, Contrast, ExplanationChecks, PartCheck

_SIGNS = {"deletion": -1, "insertion": 1}


def _contrast(
    this: PartCheck, other: PartCheck, test: Literal["deletion", "insertion"], seed: int
) -> Contrast:
    mine: Areas = getattr(this, test)
    theirs: Areas = getattr(other, test)
    better = _SIGNS[test] * (np.array(mine.per_image) - np.array(theirs.per_image))
    gains = (mine.gain, this.stakes), (theirs.gain, other.stakes)
    return Contrast(
        this=mine.map,
        other=theirs.map,
        difference=mean_difference(better, seed),
        gain=relative_mean(*gains[0]),
        other_gain=relative_mean(*gains[1]),
        gain_difference=relative_difference(*gains, seed),
    )


def compare_checks(this: ExplanationChecks, other: ExplanationChecks) -> tuple[Comparison, ...]:
    """Compare the maps of two models over the same images, part by part.

    The area of a map depends on how sure its model is to begin with, and so does what it is better by than
    random maps of the same model: a model that is sure of nothing has nothing to lose. So the latter is
    compared as a share of the probability that is lost between the whole image and the baseline.

    Args:
        this: checks of one model.
        other: checks of another one, of the same images in the same order.

    Returns:
        One comparison for each part that both have.

    Raises:
        InputError: the checks were made with other numbers of images or steps, or another baseline.
    """
    for name in ("images", "steps", "baseline"):
        one, two = getattr(this, name), getattr(other, name)
        if one != two:
            raise InputError(f"the checks were made with different {name}: {one} and {two}")
    theirs = {part.subject: part for part in other.parts}
    return tuple(
        Comparison(
            part.subject,
            deletion=_contrast(part, theirs[part.subject], "deletion", this.seed),
            insertion=_contrast(part, theirs[part.subject], "insertion", this.seed),
        )
        for part in this.parts
        if part.subject in theirs
    )
