"""Train a model: plan in, trained model out."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.warnings import PossibleUserWarning

from ssal.model import GroupedNetwork
from ssal.training.module import EpochRow, LoaderFactory, TrainingModule
from ssal.training.objective import JointLoss, Objective
from ssal.training.plan import TrainingPlan
from ssal.training.state import StateFileIO

Network = TypeVar("Network", bound=GroupedNetwork)


@dataclass(frozen=True)
class Fitted(Generic[Network]):
    """What a training leaves.

    Attributes:
        model: the trained model on the CPU, in evaluation mode; averaged weights where there is an average.
        seconds: wall time of the training, validation included.
    """

    model: Network
    seconds: float


def _strategy(devices: int) -> str:
    if devices == 1:
        return "auto"
    # A process that has used CUDA cannot be forked; on the CPU a fork shares the data in memory.
    return "ddp_spawn" if torch.cuda.is_available() else "ddp_fork"


def _checkpoints(folder: Path) -> list[Callback]:
    """`last.ckpt` after each epoch, and `best.ckpt` by held-out accuracy."""
    common: dict[str, Any] = {
        "dirpath": folder,
        "enable_version_counter": False,
        "save_on_train_epoch_end": True,
    }
    return [
        ModelCheckpoint(filename="best", monitor="val_top1", mode="max", save_weights_only=True, **common),
        ModelCheckpoint(filename="last", monitor=None, **common),
    ]


class EpochBar(TQDMProgressBar):
    """A bar for the batches of an epoch, which makes room for the line that sums the epoch up."""

    def get_metrics(self, trainer: Any, pl_module: Any) -> dict[str, int | str | float | dict[str, float]]:
        """Show none: the line has them."""
        return {}

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Clear the bar before the line is printed."""
        super().on_train_epoch_end(trainer, pl_module)
        self.train_progress_bar.clear()


def _ignore(row: EpochRow) -> None:
    pass


def fit(
    model: Network,
    train_loader: LoaderFactory,
    val_loader: LoaderFactory,
    plan: TrainingPlan,
    *,
    stage: str = "joint",
    checkpoints: Path | None = None,
    resume_from: Path | None = None,
    on_epoch: Callable[[EpochRow], None] = _ignore,
    progress: bool = False,
    loggers: Sequence[Logger] = (),
    objectives: Sequence[Objective] = (),
) -> Fitted[Network]:
    """Train all parts of `model` jointly (§3.3); a model without branches is trained as a plain classifier.

    Args:
        model: trained in place.
        train_loader: makes each process's batches of the training part.
        val_loader: likewise of the held-out part, looked at after each epoch.
        plan: settings.
        stage: name of the training, kept in checkpoints and rows.
        checkpoints: folder for `last.ckpt` and `best.ckpt`; none are written without it.
        resume_from: checkpoint to go on from.
        on_epoch: called after each epoch.
        progress: show a bar.
        loggers: Lightning loggers, fed once an epoch.
        objectives: what each batch lowers, one after the other; the joint loss alone if empty.

    Raises:
        InputError: a batch cannot be shared out evenly among the devices.
        DataError: a loss is not finite.
        RunError: `resume_from` is missing or damaged.
    """
    started = time.perf_counter()
    train_loader(rank=0, world_size=plan.devices)  # complains here, not in a process of its own
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if plan.compile:
        model.compile()
    objectives = objectives or (JointLoss(plan.main_weight, plan.label_smoothing),)
    module = TrainingModule(model, plan, train_loader, val_loader, stage, on_epoch, objectives)
    callbacks: list[Callback] = [] if checkpoints is None else _checkpoints(checkpoints)
    if progress:
        callbacks.append(EpochBar(leave=False))
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # Advice about DataLoader workers and log intervals that does not apply to our loaders.
        warnings.simplefilter("ignore", PossibleUserWarning)
        # The folder holds the checkpoints of this very run.
        warnings.filterwarnings("ignore", "Checkpoint directory .* exists", UserWarning)
        # Lightning's own use of what the newest PyTorch deprecates.
        warnings.filterwarnings("ignore", ".*LeafSpec.*is deprecated", FutureWarning)
        trainer = Trainer(
            accelerator="auto",
            devices=plan.devices,
            strategy=_strategy(plan.devices),
            precision="bf16-mixed" if plan.precision == "bf16" else "32-true",
            max_epochs=plan.epochs,
            gradient_clip_val=plan.clip_norm,
            logger=list(loggers) or False,
            callbacks=callbacks,
            plugins=[StateFileIO()],
            enable_checkpointing=checkpoints is not None,
            enable_progress_bar=progress,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            use_distributed_sampler=False,
        )
        trainer.fit(module, ckpt_path=None if resume_from is None else str(resume_from))
    trained = cast(Network, module.best_model.cpu().eval())
    return Fitted(trained, time.perf_counter() - started)
