"""Train a model: plan in, trained model out."""

from __future__ import annotations

import gc
import logging
import signal
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.warnings import PossibleUserWarning
from torch.multiprocessing.spawn import ProcessException

from ssal.interrupts import Interrupted, Interrupts
from ssal.model import GroupedNetwork
from ssal.training.epoch import EpochRow
from ssal.training.keeper import SaveEvery, StateKeeper, Stopper
from ssal.training.memoryformat import safe_channels_last
from ssal.training.module import LoaderFactory, TrainingModule
from ssal.training.objective import JointLoss, Objective
from ssal.training.plan import TrainingPlan
from ssal.training.processes import raise_in_parent
from ssal.training.state import StateFileIO

_BY_THE_CLOCK = SaveEvery()

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
    run: str = "",
    checkpoints: Path | None = None,
    save_every: SaveEvery = _BY_THE_CLOCK,
    resume_from: Path | None = None,
    on_epoch: Callable[[EpochRow], None] = _ignore,
    progress: bool = False,
    loggers: Sequence[Logger] = (),
    objectives: Sequence[Objective] = (),
    interrupts: Interrupts | None = None,
) -> Fitted[Network]:
    """Train all parts of `model` jointly (§3.3); a model without branches is trained as a plain classifier.

    Args:
        model: trained in place.
        train_loader: makes each process's batches of the training part.
        val_loader: likewise of the held-out part, looked at after each epoch.
        plan: settings.
        stage: name of the training, kept in checkpoints and rows.
        run: identity of the run, kept in checkpoints.
        checkpoints: folder for `last.ckpt`, `previous.ckpt` and `best.ckpt`; none are written without it.
        save_every: how often the state is saved inside an epoch.
        resume_from: checkpoint to go on from, at any batch.
        on_epoch: called after each epoch.
        progress: show a bar.
        loggers: Lightning loggers, fed once an epoch.
        objectives: what each batch lowers, one after the other; the joint loss alone if empty.
        interrupts: where signals are noted; SIGINT and SIGTERM are watched during the training if None.

    Raises:
        Interrupted: a signal has asked to stop; if there are checkpoints, the state was saved.
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
    module = TrainingModule(model, plan, train_loader, val_loader, stage, run, on_epoch, objectives)
    # Given interrupts are entered already, and by whom they were given.
    signalled = Interrupts() if interrupts is None else nullcontext(interrupts)
    with signalled as signals, safe_channels_last(model):
        keeper = Stopper(signals) if checkpoints is None else StateKeeper(checkpoints, save_every, signals)
        trainer = _make_trainer(plan, keeper, loggers, progress)
        _run(trainer, module, resume_from, signals)
    # Other processes may have trained, or none, if the state to go on from was the last one: weights have
    # come from there, but no groups.
    module.restore_objectives()
    trained = cast(Network, module.best_model.cpu().eval().requires_grad_(True))
    # Lightning's objects refer to each other in circles. With them go the processes that read images and the
    # state of the optimiser, before a next training takes as much.
    del trainer, module, keeper
    gc.collect()
    return Fitted(trained, time.perf_counter() - started)


@contextmanager
def _only_our_warnings() -> Generator[None]:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # Advice about DataLoader workers and log intervals that does not apply to our loaders; and that these
        # cannot resume, which they can.
        warnings.simplefilter("ignore", PossibleUserWarning)
        # A checkpoint may be read without writing new ones.
        warnings.filterwarnings("ignore", "Be aware that when using `ckpt_path`", UserWarning)
        # Lightning's own use of what the newest PyTorch deprecates.
        warnings.filterwarnings("ignore", ".*LeafSpec.*is deprecated", FutureWarning)
        yield


def _make_trainer(plan: TrainingPlan, keeper: Callback, loggers: Sequence[Logger], progress: bool) -> Trainer:
    with _only_our_warnings():
        return Trainer(
            accelerator="auto",
            devices=plan.devices,
            strategy=_strategy(plan.devices),
            precision="bf16-mixed" if plan.precision == "bf16" else "32-true",
            max_epochs=plan.epochs,
            gradient_clip_val=plan.clip_norm,
            logger=list(loggers) or False,
            callbacks=[keeper, EpochBar(leave=False)] if progress else [keeper],
            plugins=[StateFileIO()],
            enable_checkpointing=isinstance(keeper, StateKeeper),
            enable_progress_bar=progress,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            use_distributed_sampler=False,
        )


def _run(trainer: Trainer, module: TrainingModule, resume_from: Path | None, interrupts: Interrupts) -> None:
    """Fit; signals are noted and heeded between batches, by all processes if there are several."""
    launcher = trainer.strategy.launcher
    interrupts.forward = None if launcher is None else launcher.kill
    try:
        with _only_our_warnings(), interrupts.held_back():
            trainer.fit(module, ckpt_path=None if resume_from is None else str(resume_from))
        interrupts.check()
    except ProcessException as error:
        interrupts.check()
        raise_in_parent(error)
    except Interrupted:
        if launcher is not None:
            launcher.kill(signal.SIGKILL)
        raise
    finally:
        interrupts.forward = None
