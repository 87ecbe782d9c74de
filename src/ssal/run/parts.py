"""What each training image is used for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssal.data import holdout_split


@dataclass(frozen=True)
class Parts:
    """Numbers of the training images by use, int64, each in rising order; together they are all.

    Attributes:
        fitting: the weights are fitted to these.
        heldout: exponents, linear combination and scores are fitted to these.
        calibration: thresholds are set on these. Groups, exponents and scores never see them, so that their
            scores are drawn as those of new images are; the linear combination, which no score depends on,
            does.
    """

    fitting: NDArray[np.int64]
    heldout: NDArray[np.int64]
    calibration: NDArray[np.int64]

    @property
    def known(self) -> NDArray[np.int64]:
        """All but the calibration part."""
        return np.sort(np.concatenate([self.fitting, self.heldout]))


def split_training_data(
    targets: ArrayLike, share: float, seed: int, *, class_names: Sequence[str] | None = None
) -> Parts:
    """Hold out a share of the training images, class by class, and keep half of that for calibration.

    A class of which a single image is held out has none for calibration.

    Args:
        targets: class ids [N], from 0.
        share: part to hold out, between 0 and 1, both excluded.
        seed: the same seed gives the same parts.
        class_names: used in messages only.

    Raises:
        InputError: `share` is not between 0 and 1.
        DataError: a class has a single image.

    >>> parts = split_training_data([0] * 10 + [1] * 10, 0.4, seed=0)
    >>> len(parts.fitting), len(parts.heldout), len(parts.calibration)
    (12, 4, 4)
    """
    labels = np.asarray(targets, dtype=np.int64)
    fitting, held = holdout_split(labels, share, seed, class_names=class_names)
    several = held[np.bincount(labels[held])[labels[held]] > 1]
    if not len(several):
        return Parts(fitting, held, several)
    _, chosen = holdout_split(labels[several], 0.5, seed + 1)
    calibration = several[chosen]
    return Parts(fitting, np.setdiff1d(held, calibration), calibration)
