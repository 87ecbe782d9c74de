"""What an experiment is: one YAML file with trainings, rows measured on them, and the published figures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self, cast

from pydantic import Field, field_validator, model_validator

from ssal.experiments.section import Section, Texts, check_known
from ssal.experiments.shown import Measure, Panel, Pictures, Row, spread_ways

ScaleName = Literal["paper", "cpu", "smoke"]
SCALES: tuple[ScaleName, ...] = ("paper", "cpu", "smoke")
BASELINE = "baseline"


class Override(Section):
    """Values laid over those of a training.

    Attributes:
        settings: settings of `ssal train`, nested as in a settings file.
        options: options of the method.
        network: a name of `ssal.experiments.published`, whose settings come first of all. Layouts are written
            for the width that the network has there, and follow the width that is set.
    """

    settings: dict[str, Any] = Field(default_factory=dict[str, Any])
    options: dict[str, int | float | str] = Field(default_factory=dict[str, int | float | str])
    network: str | None = None


class Scale(Override):
    """A size at which the whole experiment can be run."""

    seeds: int = Field(default=1, ge=1)
    notes: Texts = ()


class TrainingSpec(Override):
    """One trained network.

    Attributes:
        base: name of an entry of `bases` whose values this one starts from.
        method: `baseline` for the backbone alone, or a name of `ssal.experiments.methods`.
        groups_from: the baseline training whose confusion the groups are derived from.
        keep_weights: keep the trained model for later use.
        same_time_as: of a baseline: train for as many epochs as take the time of this training, that of its
            own baseline and of the groups included.
        counted_in: the baseline of the same settings whose epochs that time is counted in; the one that the
            groups of the other training come from, if not given.
        time_share: the part of that time, for one of several networks.
        start: number of another start: other weights and another order, with the images of the first.
        seeds: how many seeds at most, where a scale asks for more.
        scales: values for some of the scales only.
    """

    base: str | None = None
    method: str | None = None
    groups_from: str | None = None
    keep_weights: bool = False
    same_time_as: str | None = None
    counted_in: str | None = None
    time_share: float | None = Field(default=None, gt=0)
    start: int | None = Field(default=None, ge=0)
    seeds: int | None = Field(default=None, ge=1)
    scales: dict[ScaleName, Override] = Field(default_factory=dict[ScaleName, Override])


class Experiment(Section):
    """A table or figure of the paper.

    Attributes:
        title: what it shows, in one line.
        source: where the paper has it.
        same: what is done as in the paper.
        differs: what is not.
        common: values of all trainings.
        scales: values of each scale.
        bases: partial trainings to start from.
        trainings: the networks, by name; baselines come before those that need them.
        rows: lines of the table.
        measures: what the table shows beside accuracy and cost.
        time_unit: the baseline whose seconds are 1 where times are compared, seed by seed.
        panels: plots, by name.
        pictures: which trainings are shown at work on test images.
    """

    title: str
    source: str
    same: Texts = ()
    differs: Texts = ()
    common: Override = Override()
    scales: dict[ScaleName, Scale]
    bases: dict[str, TrainingSpec] = Field(default_factory=dict[str, TrainingSpec])
    trainings: dict[str, TrainingSpec]
    rows: tuple[Row, ...] = ()
    measures: tuple[Measure, ...] = ()
    time_unit: str | None = None
    panels: dict[str, Panel] = Field(default_factory=dict[str, Panel])
    pictures: Pictures | None = None

    def parts(self, name: str) -> list[TrainingSpec]:
        """The base of a training, if it has one, and the training itself."""
        own = self.trainings[name]
        return [own] if own.base is None else [self.bases[own.base], own]

    def layers(self, name: str, scale: ScaleName) -> list[Override]:
        """What a training is laid together from, later ones winning: those of the scale come last."""
        parts = self.parts(name)
        at_scale = [part.scales[scale] for part in parts if scale in part.scales]
        return [self.common, *parts, self.scales[scale], *at_scale]

    def method(self, name: str) -> str:
        """Name of the method of a training."""
        return next((part.method for part in reversed(self.parts(name)) if part.method), BASELINE)

    def groups_from(self, name: str) -> str | None:
        """The baseline that the groups of a training come from."""
        return next((part.groups_from for part in reversed(self.parts(name)) if part.groups_from), None)

    def same_time_as(self, name: str) -> str | None:
        """The training whose time a baseline takes."""
        return next((part.same_time_as for part in reversed(self.parts(name)) if part.same_time_as), None)

    def counted_in(self, name: str) -> str | None:
        """The baseline whose epochs that time is counted in."""
        given = next((part.counted_in for part in reversed(self.parts(name)) if part.counted_in), None)
        target = self.same_time_as(name)
        return self.groups_from(target) if given is None and target is not None else given

    def time_share(self, name: str) -> float:
        """The part of that time."""
        return next((part.time_share for part in reversed(self.parts(name)) if part.time_share), 1.0)

    def start(self, name: str) -> int:
        """Which start of the same training it is."""
        return next((part.start for part in reversed(self.parts(name)) if part.start), 0)

    def seeds(self, name: str, scale: ScaleName) -> int:
        """How many seeds of a training are asked for."""
        wanted = self.scales[scale].seeds
        own = next((part.seeds for part in reversed(self.parts(name)) if part.seeds), wanted)
        return min(own, wanted)

    def needs(self, name: str) -> list[str]:
        """Trainings that are done before a training, if they are done at all."""
        others = (self.groups_from(name), self.counted_in(name), self.same_time_as(name))
        return [other for other in others if other is not None]

    def keeps_weights(self, name: str) -> bool:
        """Whether the trained model is kept."""
        return self.needs_weights(name) or any(part.keep_weights for part in self.parts(name))

    def needs_weights(self, name: str) -> bool:
        """Whether something is drawn with the trained model."""
        return self.pictures is not None and name in self.pictures.model_dump().values()

    @field_validator("rows", mode="before")
    @classmethod
    def _one_row_for_each_way(cls, rows: object) -> object:
        if not isinstance(rows, list | tuple):
            return rows
        return [each for row in cast("Iterable[object]", rows) for each in spread_ways(row)]

    def _is_plain(self, name: str) -> bool:
        """Whether it is a baseline that waits for no other training."""
        return self.method(name) == BASELINE and self.same_time_as(name) is None

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        check_known("training", (name for row in self.rows for name in row.trainings), self.trainings)
        if self.pictures is not None:
            check_known("training", self.pictures.model_dump().values(), self.trainings)
        curves = [
            shown.training for panel in self.panels.values() for shown in (*panel.curves, *panel.reliability)
        ]
        check_known("training", [*curves, self.time_unit], self.trainings)
        check_known("panel", (row.panel for row in self.rows), self.panels)
        for part in (*self.bases.values(), *self.trainings.values()):
            check_known("base", [part.base], self.bases)
        for name in self.trainings:
            groups_from, counted_in = self.groups_from(name), self.counted_in(name)
            same_time_as = self.same_time_as(name)
            check_known("training", [groups_from, counted_in, same_time_as], self.trainings)
            if groups_from is not None and not self._is_plain(groups_from):
                raise ValueError(f"groups of {name!r} come from {groups_from!r}, which is no plain baseline")
            if same_time_as is not None and self.method(name) != BASELINE:
                raise ValueError(f"{name!r} is to take the time of {same_time_as!r}, but is no baseline")
            if same_time_as is not None and (counted_in is None or not self._is_plain(counted_in)):
                raise ValueError(
                    f"{name!r} is to take the time of {same_time_as!r}, but counted_in no plain baseline"
                )
            for needed in [*self.needs(name), *filter(None, [self.time_unit])]:
                if any(self.seeds(needed, scale) < self.seeds(name, scale) for scale in self.scales):
                    raise ValueError(f"{name!r} has more seeds than {needed!r}, which it needs")
        return self

    @model_validator(mode="after")
    def _rows_fit(self) -> Self:
        labels = [row.label for row in self.rows]
        twice = {label for label in labels if labels.count(label) > 1}
        if twice:
            raise ValueError(f"two rows are called {min(twice)!r}")
        check_known("row", (row.reference for row in self.rows), labels)
        for row in self.rows:
            if (row.training is None) == (not row.ensemble):
                raise ValueError(f"row {row.label!r} needs either a training or an ensemble")
            plain = all(self.method(name) == BASELINE for name in row.trainings)
            if plain != (row.way == BASELINE):
                kind = "has no branches" if plain else "is no baseline"
                raise ValueError(f"row {row.label!r}: way {row.way!r}, but the training {kind}")
            if row.panel is not None and row.line is None:
                raise ValueError(f"row {row.label!r} is part of a plot, but has no line")
        self._check_places()
        return self

    def _check_places(self) -> None:
        rows = {row.label: row for row in self.rows}
        for name, panel in self.panels.items():
            listed = [label for labels in panel.lines.values() for label in labels]
            check_known("row", listed, rows)
            own = [row.label for row in self.rows if row.panel == name]
            for label in [*own, *listed] if panel.measured is None else []:
                if rows[label].x is None:
                    raise ValueError(f"row {label!r} is part of a plot, but has no x")
