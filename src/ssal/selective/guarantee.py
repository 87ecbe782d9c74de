"""A threshold at which at most a given share of the answers is wrong, with high probability."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssal.selective.bounds import check_share, error_bound
from ssal.selective.tally import Spans, Tally

CONFIDENCE = 0.9


def best_start(tally: Tally, images: int, confidence: float = CONFIDENCE) -> int:
    """Where to begin testing: the threshold that promises the smallest bound for `images` calibration images.

    Args:
        tally: counts on the images that the thresholds come from, not on the calibration images.
        images: number of calibration images.
        confidence: of the bound.
    """
    scale = images / max(1, tally.images)
    return int(error_bound(tally.wrong * scale, tally.answered * scale, confidence).argmin())


def sequence_bounds(tally: Tally, start: int, confidence: float = CONFIDENCE) -> NDArray[np.float64]:
    """The risk that can be guaranteed at each threshold from `start` on, float64 [T - start]; it never falls.

    Thresholds are tested one after the other, from `start` towards more answers, each at the whole level
    1 - confidence, and testing ends where one fails (fixed-sequence testing: Angelopoulos, Bates, Candès,
    Jordan, Lei 2021; the bounds as in Geifman and El-Yaniv 2017). A threshold is allowed for a risk if its
    bound and all bounds before it are at most that risk. The thresholds and their order must not depend on
    the calibration images. Then, for any risk chosen beforehand, the error rate among all future answers
    exceeds it with probability 1 - confidence at most, over the draw of the calibration images.

    Args:
        tally: counts on the calibration images.
        start: where testing begins.
        confidence: between 0 and 1, both excluded.
    """
    bounds = error_bound(tally.wrong[start:], tally.answered[start:], confidence)
    return np.maximum.accumulate(bounds)


def choose_threshold(tally: Tally, start: int, risk: float, confidence: float = CONFIDENCE) -> int | None:
    """The most lenient threshold for which an error rate among the answers is guaranteed; None if none is.

    Args:
        tally: counts on the calibration images.
        start: where testing begins, see `best_start`.
        risk: the error rate that is allowed, between 0 and 1, both excluded.
        confidence: probability with which it must hold.

    Raises:
        InputError: risk or confidence is no share.
    """
    passed = int((sequence_bounds(tally, start, confidence) <= check_share("risk", risk)).sum())
    return start + passed - 1 if passed else None


def share_kept(
    spans: Spans,
    images: int,
    start: int,
    risk: float,
    confidence: float = CONFIDENCE,
    repeats: int = 200,
    seed: int = 0,
) -> float:
    """How often the promise is kept where calibration and new images are surely alike.

    Random parts of the test images take the place of the calibration images; on the other part, the promise
    is broken if there is a threshold and the error rate among the answers exceeds the risk. Some of that is
    the chance of the other part.

    Args:
        spans: of the test images.
        images: size of the part to calibrate on; half of the images at most.
        start: where testing begins.
        risk: the error rate that is allowed.
        confidence: probability with which it must hold; the share is to be compared with this.
        repeats: number of random parts.
        seed: of the random parts.

    Returns:
        Share of the repetitions in which the promise is not broken, 0–1.
    """
    whole = spans.tally()
    size = min(images, whole.images // 2)
    generator = np.random.default_rng(seed)
    broken = 0
    for _ in range(repeats):
        part = spans.select(generator.permutation(whole.images)[:size]).tally()
        index = choose_threshold(part, start, risk, confidence)
        if index is not None:
            rest = whole.less(part)
            broken += bool(rest.wrong[index] > risk * rest.answered[index])
    return 1 - broken / repeats
