"""The linear combination of all parts, fitted to held-out samples."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from threadpoolctl import threadpool_limits
from torch import Tensor

from ssal.errors import InputError
from ssal.joint.outputs import Outputs

# The solver of the linear combination takes 200 bytes for each coefficient, so 1.2 GB at most; the default
# branches of 1,000 classes have 5.7 million.
MOST_COEFFICIENTS = 6_000_000
# Inverse penalties of the linear combination to choose from.
_STRENGTHS = (0.1, 1.0, 10.0)


def _log_features(outputs: Outputs) -> Tensor:
    """[N, C + Σ k_b]."""
    parts = (outputs.main, *outputs.groups)
    return torch.cat([F.log_softmax(logits.float(), dim=1) for logits in parts], dim=1)


def _best_strength(features: NDArray[np.float32], target: NDArray[np.int64]) -> float:
    """Inverse penalty with the best cross-validated likelihood; needs two samples of each class."""
    folds = min(3, int(np.bincount(target).min()))
    if folds < 2:
        return _STRENGTHS[0]
    split = StratifiedKFold(folds, shuffle=True, random_state=0)
    scores = [
        cross_val_score(_regression(strength), features, target, cv=split, scoring="neg_log_loss").mean()
        for strength in _STRENGTHS
    ]
    return _STRENGTHS[int(np.argmax(scores))]


def _regression(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=2000)


@dataclass(frozen=True)
class LinearCombination:
    """Multinomial logistic regression on the log-probabilities of all parts (LC of §3.4).

    Attributes:
        weight: [C, C + Σ k_b].
        bias: [C].
    """

    weight: Tensor
    bias: Tensor

    @classmethod
    def fit(cls, outputs: Outputs, target: Tensor) -> LinearCombination:
        """Fit to held-out samples, everything else frozen; the L2 penalty is chosen by cross-validation.

        Args:
            outputs: logits of N held-out samples; no gradient goes into them.
            target: their true classes, int64 [N]; every class must be there.

        Raises:
            InputError: a class has no held-out sample, or there are more than `MOST_COEFFICIENTS`.
        """
        classes = outputs.main.shape[1]
        if (count := cls.count_coefficients(outputs)) > MOST_COEFFICIENTS:
            raise InputError(
                f"a linear combination would have {count:,} coefficients; at most {MOST_COEFFICIENTS:,} fit"
            )
        missing = sorted(set(range(classes)) - set(target.tolist()))
        if missing:
            raise InputError(
                f"a linear combination needs held-out samples of each class; none of {missing[:5]}"
            )
        features, labels = _log_features(outputs).detach().cpu().numpy(), target.cpu().numpy()
        # One scale for all features: the solver needs a quarter of the steps, the penalty stays even.
        scale = float(features.std()) or 1.0
        features /= scale
        # The matrices are small: threads of BLAS would wait for each other most of the time.
        with threadpool_limits(1), warnings.catch_warnings():
            # Few held-out samples per class are what there is.
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            model = _regression(_best_strength(features, labels)).fit(features, labels)
        weight = torch.from_numpy(model.coef_ / scale).float()
        bias = torch.from_numpy(model.intercept_).float()
        if len(weight) == 1:  # two classes share one row in scikit-learn: the log-odds of the second
            weight, bias = torch.cat([-weight / 2, weight / 2]), torch.cat([-bias / 2, bias / 2])
        return cls(weight, bias)

    @staticmethod
    def count_coefficients(outputs: Outputs) -> int:
        """Size C · (C + Σ k_b) of the weight for such outputs."""
        classes = outputs.main.shape[1]
        return classes * (classes + sum(group.shape[1] for group in outputs.groups))

    def log_prob(self, outputs: Outputs) -> Tensor:
        """Log-probabilities of the classes [N, C]."""
        features = _log_features(outputs)
        weight, bias = self.weight.to(features.device), self.bias.to(features.device)
        return F.log_softmax(F.linear(features, weight, bias), dim=1)
