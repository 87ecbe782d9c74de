"""Two classifiers on the same samples: which errors one repairs and which it causes, and what chance does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

_LEVEL = 0.05


@dataclass(frozen=True)
class Paired:
    """A second classifier against a first one.

    Attributes:
        samples: number of samples.
        repaired: samples that the first got wrong and the second right.
        caused: the other way round.
        interval: of `difference`, 95 %, for samples like these; it knows nothing of other seeds.
        p_value: McNemar's exact test: how probable a split of the changes at least as uneven is by chance.
    """

    samples: int
    repaired: int
    caused: int
    interval: tuple[float, float]
    p_value: float

    @property
    def difference(self) -> float:
        """Accuracy of the second less that of the first, in points of percent."""
        return 100 * (self.repaired - self.caused) / self.samples

    @property
    def better(self) -> bool:
        """Whether the second is better beyond chance: p < 0.05, and the whole interval above zero."""
        return self.p_value < _LEVEL and self.repaired > self.caused

    @property
    def worse(self) -> bool:
        """Whether it is worse beyond chance."""
        return self.p_value < _LEVEL and self.repaired < self.caused


def compare_paired(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Paired:
    """Compare two classifiers by which samples they got right.

    Samples of which both are right or both are wrong say nothing of the difference. Of the others, the share
    that was repaired has the interval of Clopper and Pearson; times the number of changes it is the interval
    of the difference, which holds zero exactly where McNemar's exact test finds no difference.

    >>> result = compare_paired(np.array([True, False, False]), np.array([True, True, True]))
    >>> result.repaired, result.caused, result.p_value
    (2, 0, 0.5)

    Args:
        first: [N] whether the first classifier is right; N at least 1.
        second: [N] likewise.
    """
    count = len(first)
    repaired, caused = int((~first & second).sum()), int((first & ~second).sum())
    changed = repaired + caused
    if changed == 0:
        return Paired(count, 0, 0, (0.0, 0.0), 1.0)
    test = binomtest(repaired, changed)
    bounds = test.proportion_ci(1 - _LEVEL, method="exact")
    low, high = (100 * (2 * float(bound) - 1) * changed / count for bound in (bounds.low, bounds.high))
    return Paired(count, repaired, caused, (low, high), float(test.pvalue))
