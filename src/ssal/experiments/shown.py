"""What an experiment shows: rows of its table, plots and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, cast

from pydantic import Field

from ssal.experiments.section import Numbers, Section, Texts, check_known, listed

# What `ways` of a row may name, and what is added to its label.
_WAYS: Mapping[str, tuple[str, Mapping[str, object]]] = MappingProxyType(
    {
        "TR": ("TR", {"way": "TR"}),
        "JP1": ("JP, η = 1", {"way": "JP", "exponents": 1}),
        "JP": ("JP, fitted", {"way": "JP"}),
        "LC": ("LC", {"way": "LC"}),
    }
)
Measure = Literal["nll", "ece", "auroc"]


class Published(Section):
    """What the paper reports: percentages, their standard deviation, parameters in millions."""

    top1: float | None = None
    top1_sd: float | None = None
    top5: float | None = None
    parameters: float | None = None


class Row(Section):
    """A measurement on the stored outputs of a training, or of several whose probabilities are averaged.

    Attributes:
        label: what the table calls it; unique.
        training: name of the training.
        ensemble: names of trainings instead, whose probabilities are averaged.
        way: `baseline` and `TR` are the main classifier of a network without and with branches, `JP` the
            joint probability, `LC` the linear combination, `branch` the share of right groups of one branch.
        exponents: of JP: `fit`, or one number for all branches, or one for each.
        branch: number of the branch, for the way `branch`.
        published: the paper's figures.
        reference: label of the row that this one is compared with, seed by seed.
        panel: name of the plot that shows it.
        line: the line in that plot.
        x: place on that line, in panels whose places are not measured.

    In a file, `ways` in the place of `way` writes a row for each of `TR`, `JP1` (η = 1), `JP` and `LC`.
    """

    label: str
    training: str | None = None
    ensemble: Texts = ()
    way: Literal["baseline", "TR", "JP", "LC", "branch"]
    exponents: Literal["fit"] | Numbers = "fit"
    branch: int = Field(default=0, ge=0)
    published: Published = Published()
    reference: str | None = None
    panel: str | None = None
    line: str | None = None
    x: float | str | None = None

    @property
    def trainings(self) -> tuple[str, ...]:
        """Names of the trainings it is measured on."""
        return (self.training,) if self.training is not None else self.ensemble


class Curve(Section):
    """The learning curve of a training: held-out accuracy after each epoch."""

    label: str
    training: str
    value: Literal["val_top1", "val_top1_joint"] = "val_top1"


class Reliability(Section):
    """The reliability diagram of a training: accuracy among the test samples of about equal confidence."""

    label: str
    training: str
    way: Literal["main", "JP1", "JP", "LC"] = "main"


class Panel(Section):
    """One plot: lines through rows, learning curves, or reliability diagrams.

    Attributes:
        title: what it shows.
        x: name of the horizontal axis.
        y: name of the vertical one.
        measured: what a row's place is: the number of branches, millions of parameters or of floating-point
            operations of a prediction, minutes of training, or its time in that of the `time_unit`; the
            row's own `x` if None.
        value: what is drawn over it, of each row.
        lines: labels of the rows of each line, beside the rows that name the panel themselves.
        curves: learning curves.
        reliability: reliability diagrams.
    """

    title: str
    x: str
    y: str = "top-1 accuracy, %"
    measured: Literal["branches", "parameters", "flops", "seconds", "time"] | None = None
    value: Literal["top1", "top5", "nll", "ece", "auroc"] = "top1"
    lines: dict[str, Texts] = Field(default_factory=dict[str, Texts])
    curves: tuple[Curve, ...] = ()
    reliability: tuple[Reliability, ...] = ()


class Pictures(Section):
    """Where a network looks: maps of a model with branches, beside one of its baseline."""

    baseline: str
    model: str


def spread_ways(row: object) -> list[object]:
    """The rows that one with `ways` stands for; any other as it is.

    Raises:
        ValueError: a way is unknown.
    """
    if not isinstance(row, Mapping) or "ways" not in row:
        return [row]
    given = dict(cast("Mapping[str, object]", row))
    ways = cast("Iterable[str]", listed(given.pop("ways")))
    check_known("way", ways, _WAYS)
    return [given | {"label": f"{given.get('label')}: {_WAYS[way][0]}", **_WAYS[way][1]} for way in ways]
