"""How many answers are given, how many are wrong and how large they are, at each threshold of a sequence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssal.selective.answers import Answers

_STEPS = 200


def threshold_sequence(scores: NDArray[np.float64], steps: int = _STEPS) -> NDArray[np.float64]:
    """Thresholds that let through 1/steps, 2/steps … of some scores, from strict to lenient; the last, all.

    Args:
        scores: of any shape; not those of the calibration samples.
        steps: number of quantiles.

    Returns:
        float64 [T], falling, the last one -inf.

    >>> threshold_sequence(np.array([0.1, 0.4, 0.2, 0.3]), steps=2)
    array([ 0.3,  0.1, -inf])
    """
    ordered = np.sort(scores.ravel())
    places = -(-np.arange(1, steps + 1) * ordered.size // steps)
    found = np.unique(ordered[ordered.size - places[places > 0]]) if ordered.size else np.zeros(0)
    return np.append(found[::-1], -np.inf)


@dataclass(frozen=True)
class Tally:
    """What happens to some images at each of T thresholds.

    Attributes:
        images: number of images.
        answered: int64 [T], images that get an answer.
        wrong: int64 [T], answers without the true class.
        classes: int64 [T], classes in all answers together.
        single: int64 [T], answers that are one class.
    """

    images: int
    answered: NDArray[np.int64]
    wrong: NDArray[np.int64]
    classes: NDArray[np.int64]
    single: NDArray[np.int64]

    def less(self, part: Tally) -> Tally:
        """The same without some of the images."""
        return Tally(
            self.images - part.images,
            self.answered - part.answered,
            self.wrong - part.wrong,
            self.classes - part.classes,
            self.single - part.single,
        )


@dataclass(frozen=True)
class Spans:
    """For each image and possible answer, the thresholds at which that is the answer.

    Attributes:
        begin: int64 [N, L], first threshold at which the answer is given.
        end: int64 [N, L], first threshold at which it no longer is, since a smaller one is sure enough.
        wrong: bool [N, L].
        sizes: int64 [N, L].
        steps: T, the number of thresholds.
    """

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    wrong: NDArray[np.bool_]
    sizes: NDArray[np.int64]
    steps: int

    def select(self, rows: NDArray[np.int64]) -> Spans:
        """Some of the images."""
        return Spans(self.begin[rows], self.end[rows], self.wrong[rows], self.sizes[rows], self.steps)

    def tally(self) -> Tally:
        """Counts at all thresholds, in time linear in N·L + T."""
        return Tally(
            images=len(self.begin),
            answered=self._sum(np.ones(self.begin.shape)),
            wrong=self._sum(self.wrong),
            classes=self._sum(self.sizes),
            single=self._sum(self.sizes == 1),
        )

    def _sum(self, values: NDArray[np.generic]) -> NDArray[np.int64]:
        weights = values.astype(np.float64).ravel()
        come = np.bincount(self.begin.ravel(), weights, self.steps + 1)
        go = np.bincount(self.end.ravel(), weights, self.steps + 1)
        return np.rint(np.cumsum(come - go)[: self.steps]).astype(np.int64)


def find_spans(answers: Answers, right: NDArray[np.bool_], thresholds: NDArray[np.float64]) -> Spans:
    """For each possible answer, at which of the thresholds it is given.

    Args:
        answers: of N images.
        right: bool [N, L] whether each holds the true class.
        thresholds: [T], falling.
    """
    reached = np.searchsorted(-thresholds, -answers.scores, side="left").astype(np.int64)
    # A smaller answer, once it is sure enough, takes the place of the larger ones.
    earlier = np.minimum.accumulate(reached, axis=1)
    end = np.concatenate([np.full((len(reached), 1), len(thresholds)), earlier[:, :-1]], axis=1)
    return Spans(np.minimum(reached, end), end, ~right, answers.sizes, len(thresholds))
