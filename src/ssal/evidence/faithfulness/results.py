"""What the checks found, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ssal.evidence.faithfulness.differences import Difference

Kind = Literal["main", "branch", "joint"]
Method = Literal["cam", "gradcam", "hirescam", "sum"]


@dataclass(frozen=True)
class Subject:
    """Whose map it is.

    Attributes:
        kind: the main classifier, a branch, or all parts together.
        name: `main`, the name of the branch, or `joint`.
        branch: number of the branch, from 1; None for the others.
    """

    kind: Kind
    name: str
    branch: int | None = None

    @property
    def explains(self) -> str:
        """What its map explains: `group` for a branch, else `class`."""
        return "group" if self.kind == "branch" else "class"


@dataclass(frozen=True)
class Areas:
    """Mean areas under the deletion (or insertion) curves of a map and of the maps it must beat.

    Attributes:
        map: the map itself.
        random: random maps of the same resolution.
        centre: a Gaussian in the centre of the image.
        over_random: by how much the map is better than random maps.
        over_centre: by how much it is better than the centre.
        per_image: area of the map for each image.
        gain: what it is better by than random maps, for each image.
    """

    map: float
    random: float
    centre: float
    over_random: Difference
    over_centre: Difference
    per_image: tuple[float, ...] = field(repr=False)
    gain: tuple[float, ...] = field(repr=False)


@dataclass(frozen=True)
class OtherTarget:
    """Deletion by the map of another class or group, drawn at random.

    Attributes:
        map: area of the right map.
        other: area of the map for the other class or group, for the same score.
        difference: by how much the right map is better.
    """

    map: float
    other: float
    difference: Difference


@dataclass(frozen=True)
class Curves:
    """Mean scores over the images, for each share of the pixels exchanged.

    Attributes:
        fractions: S + 1 shares from 0 to 1.
        deletion: removing what the map marks first.
        deletion_random: by random maps.
        deletion_centre: from the centre.
        deletion_other: by the map of another class or group.
        insertion: likewise, adding to the baseline.
        insertion_random: by random maps.
        insertion_centre: from the centre.
    """

    fractions: tuple[float, ...]
    deletion: tuple[float, ...]
    deletion_random: tuple[float, ...]
    deletion_centre: tuple[float, ...]
    deletion_other: tuple[float, ...]
    insertion: tuple[float, ...]
    insertion_random: tuple[float, ...]
    insertion_centre: tuple[float, ...]


@dataclass(frozen=True)
class PartCheck:
    """Deletion and insertion for the maps of one part.

    Attributes:
        subject: whose maps.
        method: true CAM, Grad-CAM, HiResCAM, or the sum of the parts' maps weighted by their exponents.
        grid: height and width of the map before it is enlarged; for the sum, of the part that counts most.
        flat: for how many images the map is the same everywhere; a random one stands in for it.
        score: mean probability of what is explained, for the whole images.
        score_empty: and for the baselines.
        stakes: the difference of both for each image.
        deletion: a small area is good.
        insertion: a large area is good.
        other: the test with another class or group.
        curves: for plots.
    """

    subject: Subject
    method: Method
    grid: tuple[int, int]
    flat: int
    score: float
    score_empty: float
    stakes: tuple[float, ...] = field(repr=False)
    deletion: Areas
    insertion: Areas
    other: OtherTarget
    curves: Curves = field(repr=False)


@dataclass(frozen=True)
class Stage:
    """Likeness of the maps before and after weights were randomised.

    Attributes:
        randomised: the layer that is randomised now, besides those of the stages before.
        spearman: mean rank correlation over images and draws of the weights.
        ssim: mean structural similarity.
    """

    randomised: str
    spearman: float
    ssim: float


@dataclass(frozen=True)
class Cascade:
    """Randomisation of the weights that a part depends on, from its head downwards (Adebayo et al., 2018).

    Attributes:
        subject: the part.
        stages: one for each layer, the head first.
        between_images: mean rank correlation of the maps of two different images: how alike maps are that
            have nothing but the habits of the network in common.
    """

    subject: Subject
    stages: tuple[Stage, ...]
    between_images: float


@dataclass(frozen=True)
class Contrast:
    """One test in two runs, over the same images.

    Attributes:
        this: mean area of this run's maps.
        other: mean area of the other run's maps.
        difference: by how much this run's maps are better.
        gain: what this run's maps are better by than random maps, as a share of what is at stake: the
            probability that is lost between the whole images and the baselines.
        other_gain: the same of the other run.
        gain_difference: by how much this run's gain is larger.
    """

    this: float
    other: float
    difference: Difference
    gain: float
    other_gain: float
    gain_difference: Difference


@dataclass(frozen=True)
class Comparison:
    """A part's maps in two runs."""

    subject: Subject
    deletion: Contrast
    insertion: Contrast


@dataclass(frozen=True)
class Against:
    """The maps of this run compared with those of another one, such as one with random groups.

    Attributes:
        run: the other run.
        method: how its groups were made, if known.
        parts: the parts that both runs have.
    """

    run: str
    method: str | None
    parts: tuple[Comparison, ...]


@dataclass(frozen=True)
class ExplanationChecks:
    """Whether the maps of a model are true to it.

    Attributes:
        images: number of images.
        baseline: what stands in for removed pixels, `blur` or `mean`.
        steps: S, number of steps of a curve.
        draws: random maps for each image.
        seed: of everything random.
        parts: the main classifier, the branches and all together, as far as they have maps.
        without_map: parts that read no map.
        randomisation: one cascade for each part with a map.
        against: comparison with another run.
    """

    images: int
    baseline: str
    steps: int
    draws: int
    seed: int
    parts: tuple[PartCheck, ...]
    without_map: tuple[Subject, ...]
    randomisation: tuple[Cascade, ...]
    against: Against | None = None
