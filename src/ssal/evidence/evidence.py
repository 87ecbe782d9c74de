"""`Evidence`: one prediction taken apart into what its parts contributed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

MAIN = "main classifier"
# What a fused branch adds up, beside what it has read of the others.
OWN, BIAS = "its own features", "bias"


@dataclass(frozen=True)
class Share:
    """What one of the vectors that a fused branch reads adds to its term.

    Attributes:
        name: name of the branch whose vector it is; or `its own features`, or `bias`.
        part: number of the part in `Evidence.parts` that the vector belongs to; None for the bias.
        leads: for each candidate, how far this favours the winner over it, in nats; η is in it.
    """

    name: str
    part: int | None
    leads: tuple[float, ...]


@dataclass(frozen=True)
class Part:
    """What one part of the model, the main classifier or a branch, says of an image.

    Attributes:
        tap: layer that the branch reads; None for the main classifier.
        exponent: η, how much the part counts.
        predicted: number of the group that the part finds most probable; for the main classifier, a class.
        members: class ids of that group, ascending; for the main classifier, the class alone.
        probability: probability of the group (or class) in the part's own eyes, 0–1.
        agrees: whether the winner of the joint prediction is among the members.
        terms: η·log p of each candidate, in the order of `Evidence.candidates`.
        without: the class that would win if the part were left out; several where they would share the first
            place, as the classes of a group do without the main classifier; none where no other part counts.
        map: float32 [H, W] from 0 to 1, where the evidence lies: for the winner in the main classifier, for
            the predicted group in a branch. None where the part reads no maps.
        method: how the map was made, `CAM`, `Grad-CAM` or `HiResCAM`; None without map.
        label: how the branch is called where its tap alone does not tell it from others.
        tells_classes: whether each of its groups is one class; of the main classifier too.
        shares: of a fused branch, what each vector that it reads adds to `leads`, which they sum up to. None
            where it does not count, nor for groups read off its classes: they are no linear function.
    """

    tap: str | None
    exponent: float
    predicted: int
    members: tuple[int, ...]
    probability: float
    agrees: bool
    terms: tuple[float, ...]
    without: tuple[int, ...]
    map: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    method: str | None = None
    label: str = ""
    tells_classes: bool = False
    shares: tuple[Share, ...] = ()

    @property
    def name(self) -> str:
        """The label of the branch, or else its tap, or `main classifier`."""
        return MAIN if self.tap is None else self.label or self.tap

    @property
    def leads(self) -> tuple[float, ...]:
        """How far the part favours the winner over each candidate: differences of their terms, in nats."""
        return tuple(self.terms[0] - term for term in self.terms)

    @property
    def margin(self) -> float:
        """How far the part favours the winner over the runner-up."""
        return self.leads[1]


@dataclass(frozen=True)
class Evidence:
    """A joint prediction as the sum that it is: log P(i) = Σ_parts η·log p(i) − log Z (§3.4).

    Attributes:
        candidates: ids of the most probable classes, the winner first.
        log_probabilities: normalised joint log-probability of each candidate.
        log_normaliser: log Z, the same for all classes.
        parts: the main classifier, then the branches.
        class_names: names of all C classes.
    """

    candidates: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    log_normaliser: float
    parts: tuple[Part, ...]
    class_names: tuple[str, ...] = field(repr=False)

    @property
    def winner(self) -> int:
        """The predicted class."""
        return self.candidates[0]

    @property
    def runner_up(self) -> int:
        """The second most probable class."""
        return self.candidates[1]

    @property
    def class_name(self) -> str:
        """Name of the predicted class."""
        return self.class_names[self.winner]

    @property
    def probability(self) -> float:
        """Joint probability of the predicted class, 0–1."""
        return self.probabilities[0]

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Joint probability of each candidate, 0–1."""
        return tuple(math.exp(value) for value in self.log_probabilities)

    @property
    def margin(self) -> float:
        """Of log P, winner over runner-up: the sum of the margins of the parts."""
        return self.log_probabilities[0] - self.log_probabilities[1]

    @property
    def decided_by(self) -> Part:
        """The part that favours the winner over the runner-up the most."""
        return max(self.parts, key=lambda part: part.margin)

    @property
    def decisive(self) -> tuple[Part, ...]:
        """The parts without which another class would have won."""
        return tuple(part for part in self.parts if part.without and self.winner not in part.without)

    @property
    def agreement(self) -> int:
        """Number of branches whose predicted group holds the winner."""
        return sum(part.agrees for part in self.parts if part.tap is not None)

    def names(self, classes: tuple[int, ...]) -> tuple[str, ...]:
        """Names of classes given by their ids."""
        return tuple(self.class_names[index] for index in classes)
