"""A training that is broken off between any two batches ends as if nothing had happened."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ssal.data import ArraySet, Augmentation, Batch, Preprocess, eval_loader, train_loader
from ssal.errors import DataError, RunError
from ssal.grouping import Grouping, group_classes
from ssal.model import Branch, GroupedNetwork, SSALModel
from ssal.training import (
    EpochRow,
    GatheredGroups,
    JointLoss,
    Objective,
    SaveEvery,
    Step,
    TrainingPlan,
    find_checkpoint,
    fit,
)

PREPROCESS = Preprocess(1, (8, 8), (0.5,), (0.25,))
EPOCHS, BATCHES, HELD_OUT = 2, 3, 2


class Broken(BaseException):
    """The process ends here, for all that the training can know."""


def images(count: int, seed: int) -> ArraySet:
    random = np.random.default_rng(seed)
    targets = np.arange(count) % 4
    pixels = random.integers(0, 120, (count, 8, 8, 1)) + 30 * targets[:, None, None, None]
    return ArraySet(pixels.astype(np.uint8), targets, ["a", "b", "c", "d"])


def model() -> SSALModel:
    """With everything that has a state: batch norm, dropout."""
    torch.manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(4, 4),
    )
    groups = Grouping.from_labels([0, 0, 1, 1])
    return SSALModel(backbone, [Branch("2", groups, layout="cbr 4 | gap")], (1, 8, 8))


class Watched:
    """A loader that tells before each of its batches where the training is."""

    def __init__(self, loader: Any, tell: Callable[[str], None], kind: str) -> None:
        self.loader, self.tell, self.kind = loader, tell, kind
        self.start = 0

    def __len__(self) -> int:
        return len(self.loader)

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        self.start = start_batch
        self.loader.set_epoch(epoch, start_batch)

    def __iter__(self) -> Iterator[Batch]:
        for number, batch in enumerate(self.loader, start=self.start):
            self.tell(f"{self.kind} {number}")
            yield batch


def factory(make: Any, tell: Callable[[str], None], kind: str) -> Any:
    return lambda *, rank, world_size: Watched(make(rank=rank, world_size=world_size), tell, kind)


def train(
    folder: Path, plan: TrainingPlan, tell: Callable[[str], None] = lambda at: None, **more: Any
) -> Any:
    """Weights and rows, whatever `folder` holds of an earlier try."""
    train_part = partial(
        train_loader,
        images(5 * BATCHES, seed=1),
        PREPROCESS,
        Augmentation(shift=1, flip=True),
        batch_size=5,
        seed=3,
    )
    held_out = partial(eval_loader, images(5 * HELD_OUT, seed=2), PREPROCESS, batch_size=5)
    rows: list[EpochRow] = []
    found = find_checkpoint(folder)
    fitted = fit(
        model(),
        factory(train_part, tell, "batch"),
        factory(held_out, tell, "held-out"),
        plan,
        checkpoints=folder,
        resume_from=None if found is None else found.path,
        on_epoch=rows.append,
        **more,
    )
    return {name: value.clone() for name, value in fitted.model.state_dict().items()}, rows


def without_times(rows: list[EpochRow]) -> list[Any]:
    return [astuple(row)[:-2] for row in rows]


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Squares:
    """A second objective, whose steps use dropout as well."""

    def __call__(self, model: GroupedNetwork, images: Tensor, targets: Tensor) -> Step:
        outputs = model(images)
        return Step(outputs.main.square().mean(), outputs)


def pairs(confusion: NDArray[np.float64]) -> tuple[Grouping, ...]:
    return (group_classes(confusion, 2, criterion="split"),)


# Objectives are made anew for each process, as the model is.
Kind = tuple[TrainingPlan, Callable[[], list[Objective]]]
PLAIN: Kind = (TrainingPlan(epochs=EPOCHS), list)
FULL: Kind = (TrainingPlan(epochs=EPOCHS, ema=0.9, clip_norm=1.0), lambda: [JointLoss(), Squares()])
KEPT: Kind = (TrainingPlan(epochs=EPOCHS), lambda: [GatheredGroups(pairs, 4, start=2, memory=2.0)])

ADAMW: Kind = (TrainingPlan(epochs=EPOCHS, optimizer="adamw", lr=0.01), list)


@pytest.mark.parametrize(("kind", "steps"), [(FULL, 1), (PLAIN, 2), (KEPT, 1), (ADAMW, 1)])
def test_broken_off_anywhere(tmp_path: Path, kind: Kind, steps: int) -> None:
    """Broken off before each batch and each look at the held-out part."""
    plan, objectives = kind
    places: list[str] = []
    settled = train(tmp_path / "through", plan, places.append, objectives=objectives())
    assert len(places) == EPOCHS * (BATCHES + HELD_OUT)
    every = SaveEvery(steps=steps, minutes=None)
    for place in range(1, len(places)):
        countdown = itertools.count(-place)

        def tell(at: str, countdown: Iterator[int] = countdown) -> None:
            if next(countdown) == 0:
                raise Broken

        folder = tmp_path / f"broken {place}"
        with pytest.raises(Broken):
            train(folder, plan, tell, objectives=objectives(), save_every=every)
        torch.manual_seed(99)
        seen: list[str] = []
        weights, rows = train(folder, plan, seen.append, objectives=objectives(), save_every=every)
        assert same(weights, settled[0]), places[place]
        assert without_times(rows) == without_times(settled[1])[-len(rows) :], places[place]
        # What is done again is what the last state lacks, and no more.
        done = sum(at.startswith("batch") for at in places[:place])
        again = sum(at.startswith("batch") for at in seen) - (EPOCHS * BATCHES - done)
        assert 0 <= again <= steps


def test_states_are_saved_by_the_clock(tmp_path: Path) -> None:
    saved: list[int] = []

    def tell(at: str) -> None:
        found = find_checkpoint(tmp_path)
        if found is not None and at.startswith("batch"):
            saved.append(found.epoch * BATCHES + found.batch)

    train(tmp_path, TrainingPlan(epochs=2), tell, save_every=SaveEvery(minutes=1e-9))
    assert saved == [1, 2, 3, 4, 5]


def test_a_state_that_cannot_go_on_replaces_no_good_one(tmp_path: Path) -> None:
    """Gradients that are not finite spoil the weights although the loss was finite."""

    class Spoiled:
        steps = 0

        def __call__(self, model: GroupedNetwork, images: Tensor, targets: Tensor) -> Step:
            step = JointLoss()(model, images, targets)
            self.steps += 1
            spoil = torch.sqrt((model.backbone[6].bias[0] * 0).abs()) if self.steps == 5 else 0.0
            return Step(step.loss + spoil, step.outputs)

    every = SaveEvery(steps=1)
    with pytest.raises(DataError, match=r"weights .* are not finite any more; the last good state is kept"):
        train(tmp_path, TrainingPlan(epochs=EPOCHS), objectives=[Spoiled()], save_every=every)
    found = find_checkpoint(tmp_path)
    assert found is not None and (found.epoch, found.batch) == (1, 1)


def test_data_of_another_size_are_noticed(tmp_path: Path) -> None:
    train(tmp_path, TrainingPlan(epochs=1))
    smaller = partial(train_loader, images(10, seed=1), PREPROCESS, Augmentation(), batch_size=5, seed=3)
    held_out = partial(eval_loader, images(5, seed=2), PREPROCESS, batch_size=5)
    with pytest.raises(RunError, match="an epoch had 3 batches, now it has 2"):
        fit(model(), smaller, held_out, TrainingPlan(epochs=2), resume_from=tmp_path / "last.ckpt")
