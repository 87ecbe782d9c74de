"""A training that is ready to start, and what is built from it: models, loaders, objective, plan."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import nn

from ssal.backbones import create_backbone, list_backbones
from ssal.config import Settings
from ssal.confusion import Confusion
from ssal.data import DataBundle, ImageSet, Preprocess, eval_loader, train_loader
from ssal.errors import InputError
from ssal.grouping import Grouping
from ssal.model import Branch, SSALModel
from ssal.run.backbone import BackboneSpec
from ssal.run.epochs import epochs_in_time, epochs_of_same_time
from ssal.run.heads import Head, fused_branches, one_for_each_head
from ssal.run.resolve import gathers_groups, given_groups, make_groupings
from ssal.training import (
    GatheredGroups,
    JointLoss,
    LoaderFactory,
    Precision,
    TrainingPlan,
    choose_precision,
    paying_threads,
    same_threads,
    step_ratio,
    step_seconds,
)
from ssal.weights import WeightsReport, load_fitting, read_weights

_EVAL_BATCH = 250
# Pixels up to which networks without a shrinking stem are worth their time.
_SMALL_IMAGE = 96 * 96


@dataclass(frozen=True)
class Job:
    """A training that is ready to start.

    Attributes:
        settings: with everything that depends on the data filled in.
        data: the opened data set.
        fitting: the part of the training data that weights are fitted to.
        heldout: the held-out images that exponents, linear combination and scores are fitted to.
        calibration: the held-out images that thresholds are set on, see `Parts`.
        known: the training data without the calibration part.
        backbone: how to build the backbone.
        heads: what the branches tell apart.
        taps: one layer name for each of the heads.
        layouts: one layout for each of them.
        weights: λ of each.
    """

    settings: Settings
    data: DataBundle
    fitting: ImageSet
    heldout: ImageSet
    calibration: ImageSet
    known: ImageSet
    backbone: BackboneSpec
    heads: tuple[Head, ...]
    taps: tuple[str, ...]
    layouts: tuple[str, ...]
    weights: tuple[float, ...]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one sample."""
        return (self.data.channels, *self.data.image_size)

    @property
    def items(self) -> tuple[int | str, ...]:
        """A number of groups, a name or a file for each of the heads."""
        return tuple(head.item for head in self.heads)

    @property
    def gathers(self) -> bool:
        """Whether groups are derived during the training of the branches, from what it confuses so far."""
        return gathers_groups(self.settings, self.items)

    @property
    def preprocess(self) -> Preprocess:
        """How an image becomes a tensor."""
        return self.data.preprocess

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know before the training starts."""
        height, width = self.data.image_size
        if self.backbone.name not in list_backbones() or height * width <= _SMALL_IMAGE:
            return self.data.notes
        note = (
            f"{self.backbone.name} is made for images of about 32×32 and computes for very long on those of "
            f"{height}×{width}: for photos name another network, such as --model resnet18 --pretrained, or "
            "make the images smaller with --image-size"
        )
        return (*self.data.notes, note)

    def describe_data(self) -> str:
        """How many images and classes there are, and what for."""
        held = len(self.heldout) + len(self.calibration)
        missing = len(self.data.class_names) - len(np.unique(self.calibration.targets))
        without = f", none of {missing} classes" if missing and len(self.calibration) else ""
        return (
            f"{self.data.name}: {len(self.fitting):,} images to train on, {held:,} held out "
            f"({len(self.heldout):,} to fit exponents, {len(self.calibration):,} to calibrate{without}), "
            f"{len(self.data.test):,} to test on, {len(self.data.class_names)} classes"
        )

    def seed_everything(self) -> None:
        """Start all random numbers of the process from the seed, so that a stage can be repeated alone."""
        random.seed(self.settings.seed)
        np.random.seed(self.settings.seed)
        torch.manual_seed(self.settings.seed)

    def make_backbone(self) -> tuple[nn.Module, WeightsReport | None]:
        """A fresh backbone, with weights from a file where the settings ask for it."""
        spec, settings = self.backbone, self.settings
        network = create_backbone(
            spec.name,
            spec.num_classes,
            in_chans=spec.in_chans,
            input_size=spec.input_size,
            width=spec.width,
            pretrained=settings.pretrained,
        )
        report = None if settings.weights is None else load_fitting(network, read_weights(settings.weights))
        return network, report

    def make_model(self, groupings: tuple[Grouping, ...]) -> SSALModel:
        """The backbone with a branch per grouping; the baseline without any."""
        given = self.settings.branch.exponents
        exponents = (1 / max(1, len(groupings)),) if given == "fit" else given
        parts = zip(
            self.taps,
            groupings,
            self.layouts,
            self.weights,
            one_for_each_head("branch.exponents", exponents, self.heads),
            [head.branch in fused_branches(self.heads) for head in self.heads],
            [head.summed for head in self.heads],
            strict=True,
        )
        self.seed_everything()
        backbone, _ = self.make_backbone()
        return SSALModel(backbone, [Branch(*part) for part in parts] if groupings else [], self.input_shape)

    def groupings(self, confusion: Confusion | None) -> tuple[Grouping, ...]:
        """One grouping for each branch, see `make_groupings`; None where no group depends on a confusion."""
        names = self.data.class_names
        known = csr_array((len(names), len(names))) if confusion is None else confusion
        return make_groupings(self.items, known, names, self.settings, self.data.hierarchy)

    def joint_loss(self) -> JointLoss:
        """The joint loss (Equation 3) of branches that have their groups."""
        settings = self.settings
        weight, temperature = settings.distillation.weight, settings.distillation.temperature
        return JointLoss(settings.branch.main_weight, settings.label_smoothing, weight, temperature)

    def objective(self) -> JointLoss | GatheredGroups:
        """What the training of the branches lowers (Equation 3); it may have to find their groups first."""
        if not self.gathers:
            return self.joint_loss()
        settings, classes = self.settings, len(self.data.class_names)
        epoch = len(self.train_loader()(rank=0, world_size=settings.devices))
        steps = self.plan().epochs * epoch
        # After one batch at least, and before the last one, or the branches would learn nothing.
        start = min(max(1, round(settings.gathering.start * steps)), steps - 1)
        memory = settings.gathering.memory * epoch
        return GatheredGroups(
            self.groupings,
            classes,
            start,
            memory,
            waiting=tuple(isinstance(item, int) for item in self.items),
            hard=settings.confusion == "hard",
            loss=self.joint_loss(),
        )

    def train_loader(self) -> LoaderFactory:
        """Shuffled, augmented batches of the fitting part."""
        settings = self.settings
        asked = {key: value for key, value in settings.augment if value is not None}
        augmentation = replace(self.data.augmentation, **asked)
        return partial(
            train_loader,
            self.fitting,
            self.preprocess,
            augmentation,
            batch_size=settings.batch_size,
            seed=settings.seed,
            workers=settings.workers,
        )

    def eval_loader(self, images: ImageSet) -> LoaderFactory:
        """Batches of `images` as they are, in order."""
        return partial(
            eval_loader,
            images,
            self.preprocess,
            batch_size=_EVAL_BATCH,
            workers=self.settings.workers,
        )

    @property
    def precision(self) -> Precision:
        """Precision of training steps; `32` until `decide` has measured."""
        return "bf16" if self.settings.precision == "bf16" else "32"

    def paying_threads(self, say: Callable[[str], None]) -> AbstractContextManager[None]:
        """As many threads as pay on this machine now; processes that share a step keep theirs."""
        if self.settings.devices > 1:
            return nullcontext()

        def joint() -> SSALModel:
            return self.make_model(self.blank_groupings())

        return paying_threads(joint, self.settings.batch_size, self.precision, say)

    def same_threads(self, number: int | None, say: Callable[[str], None]) -> AbstractContextManager[None]:
        """As many threads as the training began with, where it is known."""
        if self.settings.devices > 1:
            return nullcontext()
        return self.paying_threads(say) if number is None else same_threads(number, say)

    def decide(self, say: Callable[[str], None]) -> Job:
        """Measure what is to be decided on this machine: precision, and epochs that a time decides."""
        settings = self.settings
        if settings.weights is not None:
            say(f"{settings.weights}: {self.make_backbone()[1]}")
        joint = self.make_model(self.blank_groupings())
        if settings.precision == "auto":
            settings = settings.model_copy(update={"precision": choose_precision(joint, settings.batch_size)})
        job = replace(self, settings=settings)
        return replace(job, settings=settings.model_copy(update=job._epochs_in_time(joint, say)))

    def _epochs_in_time(self, joint: SSALModel, say: Callable[[str], None]) -> dict[str, int]:
        """Epochs that a time decides: of a budget, and of a baseline that takes as long as `joint`."""
        settings, epochs = self.settings, self.plan().epochs
        if settings.time_budget is None and settings.baseline_epochs != "same-time":
            return {}
        alone = self.make_model(()) if settings.baseline else None
        found: dict[str, int] = {}
        if settings.time_budget is not None:
            epochs, seconds = epochs_in_time(
                settings.time_budget,
                len(self.train_loader()(rank=0, world_size=1)),
                self._step_seconds(joint),
                None if alone is None else self._step_seconds(alone),
                settings.baseline_epochs,
            )
            found["epochs"] = epochs
            shared = settings.baseline and not isinstance(settings.baseline_epochs, int)
            both = " for both trainings" if shared else " with branches" if settings.baseline else ""
            say(f"{epochs} epochs of {seconds:.1f} s{both} fit the time budget")
        if alone is not None and settings.baseline_epochs == "same-time":
            ratio = step_ratio(joint, alone, self._batch_of_a_process, self.precision)
            found["baseline_epochs"] = epochs_of_same_time(epochs, ratio)
            say(
                f"a step with branches takes {ratio:.2f} times as long as one without: "
                f"{found['baseline_epochs']} epochs of the baseline for {epochs} with branches"
            )
        return found

    def _step_seconds(self, model: SSALModel) -> float:
        return step_seconds(model, self._batch_of_a_process, self.precision)

    @property
    def _batch_of_a_process(self) -> int:
        return self.settings.batch_size // self.settings.devices

    def blank_groupings(self) -> tuple[Grouping, ...]:
        """Groupings of the sizes that are asked for, while there is no confusion to derive them from."""
        classes = len(self.data.class_names)
        return tuple(
            Grouping.random(classes, item, seed=0)
            if isinstance(item, int)
            else given_groups(item, self.data.class_names, self.data.hierarchy)
            for item in self.items
        )

    def plan(self) -> TrainingPlan:
        """The settings that the training itself reads."""
        settings = self.settings
        if settings.epochs is None:
            raise InputError("the number of epochs is not known yet")
        return TrainingPlan(
            epochs=settings.epochs,
            lr=settings.lr,
            peak=settings.schedule.peak,
            optimizer=settings.optimizer.name,
            momentum=settings.optimizer.momentum,
            nesterov=settings.optimizer.nesterov,
            weight_decay=settings.optimizer.weight_decay,
            branch_weight_decay=settings.optimizer.branch_weight_decay,
            clip_norm=settings.optimizer.clip_norm,
            label_smoothing=settings.label_smoothing,
            main_weight=settings.branch.main_weight,
            ema=settings.ema,
            precision=self.precision,
            devices=settings.devices,
            compile=settings.compile,
            seed=settings.seed,
        )

    def baseline_plan(self) -> TrainingPlan:
        """The same for the baseline, which may have epochs of its own."""
        plan, epochs = self.plan(), self.settings.baseline_epochs
        if epochs == "same-time":
            raise InputError("the number of epochs of the baseline is not known yet")
        return plan if epochs is None else replace(plan, epochs=epochs)
