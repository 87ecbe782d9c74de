"""How sure one may be of a joint prediction: scores from main classifier, product and branches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssal.joint import Outputs

Scores = dict[str, NDArray[np.float64]]

# Rows are worked on in chunks of about this many class scores, to bound the memory of the float64 copies.
_CHUNK = 1 << 22
# Below this a probability is 0 for our purposes; its log-odds stay finite.
_SMALLEST = 1e-30

NAMES = ("main", "energy", "JP", "margin", "entropy", "agreement", "agreement_JP", "branches")


def row_chunks(samples: int, width: int) -> Iterator[slice]:
    """Slices of the rows of a [samples, width] array, bounded in size."""
    step = max(1, _CHUNK // max(1, width))
    for start in range(0, samples, step):
        yield slice(start, start + step)


def confidence_scores(outputs: Outputs, joint: Tensor, labels: Sequence[Tensor]) -> Scores:
    """Scores of the joint answer, the most probable class of `joint`; higher is surer in all of them.

    * `main`: minus the probability that the main classifier gives to all other classes;
    * `energy`: logsumexp of the main classifier's logits (Liu et al. 2020, with the sign turned);
    * `JP`: minus the joint probability of all other classes. It orders as the joint probability does, and
      does not saturate at 1;
    * `margin`: difference of the two largest joint log-probabilities;
    * `entropy`: minus the entropy of the joint probability, in nats;
    * `agreement`: number of branches whose predicted group holds the answer;
    * `agreement_JP`: the same, ties broken by the joint probability;
    * `branches`: sum over the branches of the log-odds that they give to the group of the answer.

    Args:
        outputs: logits [N, C] and [N, k_b].
        joint: joint log-probabilities [N, C].
        labels: one map class → group [C] for each branch.

    Returns:
        float64 [N] for each name.

    >>> outputs = Outputs(torch.tensor([[2.0, 0.0, 0.0]]), (torch.tensor([[0.0, 1.0]]),))
    >>> scores = confidence_scores(outputs, outputs.main.log_softmax(1), [torch.tensor([0, 0, 1])])
    >>> {name: round(float(scores[name][0]), 3) for name in ("margin", "agreement", "branches")}
    {'margin': 2.0, 'agreement': 0.0, 'branches': -1.0}
    """
    width = 2 * max(1, joint.shape[1])
    parts = [_scores(outputs, joint, labels, rows) for rows in row_chunks(len(joint), width)]
    return {name: np.concatenate([part[name] for part in parts] or [np.zeros(0)]) for name in NAMES}


def log_odds(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-odds of a probability that is given as minus that of its complement.

    >>> log_odds(np.array([-0.5, -0.25])).round(3)
    array([0.   , 1.099])
    """
    return np.log(np.maximum(1 + score, _SMALLEST)) - np.log(np.maximum(-score, _SMALLEST))


def _doubt(probabilities: Tensor, answer: Tensor) -> Tensor:
    """Probability of all but the answer, without the rounding that 1 - p has near p = 1."""
    return probabilities.scatter(1, answer[:, None], 0.0).sum(dim=1)


def _scores(outputs: Outputs, joint: Tensor, labels: Sequence[Tensor], rows: slice) -> Scores:
    log_prob, main = joint[rows].double(), outputs.main[rows].double()
    answer = log_prob.argmax(dim=1)
    best = log_prob.topk(min(2, log_prob.shape[1]), dim=1).values
    probability = log_prob.exp()
    doubt = _doubt(probability, answer)
    agreement = torch.zeros(len(main), dtype=torch.float64)
    branches = np.zeros(len(main))
    for logits, label in zip(outputs.groups, labels, strict=True):
        seen, group = logits[rows].double().softmax(dim=1), label[answer]
        agreement += seen.argmax(dim=1) == group
        branches += log_odds(-_doubt(seen, group).numpy())
    return {
        "main": -_doubt(main.softmax(dim=1), answer).numpy(),
        "energy": main.logsumexp(dim=1).numpy(),
        "JP": -doubt.numpy(),
        "margin": (best[:, 0] - best[:, -1]).numpy(),
        "entropy": -torch.special.entr(probability).sum(dim=1).numpy(),
        "agreement": agreement.numpy(),
        # The doubt of the most probable class is below 1, less than one agreement.
        "agreement_JP": (agreement - doubt).numpy(),
        "branches": branches,
    }


_WORDS = {
    "baseline": "largest probability of the baseline",
    "TR": "largest probability of the main classifier",
    "main": "probability of the answer in the main classifier",
    "energy": "energy of the main classifier",
    "JP": "joint probability",
    "margin": "joint margin",
    "entropy": "joint entropy",
    "agreement": "number of agreeing branches",
    "agreement_JP": "number of agreeing branches, then joint probability",
    "branches": "log-odds of the answer in the branches",
    "combination": "fitted combination of joint probability, main classifier and branches",
}


def score_words(name: str) -> str:
    """What a score is, in words for a person."""
    return _WORDS.get(name, name)


def show_score(name: str, value: float) -> str:
    """A value of a score as a person reads it: with its unit, as a probability where it is one.

    >>> show_score("JP", -0.0312), show_score("entropy", -0.5), show_score("agreement", 2.0)
    ('96.88 %', '0.500 nats', '2')
    >>> show_score("JP", -2e-6)
    '99.99980 %'
    """
    if name in ("JP", "main"):
        # As many digits as it takes to be told from 100 %.
        digits = max(2, min(12, -math.floor(math.log10(max(-value, _SMALLEST))) - 1))
        return f"{100 * (1 + value):.{digits}f} %"
    if name == "combination":
        return f"{100 / (1 + float(np.exp(-np.clip(value, -500, 500)))):.2f} %"
    if name in ("margin", "entropy"):
        return f"{abs(value):.3f} nats"
    return f"{value:.0f}" if name == "agreement" else f"{value:.3f}"
