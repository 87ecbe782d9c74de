"""A fitted score: how likely an answer is right, from the product, the main classifier and the branches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from ssal.errors import InputError
from ssal.selective.scores import log_odds

# With fewer errors to learn from, or fewer right answers, a fit of several weights is noise.
FEWEST = 10
_FOLDS = 5
# One number each for the product, the main classifier and the branches: more of the scores together fitted
# the few errors of a held-out part and did worse than the joint probability alone.
_FEATURES = ("JP", "main", "branches")


@dataclass(frozen=True)
class Combination:
    """Log-odds of being right as a weighted sum of three standardised log-odds of the answer.

    Attributes:
        mean: of the log-odds in the product, the main classifier and the branches, over the fitted samples.
        scale: standard deviation of each, 1 where it is constant.
        weight: one for each.
        bias: log-odds of being right where all are at their mean.
    """

    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    weight: tuple[float, float, float]
    bias: float

    def __call__(self, scores: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Log-odds of being right, float64 [N].

        Args:
            scores: as `confidence_scores` gives them.
        """
        table = (_features(scores) - np.array(self.mean)) / np.array(self.scale)
        return table @ np.array(self.weight) + self.bias


def _features(scores: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """[N, 3]."""
    return np.stack(
        [scores[name] if name == "branches" else log_odds(scores[name]) for name in _FEATURES], axis=1
    )


def can_combine(correct: NDArray[np.bool_]) -> bool:
    """Whether there are enough right and wrong answers to fit a combination to."""
    wrong = int((~correct).sum())
    return min(wrong, len(correct) - wrong) >= FEWEST


def fit_combination(
    scores: Mapping[str, NDArray[np.float64]], correct: NDArray[np.bool_]
) -> tuple[Combination, NDArray[np.float64]]:
    """Fit a logistic regression on held-out samples.

    Args:
        scores: as `confidence_scores` gives them, [N] each.
        correct: [N] whether the joint answer is right.

    Returns:
        The combination, and for each sample the log-odds [N] that a fit without its part of the data gives:
        what the combination is worth must be judged by these.

    Raises:
        InputError: there are too few right or wrong answers, see `can_combine`.
    """
    if not can_combine(correct):
        raise InputError(f"a combination needs {FEWEST} right and {FEWEST} wrong answers at least")
    table = _features(scores)
    scaler, regression = StandardScaler(), LogisticRegression(max_iter=1000)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    with threadpool_limits(1):
        regression.fit(scaler.fit_transform(table), correct)
        unseen = cross_val_predict(
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
            table,
            correct,
            cv=folds,
            method="decision_function",
        )
    combination = Combination(
        mean=_three(scaler.mean_),
        scale=_three(scaler.scale_),
        weight=_three(np.asarray(regression.coef_)[0]),
        bias=float(np.asarray(regression.intercept_)[0]),
    )
    return combination, np.asarray(unseen, dtype=np.float64)


def _three(values: object) -> tuple[float, float, float]:
    first, second, third = np.asarray(values, dtype=np.float64).tolist()
    return first, second, third
