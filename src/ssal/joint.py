"""Joint training and prediction: pure functions of the logits of the main classifier and the branches."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from threadpoolctl import threadpool_limits
from torch import Tensor

from ssal.errors import InputError
from ssal.grouping import Grouping

# Rows are worked on in chunks of about this many class scores, to bound the memory of the float64 fit.
_CHUNK = 1 << 22
# On separable data the likelihood rises for ever with the exponents; beyond this nothing changes any more.
_LARGEST_EXPONENT = 100.0
# The solver of the linear combination takes 200 bytes for each coefficient, so 1.2 GB at most; the default
# branches of 1,000 classes have 5.7 million.
MOST_COEFFICIENTS = 6_000_000
# Inverse penalties of the linear combination to choose from.
_STRENGTHS = (0.1, 1.0, 10.0)


class Outputs(NamedTuple):
    """Logits of all parts for N samples; the same type in training and evaluation.

    Attributes:
        main: [N, C] logits f(x) of the main classifier.
        groups: one tensor [N, k_b] of logits g_b(x) for each branch.
    """

    main: Tensor
    groups: tuple[Tensor, ...] = ()


class Exponents(NamedTuple):
    """Exponents of the joint prediction: η_0 on the main classifier, η_b on each branch."""

    main: float
    branches: tuple[float, ...]


def label_map(grouping: Grouping | Tensor, device: torch.device | None = None) -> Tensor:
    """The map class → group as an int64 tensor [C]; a tensor passes through, so it can stay on its device."""
    if isinstance(grouping, Tensor):
        return grouping
    return torch.tensor(grouping.labels, dtype=torch.int64, device=device)


def _check(outputs: Outputs, groupings: Sequence[Grouping | Tensor], **per_branch: Sequence[float]) -> None:
    counts = {"groupings": len(groupings)} | {name: len(values) for name, values in per_branch.items()}
    for name, count in counts.items():
        if count != len(outputs.groups):
            raise InputError(f"{count} {name} given for {len(outputs.groups)} branches")
    for number, (logits, grouping) in enumerate(zip(outputs.groups, groupings, strict=True), start=1):
        # A tensor of labels does not say how many groups there are; to look would make a GPU wait.
        labels, groups = (
            (grouping, None) if isinstance(grouping, Tensor) else (grouping.labels, grouping.num_groups)
        )
        if len(labels) != outputs.main.shape[1]:
            raise InputError(
                f"grouping {number} is for {len(labels)} classes, the main classifier tells "
                f"{outputs.main.shape[1]} apart"
            )
        if groups not in (None, logits.shape[1]):
            raise InputError(
                f"grouping {number} has {groups} groups, but branch {number} logits for {logits.shape[1]}"
            )


def _check_samples(outputs: Outputs, target: Tensor) -> None:
    samples = len(outputs.main)
    if len(target) != samples:
        raise InputError(f"{len(target)} targets given for {samples} samples")
    for name, logits in (("the main classifier", outputs.main), *_numbered(outputs.groups)):
        if not bool(logits.isfinite().all()):
            raise InputError(f"logits of {name} are not all finite")


def _numbered(groups: Sequence[Tensor]) -> list[tuple[str, Tensor]]:
    return [(f"branch {number}", logits) for number, logits in enumerate(groups, start=1)]


def ssal_loss(
    outputs: Outputs,
    target: Tensor,
    groupings: Sequence[Grouping | Tensor],
    weights: Sequence[float],
    main_weight: float = 1.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Weighted sum of the cross-entropies of all parts (Equation 3).

    Args:
        outputs: logits [N, C] and [N, k_b].
        target: true classes, int64 [N].
        groupings: one map class → group for each branch.
        weights: λ_b for each branch.
        main_weight: λ_0.
        label_smoothing: share of the target spread over all classes (or groups).

    Returns:
        Scalar, mean over the samples.

    Raises:
        InputError: the groupings or the number of weights are not those of the branches.
    """
    _check(outputs, groupings, weights=weights)
    loss = main_weight * F.cross_entropy(outputs.main, target, label_smoothing=label_smoothing)
    for logits, grouping, weight in zip(outputs.groups, groupings, weights, strict=True):
        group_target = label_map(grouping, target.device)[target]
        loss = loss + weight * F.cross_entropy(logits, group_target, label_smoothing=label_smoothing)
    return loss


def joint_log_prob(
    outputs: Outputs,
    groupings: Sequence[Grouping | Tensor],
    exponents: Sequence[float],
    main_exponent: float = 1.0,
) -> Tensor:
    """Joint log-probability of the classes: log_softmax(η_0·log p_f + Σ_b η_b·log p_b[γ_b]) (§3.4).

    The paper takes the softmax of the product of probabilities; this is the normalised product itself. Parts
    with exponent 0 take no part, so that all zeros give exactly the main classifier.

    Args:
        outputs: logits [N, C] and [N, k_b].
        groupings: one map class → group for each branch.
        exponents: η_b for each branch.
        main_exponent: η_0.

    Returns:
        [N, C], each row sums to one in probability.

    Raises:
        InputError: the groupings or the number of exponents are not those of the branches.
    """
    _check(outputs, groupings, exponents=exponents)
    main = F.log_softmax(outputs.main, dim=1)
    total = main if main_exponent == 1 else main * main_exponent
    for logits, grouping, exponent in zip(outputs.groups, groupings, exponents, strict=True):
        if exponent != 0:
            evidence = F.log_softmax(logits, dim=1) * exponent
            total = total + evidence.index_select(1, label_map(grouping, logits.device))
    return main if total is main else F.log_softmax(total, dim=1)


def distillation_loss(
    outputs: Outputs, groupings: Sequence[Grouping | Tensor], taught_by: Sequence[bool], temperature: float
) -> Tensor:
    """T²·KL(p_T ‖ q_T) of the main classifier, q, to what all parts say together, p (Hinton et al., 2015).

    p is the normalised geometric mean of the main classifier and the branches: the joint prediction with
    equal exponents that sum to one, since η = 1 for each would make it far too sure. p_T and q_T are at
    temperature T. No gradient goes into p.

    Args:
        outputs: logits [N, C] and [N, k_b].
        groupings: one map class → group for each branch.
        taught_by: for each branch, whether it takes part in p.
        temperature: T, positive.

    Returns:
        Scalar, mean over the samples.

    Raises:
        InputError: there are not as many groupings or values of `taught_by` as branches.
    """
    share = 1 / (temperature * (1 + sum(taught_by)))
    with torch.no_grad():
        exponents = [share * takes_part for takes_part in taught_by]
        teacher = joint_log_prob(outputs, groupings, exponents, share)
    student = F.log_softmax(outputs.main.float() / temperature, dim=1)
    return temperature**2 * F.kl_div(student, teacher.float(), reduction="batchmean", log_target=True)


def _log_parts(outputs: Outputs, groupings: Sequence[Grouping | Tensor], rows: slice) -> Tensor:
    """Log-probabilities of every part for every class, float64 [B + 1, rows, C]."""
    parts = [F.log_softmax(outputs.main[rows].double(), dim=1)]
    for logits, grouping in zip(outputs.groups, groupings, strict=True):
        parts.append(F.log_softmax(logits[rows].double(), dim=1)[:, label_map(grouping, logits.device)])
    return torch.stack(parts)


def _chunks(outputs: Outputs) -> Iterator[slice]:
    samples, classes = outputs.main.shape
    step = max(1, _CHUNK // (classes * (1 + len(outputs.groups))))
    for start in range(0, samples, step):
        yield slice(start, start + step)


def joint_nll(
    values: NDArray[np.float64], outputs: Outputs, target: Tensor, groupings: Sequence[Grouping | Tensor]
) -> tuple[float, NDArray[np.float64]]:
    """Mean negative log-likelihood of the joint prediction and its gradient, in float64.

    Args:
        values: exponents (η_0, η_1 … η_B).
        outputs: logits of N samples.
        target: true classes, int64 [N].
        groupings: one map class → group for each branch.

    Returns:
        The loss and its gradient [B + 1]; both are convex in `values`.
    """
    exponents = torch.as_tensor(values, dtype=torch.float64, device=target.device)
    loss = torch.zeros((), dtype=torch.float64, device=target.device)
    gradient = torch.zeros_like(exponents)
    for rows in _chunks(outputs):
        parts = _log_parts(outputs, groupings, rows)
        true = target[rows, None]
        log_prob = F.log_softmax(torch.tensordot(exponents, parts, dims=1), dim=1)
        loss -= log_prob.gather(1, true).sum()
        expected = (parts * log_prob.exp()).sum(dim=(1, 2))
        gradient += expected - parts.gather(2, true.expand(len(parts), -1, 1)).sum(dim=(1, 2))
    return float(loss) / len(target), gradient.cpu().numpy() / len(target)


def fit_exponents(
    outputs: Outputs,
    target: Tensor,
    groupings: Sequence[Grouping | Tensor],
    largest: float = _LARGEST_EXPONENT,
) -> Exponents:
    """Fit the exponents of the joint prediction to held-out samples.

    The negative log-likelihood is convex in (η_0, η_1 … η_B), so that the minimum found is the global one
    under 0 ≤ η ≤ `largest`. Where a part is right on every sample, the likelihood rises with its exponent
    for ever: with few samples a lower bound keeps the prediction from being far too sure.

    Args:
        outputs: logits of N held-out samples, detached.
        target: their true classes, int64 [N].
        groupings: one map class → group for each branch.
        largest: upper bound of each exponent.

    Raises:
        InputError: there is no sample, or not one target for each; a logit is not finite; or the groupings
            are not those of the branches.
    """
    _check(outputs, groupings)
    if len(target) == 0:
        raise InputError("exponents need at least one held-out sample, got none")
    _check_samples(outputs, target)
    start = np.full(1 + len(outputs.groups), min(largest, 1 / (1 + len(outputs.groups))))
    result = minimize(
        joint_nll,
        start,
        args=(outputs, target, groupings),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, largest)] * len(start),
        options={"gtol": 1e-9, "ftol": 1e-15, "maxiter": 1000},
    )
    main, *branches = (float(value) for value in result.x)
    return Exponents(main, tuple(branches))


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
            outputs: logits of N held-out samples, detached.
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
        features, labels = _log_features(outputs).cpu().numpy(), target.cpu().numpy()
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
