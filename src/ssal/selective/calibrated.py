"""Thresholds with what calibration and test images say of them, and the promise that follows for a risk."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ssal.errors import InputError
from ssal.selective.guarantee import CONFIDENCE, choose_threshold, sequence_bounds
from ssal.selective.tally import Tally


@dataclass(frozen=True)
class Outcome:
    """What a threshold did to a set of images.

    Attributes:
        images: number of images.
        answered: images that got an answer.
        wrong: answers without the true class.
        classes: classes in all answers together.
        single: answers that are one class.
    """

    images: int
    answered: int
    wrong: int
    classes: int
    single: int

    @property
    def coverage(self) -> float:
        """Share of the images that got an answer, 0–1."""
        return self.answered / self.images if self.images else 0.0

    @property
    def risk(self) -> float:
        """Share of the answers that are wrong, 0–1; 0 without an answer."""
        return self.wrong / self.answered if self.answered else 0.0

    @property
    def size(self) -> float:
        """Mean number of classes in an answer; NaN without an answer."""
        return self.classes / self.answered if self.answered else math.nan

    @classmethod
    def at(cls, tally: Tally, index: int) -> Outcome:
        """The counts of one threshold."""
        columns = (tally.answered, tally.wrong, tally.classes, tally.single)
        return cls(tally.images, *(int(column[index]) for column in columns))


@dataclass(frozen=True)
class Guarantee:
    """At most a share `risk` of the answers is wrong; the promise fails with probability 1 - `confidence`.

    The probability is over the draw of the calibration images; new images must be drawn as those were.

    Attributes:
        risk: allowed share of wrong answers, 0–1.
        confidence: probability that it is kept, 0–1.
        threshold: an answer is given if its score reaches this.
        calibration: what the threshold does to the calibration images.
        test: and to the test images of the run, if known.
    """

    risk: float
    confidence: float
    threshold: float
    calibration: Outcome
    test: Outcome | None = None

    @property
    def holds(self) -> bool | None:
        """Whether it is kept on the test images; None if these are not known, or none was answered."""
        if self.test is None or not self.test.answered:
            return None
        return self.test.wrong <= self.risk * self.test.answered

    def __str__(self) -> str:
        """What is promised, on what ground, and what became of it on the test images."""
        made = self.calibration
        text = (
            f"at most {100 * self.risk:g} % of the answers given are wrong, with {100 * self.confidence:g} % "
            f"confidence ({made.images:,} calibration images); expect {_answers(made)}"
        )
        if self.test is None:
            return text
        seen = self.test
        wrong = f", {100 * seen.risk:.2f} % of them wrong" if seen.answered else ""
        verdict = {True: ": kept", False: ": NOT kept", None: ""}[self.holds]
        return f"{text}; on {seen.images:,} test images: {_answers(seen)}{wrong}{verdict}"


def _answers(outcome: Outcome) -> str:
    share = f"{100 * outcome.coverage:.1f} % answered"
    if outcome.classes == outcome.answered:
        return share
    return f"{share} ({100 * outcome.single / outcome.images:.1f} % with one class)"


@dataclass(frozen=True)
class Calibrated:
    """A sequence of thresholds with its counts.

    Attributes:
        thresholds: float64 [T], falling, the last -inf.
        start: where testing begins.
        calibration: counts on the calibration images.
        test: counts on the test images, once there are.
    """

    thresholds: NDArray[np.float64]
    start: int
    calibration: Tally
    test: Tally | None = None

    def tested(self, test: Tally) -> Calibrated:
        """The same with counts on test images."""
        return replace(self, test=test)

    def smallest_risk(self, confidence: float = CONFIDENCE) -> float:
        """The smallest risk that can be guaranteed; 1 if there are no calibration images."""
        return float(sequence_bounds(self.calibration, self.start, confidence)[0])

    def find(self, risk: float, confidence: float = CONFIDENCE) -> Guarantee | None:
        """The guarantee for a risk; None if so small a risk cannot be guaranteed.

        Raises:
            InputError: risk or confidence is no share between 0 and 1.
        """
        index = choose_threshold(self.calibration, self.start, risk, confidence)
        if index is None:
            return None
        return Guarantee(
            risk=risk,
            confidence=confidence,
            threshold=float(self.thresholds[index]),
            calibration=Outcome.at(self.calibration, index),
            test=None if self.test is None else Outcome.at(self.test, index),
        )

    def guarantee(self, risk: float, confidence: float = CONFIDENCE) -> Guarantee:
        """The guarantee for a risk.

        Raises:
            InputError: risk or confidence is no share, there are no calibration images, or the risk is
                smaller than what can be guaranteed; the message says what can be.
        """
        if not self.calibration.images:
            raise InputError(
                "no risk can be guaranteed: each class has a single held-out image, so that none is left to "
                "calibrate on; train with a larger --holdout"
            )
        found = self.find(risk, confidence)
        if found is None:
            least = math.ceil(1e4 * self.smallest_risk(confidence)) / 1e4
            able = f"the smallest that can be is {least:g}" if least < 1 else "no risk can be"
            raise InputError(
                f"a risk of {risk:g} cannot be guaranteed with {self.calibration.images:,} calibration "
                f"images; {able}"
            )
        return found
