"""What may be answered for an image: its most probable class, or a group of classes that holds more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ssal.selective.scores import row_chunks

# Column of an image whose answer is refused.
ABSTAINED = -1


@dataclass(frozen=True)
class Answers:
    """L possible answers for each of N samples, from the smallest to the largest.

    At a threshold, the answer is the first whose score reaches it; if none does, there is no answer.

    Attributes:
        scores: float64 [N, L], higher = surer.
        parts: int64 [N, L], 0 where the answer is a class, b where it is a group of branch b, counted from 1.
        choices: int64 [N, L], number of the class or the group.
        sizes: int64 [N, L], number of classes in the answer.
    """

    scores: NDArray[np.float64]
    parts: NDArray[np.int64]
    choices: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def right(self, target: ArrayLike, labels: Sequence[Tensor]) -> NDArray[np.bool_]:
        """Whether each answer holds the true class, [N, L].

        Args:
            target: true classes [N].
            labels: one map class → group [C] for each branch.
        """
        true = np.asarray(target).astype(np.int64)[:, None]
        result = self.choices == true
        for number, label in enumerate(labels, start=1):
            result = np.where(self.parts == number, self.choices == label.cpu().numpy()[true], result)
        return result

    def at(self, threshold: float) -> NDArray[np.int64]:
        """Column of the answer of each sample at a threshold, `ABSTAINED` where there is none; [N]."""
        enough = self.scores >= threshold
        return np.where(enough.any(axis=1), enough.argmax(axis=1), ABSTAINED)


def class_answers(joint: Tensor, score: NDArray[np.float64]) -> Answers:
    """The most probable class as the only possible answer, with any score [N] of it."""
    ones = np.ones((len(joint), 1), dtype=np.int64)
    winners = joint.argmax(dim=1).numpy().astype(np.int64)
    return Answers(score[:, None], 0 * ones, winners[:, None], ones)


def nested_answers(joint: Tensor, labels: Sequence[Tensor]) -> Answers:
    """The most probable class and, for each branch, the most probable group of its grouping.

    The probability of a group is that of its members together, P(group) = Σ P(class); so all answers have one
    measure, and the smaller of two answers that are sure enough is the better one. Scores are minus the
    probability of all classes outside.

    Args:
        joint: joint log-probabilities [N, C].
        labels: one map class → group [C] for each branch.

    >>> joint = torch.tensor([[0.5, 0.4, 0.1]]).log()
    >>> answers = nested_answers(joint, [torch.tensor([0, 0, 1])])
    >>> answers.scores.round(3).tolist(), answers.sizes.tolist()
    ([[-0.5, -0.1]], [[1, 2]])
    """
    maps = [torch.arange(joint.shape[1]), *(label.cpu() for label in labels)]
    shape = (len(joint), len(maps))
    scores, choices = np.empty(shape), np.empty(shape, np.int64)
    for rows in row_chunks(len(joint), 2 * joint.shape[1]):
        probability = joint[rows].double().exp()
        for part, label in enumerate(maps):
            choices[rows, part], scores[rows, part] = _best_group(probability, label)
    members = [label.bincount().numpy() for label in maps]
    sizes = np.stack([count[choices[:, part]] for part, count in enumerate(members)], axis=1)
    parts = np.broadcast_to(np.arange(len(maps)), shape)
    # Smallest first; of two answers of one size the surer one, of two that are equal in both the class.
    order = np.lexsort((parts, -scores, sizes), axis=1)
    return Answers(
        scores=np.take_along_axis(scores, order, axis=1),
        parts=np.take_along_axis(parts, order, axis=1),
        choices=np.take_along_axis(choices, order, axis=1),
        sizes=np.take_along_axis(sizes, order, axis=1),
    )


def _best_group(probability: Tensor, label: Tensor) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The most probable group of each sample, and minus the probability outside of it."""
    groups = int(label.max()) + 1
    mass = probability.new_zeros(len(probability), groups).index_add_(1, label, probability)
    choice = mass.argmax(dim=1, keepdim=True)
    # Summed up, not subtracted from 1: what is left near 1 would be rounding.
    return choice.squeeze(1).numpy(), -mass.scatter_(1, choice, 0.0).sum(dim=1).numpy()
