"""What a few right and wrong answers say of all that are to come: two guarantees, of different things."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

from ssal.errors import DataError, InputError


def check_share(name: str, value: float) -> float:
    """Check that a number is a share between 0 and 1, both excluded.

    Raises:
        InputError: it is not.
    """
    if not 0 < value < 1:
        hint = f"; did you mean {value / 100:g}, which is {value:g} %?" if 1 <= value < 100 else ""
        raise InputError(
            f"{name} is a share between 0 and 1, both excluded, such as 0.02; got {value:g}{hint}"
        )
    return value


def error_bound(wrong: ArrayLike, answered: ArrayLike, confidence: float = 0.9) -> NDArray[np.float64]:
    """Upper bound on the error rate that `wrong` errors among `answered` independent answers allow.

    The exact one of Clopper and Pearson (1934): it lies below the true error rate with probability
    1 - `confidence` at most. Counts need not be whole; without an answer the bound is 1.

    Args:
        wrong: number of errors, any shape.
        answered: number of answers, of the same shape.
        confidence: between 0 and 1, both excluded.

    Raises:
        InputError: `confidence` is no share.

    >>> error_bound([0, 3, 0], [230, 230, 0]).round(4)
    array([0.01  , 0.0288, 1.    ])
    """
    check_share("confidence", confidence)
    errors, answers = np.asarray(wrong, dtype=np.float64), np.asarray(answered, dtype=np.float64)
    rights = answers - errors
    some = rights > 0
    bound = betaincinv(errors + 1, np.where(some, rights, 1.0), confidence)
    return np.where(some, bound, 1.0)


def error_control_threshold(score: ArrayLike, correct: ArrayLike, risk: float) -> float:
    """Threshold at which the share of images that are answered *and wrong* stays below a risk on average.

    Conformal risk control (Angelopoulos, Bates, Fisch, Lei, Schuster 2022) of the loss
    [score ≥ threshold and wrong], which falls with the threshold: over draws of the calibration samples and a
    new sample, all exchangeable, E[loss] ≤ `risk`. The share is one of *all* images, those without an answer
    included, and says nothing of the error rate among the answers: for that see `choose_threshold`.

    Args:
        score: [n] of calibration samples, higher = surer.
        correct: [n] whether the answer of each is right.
        risk: between 0 and 1, both excluded.

    Returns:
        The smallest threshold that is safe: answer where score ≥ threshold; infinite if none is.

    Raises:
        InputError: `risk` is no share.
        DataError: the shapes differ.

    >>> threshold = error_control_threshold(np.arange(100), np.arange(100) >= 20, risk=0.1)
    >>> 10 < threshold < 11
    True
    """
    check_share("risk", risk)
    scores, right = np.asarray(score, dtype=np.float64), np.asarray(correct, dtype=np.bool_)
    if scores.ndim != 1 or scores.shape != right.shape:
        raise DataError(f"score of shape {[*scores.shape]}, but correct of {[*right.shape]}; [n] is wanted")
    # (answered and wrong + 1) / (n + 1) ≤ risk
    allowed = math.floor(risk * (scores.size + 1) + 1e-9) - 1
    errors = np.sort(scores[~right])[::-1]
    if allowed < 0:
        return math.inf
    if allowed >= errors.size:
        return -math.inf
    # Just above the error that would be one too many: the loss is constant from there to the next score.
    return float(np.nextafter(errors[allowed], math.inf))
