"""From an experiment, a scale and seeds to definite trainings in the order in which they are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ssal.branches import scale_layout
from ssal.config import Settings, make_settings
from ssal.errors import InputError, unknown_name
from ssal.experiments.methods import find_method
from ssal.experiments.published import PUBLISHED, Published
from ssal.experiments.spec import BASELINE, Experiment, Override, ScaleName
from ssal.experiments.store import Store
from ssal.experiments.training import OF_BRANCHES, Training
from ssal.run.heads import heads_of


@dataclass(frozen=True)
class Cell:
    """A training of an experiment with its name and seed."""

    name: str
    seed: int
    training: Training

    @property
    def digest(self) -> str:
        """Digest of the training."""
        return self.training.digest


@dataclass(frozen=True)
class Reproduction:
    """An experiment with everything that is chosen when it is run.

    Attributes:
        name: name of the experiment, or path of its file.
        experiment: its content.
        scale: at which size.
        cells: its trainings, in the order in which they are done.
        store: where results are.
    """

    name: str
    experiment: Experiment
    scale: ScaleName
    cells: tuple[Cell, ...]
    store: Store

    @property
    def stem(self) -> str:
        """File name of the results, without suffix."""
        return f"{Path(self.name).stem}-{self.scale}"


def plan_cells(
    experiment: Experiment,
    scale: ScaleName,
    seeds: Sequence[int],
    *,
    assignments: Mapping[str, Any] | None = None,
    data_dir: Path | None = None,
    names: Sequence[str] | None = None,
) -> tuple[Cell, ...]:
    """All trainings of an experiment, seed by seed, in the order of its file, each after those it needs.

    Args:
        experiment: the experiment.
        scale: at which size.
        seeds: seeds of weights, order, augmentation and split.
        assignments: settings laid over all others.
        data_dir: folder of the data, or of folders named after data sets.
        names: only these trainings, and those that they need.

    Raises:
        InputError: settings are not allowed, a method or layout is unknown, or groups come from nowhere.
    """
    chosen = _in_order(experiment, list(experiment.trainings) if names is None else names)
    return tuple(
        cell
        for seed in seeds
        for cell in _cells(experiment, scale, seed, assignments or {}, data_dir, chosen)
    )


def _in_order(experiment: Experiment, names: Sequence[str]) -> list[str]:
    ordered: dict[str, None] = {}

    def add(name: str) -> None:
        for needed in experiment.needs(name):
            add(needed)
        ordered[name] = None

    for name in experiment.trainings:
        if name in names:
            add(name)
    return list(ordered)


def _cells(
    experiment: Experiment,
    scale: ScaleName,
    seed: int,
    assignments: Mapping[str, Any],
    data_dir: Path | None,
    names: Sequence[str],
) -> list[Cell]:
    cells: dict[str, Cell] = {}
    for name in names:
        layers = experiment.layers(name, scale)
        try:
            settings = _settings(layers, {**assignments, **_seeds(seed, experiment.start(name))}, data_dir)
        except InputError as error:
            raise InputError(f"training {name!r} at scale {scale}: {error}") from None
        method, source = experiment.method(name), experiment.groups_from(name)
        if method == BASELINE:
            settings = _without_branches(settings)
        _check_gathering(name, method, source, settings)
        derives = method != BASELINE and _needs_confusion(method, settings)
        if derives and source is None:
            raise InputError(f"training {name!r} derives groups, but does not say groups_from which baseline")
        training = Training(
            settings=settings,
            method=method,
            options={key: value for layer in layers for key, value in layer.options.items()},
            groups_from=cells[source].digest if derives and source is not None else None,
            keep_weights=experiment.keeps_weights(name),
            needs_weights=experiment.needs_weights(name),
        )
        target, counted_in = experiment.same_time_as(name), experiment.counted_in(name)
        if target is not None and counted_in is not None:
            _check_same_network(name, settings, cells[counted_in])
            training = replace(
                training,
                same_time_as=cells[target].digest,
                counted_in=cells[counted_in].digest,
                time_share=experiment.time_share(name),
            )
        cells[name] = Cell(name, seed, training)
    return list(cells.values())


def _check_gathering(name: str, method: str, source: str | None, settings: Settings) -> None:
    """Groups of the same training are for branches as `ssal train` has them, and come from no baseline."""
    if settings.groups_from == "baseline":
        return
    if method != "ssal":
        raise InputError(
            f"training {name!r}: groups_from 'training' is for the method 'ssal' only, not {method!r}"
        )
    if source is not None:
        raise InputError(
            f"training {name!r}: its groups are to come from {source!r} and from the same training"
        )


def _seeds(seed: int, start: int) -> dict[str, int]:
    """Another start has another seed, far from those that are counted up, and the first one's images."""
    return {"seed": seed} if start == 0 else {"seed": seed + 1000 * start, "data_seed": seed}


def _check_same_network(name: str, settings: Settings, baseline: Cell) -> None:
    """Epochs are counted in those of the baseline, so that all but their number and the seed must be its."""
    theirs = baseline.training.settings
    free = ("epochs", "seed", "data_seed")
    if settings.model_copy(update={key: getattr(theirs, key) for key in free}) != theirs:
        raise InputError(
            f"training {name!r} is to take a time counted in epochs of {baseline.name!r}, but differs"
        )


def _without_branches(settings: Settings) -> Settings:
    """The same settings with those of the branches left at values that fit any data."""
    neutral = make_settings({"data": settings.data, "groups": ["all"], "groups_from": "baseline"})
    return settings.model_copy(update={name: getattr(neutral, name) for name in OF_BRANCHES})


def _needs_confusion(method: str, settings: Settings) -> bool:
    """Whether groups depend on how classes are confused; random ones, classes and files do not."""
    derived = settings.groups == "auto" or any(
        isinstance(head.item, int) for head in heads_of(settings.groups)
    )
    wanted = find_method(method).needs_groups and settings.method != "random" and derived
    return wanted and settings.groups_from == "baseline"


def _settings(layers: Sequence[Override], assignments: Mapping[str, Any], data_dir: Path | None) -> Settings:
    """The settings of the network, then those of the layers, then the assignments; later ones win."""
    network = _network(next((layer.network for layer in reversed(layers) if layer.network), None))
    # Unlike in `ssal train`, a cell names the baseline whose confusion its groups are of, or asks for groups
    # of its own, and says so if its main classifier learns from the rest.
    start = {"groups_from": "baseline", "distillation": {"weight": 0}}
    start |= {} if network is None else network.settings()
    settings = make_settings(start, *(layer.settings for layer in layers), assignments)
    if settings.baseline_epochs is not None:
        raise InputError(
            "baseline_epochs is for ssal train; here, a baseline is a training with epochs of its own"
        )
    update: dict[str, Any] = {}
    if network is not None and network.width is not None and settings.width is not None:
        factor = settings.width / network.width
        update["layout"] = tuple(scale_layout(layout, factor) for layout in settings.layout)
    if data_dir is not None and settings.data_dir is None:
        update["data_dir"] = data_dir
    return settings.model_copy(update=update)


def _network(name: str | None) -> Published | None:
    if name is not None and name not in PUBLISHED:
        raise unknown_name("network", name, list(PUBLISHED))
    return None if name is None else PUBLISHED[name]
