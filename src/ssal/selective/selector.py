"""From held-out and calibration images to a model that may refuse an answer, or give a group instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ssal.joint import Outputs, fit_exponents
from ssal.metrics import area_gain
from ssal.selective.answers import Answers, class_answers, nested_answers
from ssal.selective.calibrated import Calibrated
from ssal.selective.combination import FEWEST, Combination, can_combine, fit_combination
from ssal.selective.guarantee import best_start
from ssal.selective.scores import Scores, confidence_scores
from ssal.selective.tally import Spans, find_spans, threshold_sequence

# Scores that use the branches; the first is taken unless another is better beyond chance.
BRANCH_SCORES = ("JP", "margin", "entropy", "agreement", "agreement_JP", "branches", "combination")


@dataclass(frozen=True)
class Sample:
    """Outputs of a trained model for N labelled images.

    Attributes:
        outputs: logits [N, C] and [N, k_b].
        joint: joint log-probabilities [N, C].
        target: true classes [N].
        labels: one map class → group [C] for each branch.
    """

    outputs: Outputs
    joint: Tensor
    target: Tensor
    labels: tuple[Tensor, ...]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Whether the joint answer is right, [N]."""
        return (self.joint.argmax(dim=1) == self.target).numpy()

    def scores(self, combination: Combination | None) -> Scores:
        """Scores of the joint answer, the combination among them if there is one."""
        found = confidence_scores(self.outputs, self.joint, self.labels)
        return found if combination is None else found | {"combination": combination(found)}


@dataclass(frozen=True)
class Selector:
    """When to answer with a class, when with a group, when not at all.

    Attributes:
        score: name of the score that decides whether a class is answered.
        combination: the fitted score; None where there were too few errors to fit it to.
        exponent_alone: exponent of the main classifier that fits best where the branches are left out:
            1 / temperature.
        classes: thresholds on `score`; the answer is the most probable class.
        groups: thresholds on the joint probability; the answer is the smallest of class and groups.
    """

    score: str
    combination: Combination | None
    exponent_alone: float
    classes: Calibrated
    groups: Calibrated

    def class_answers(self, outputs: Outputs, joint: Tensor, labels: Sequence[Tensor]) -> Answers:
        """The most probable class of each image with the score that decides."""
        scores = confidence_scores(outputs, joint, labels)
        if self.combination is not None and self.score == "combination":
            return class_answers(joint, self.combination(scores))
        return class_answers(joint, scores[self.score])

    def spans(self, sample: Sample) -> tuple[Spans, Spans]:
        """At which thresholds which answer is given: for classes alone, and for classes or groups."""
        alone = self.class_answers(sample.outputs, sample.joint, sample.labels)
        nested = nested_answers(sample.joint, sample.labels)
        return (
            find_spans(alone, alone.right(sample.target, sample.labels), self.classes.thresholds),
            find_spans(nested, nested.right(sample.target, sample.labels), self.groups.thresholds),
        )

    def tested(self, sample: Sample) -> Selector:
        """The same with counts on test images."""
        alone, nested = self.spans(sample)
        return replace(
            self, classes=self.classes.tested(alone.tally()), groups=self.groups.tested(nested.tally())
        )


def fit_selector(heldout: Sample, calibration: Sample, largest_exponent: float) -> Selector:
    """Fit scores and sequences of thresholds to held-out images, then count on the calibration images.

    Args:
        heldout: images that the weights were not fitted to; exponents may have been.
        calibration: images that nothing was fitted to, groups and exponents included; may be none.
        largest_exponent: upper bound of the exponent without branches.
    """
    correct = heldout.correct
    scores = heldout.scores(None)
    combination = None
    if can_combine(correct):
        combination, unseen = fit_combination(scores, correct)
        scores |= {"combination": unseen}
    score = _choose_score(scores, correct)
    alone_exponent = fit_exponents(Outputs(heldout.outputs.main), heldout.target, [], largest_exponent).main
    alone = [class_answers(part.joint, part.scores(combination)[score]) for part in (heldout, calibration)]
    nested = [nested_answers(part.joint, part.labels) for part in (heldout, calibration)]
    return Selector(
        score=score,
        combination=combination,
        exponent_alone=alone_exponent,
        classes=_calibrate(alone[0], heldout, alone[1], calibration),
        groups=_calibrate(nested[0], heldout, nested[1], calibration),
    )


def _choose_score(scores: Scores, correct: NDArray[np.bool_]) -> str:
    """The joint probability, or the score whose area under risk-coverage is smaller beyond chance."""
    if (~correct).sum() < FEWEST:
        return BRANCH_SCORES[0]
    first, *others = (name for name in BRANCH_SCORES if name in scores)
    gains = {name: area_gain((scores[name], correct), (scores[first], correct)) for name in others}
    better = {name: gain.mean for name, gain in gains.items() if gain.low > 0}
    return max(better, key=lambda name: better[name]) if better else first


def _calibrate(before: Answers, heldout: Sample, answers: Answers, calibration: Sample) -> Calibrated:
    """Thresholds and where to start testing from the held-out images, counts from the calibration images."""
    thresholds = threshold_sequence(before.scores)
    first = find_spans(before, before.right(heldout.target, heldout.labels), thresholds).tally()
    counts = find_spans(answers, answers.right(calibration.target, calibration.labels), thresholds).tally()
    return Calibrated(thresholds, best_start(first, counts.images), counts)
