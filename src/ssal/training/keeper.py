"""When the state of a training is saved, and when a training that is asked to stop does so."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint

from ssal.errors import DataError
from ssal.files import keep_copy
from ssal.interrupts import Interrupts
from ssal.training.module import TrainingModule
from ssal.training.state import BEST, LAST, PREVIOUS


@dataclass(frozen=True)
class SaveEvery:
    """How often the state is saved inside an epoch; after each epoch it is saved anyway.

    Attributes:
        steps: after so many batches of the training; not by batches if None.
        minutes: when so many minutes have passed since the last time; not by the clock if None.
    """

    steps: int | None = None
    minutes: float | None = 10.0


def _any(trainer: Trainer, flag: bool) -> bool:
    """Whether the flag is set in any process, the same answer in all."""
    if trainer.world_size == 1:
        return flag
    return bool(trainer.strategy.reduce_boolean_decision(flag, all=False))


def _stop_if_asked(trainer: Trainer, interrupts: Interrupts) -> None:
    if not _any(trainer, interrupts.received is not None):
        return
    if trainer.world_size > 1:
        # One of several processes, which do not hand exceptions of this kind to their parent.
        raise SystemExit(128 + (interrupts.received or signal.SIGTERM))
    interrupts.check()


class Stopper(Callback):
    """Stops between two batches if a signal has asked for it; nothing is saved.

    Args:
        interrupts: where signals are noted.
    """

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals back from Lightning, whose handlers know nothing of ours."""
        self._interrupts.adopt()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop after a training batch."""
        _stop_if_asked(trainer, self._interrupts)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop after a held-out batch."""
        _stop_if_asked(trainer, self._interrupts)


class StateKeeper(Checkpoint):
    """Writes `last.ckpt`, the one before as `previous.ckpt`, and `best.ckpt` by held-out accuracy.

    The state is saved after each epoch, inside epochs as `every` says, and when a signal asks to stop.

    Args:
        folder: where to.
        every: how often.
        interrupts: where signals are noted.
    """

    def __init__(self, folder: Path, every: SaveEvery, interrupts: Interrupts) -> None:
        self._folder = folder
        self._every = every
        self._interrupts = interrupts
        self._best: float | None = None
        self._saved = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """The accuracy of `best.ckpt`."""
        return {"best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with what `state_dict` returned."""
        self._best = state_dict["best"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; take the signals back from Lightning, whose handlers know nothing of ours."""
        self._saved = time.monotonic()
        self._interrupts.adopt()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save what is due, and stop if a signal has asked for it."""
        if _any(trainer, self._interrupts.received is not None or self._due(trainer)):
            self._save_last(trainer, pl_module)
            _stop_if_asked(trainer, self._interrupts)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Save and stop if a signal has asked for it: a look at the held-out part may take long."""
        if _any(trainer, self._interrupts.received is not None):
            self._save_last(trainer, pl_module)
            _stop_if_asked(trainer, self._interrupts)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after an epoch; `best.ckpt` first, since `last.ckpt` says that it is there."""
        row = cast(TrainingModule, pl_module).row
        if row is not None and (self._best is None or row.val_top1 > self._best):
            _check_weights(pl_module)
            self._best = row.val_top1
            trainer.save_checkpoint(self._folder / BEST, weights_only=True)
        self._save_last(trainer, pl_module)
        _stop_if_asked(trainer, self._interrupts)

    def _due(self, trainer: Trainer) -> bool:
        steps, minutes = self._every.steps, self._every.minutes
        by_steps = steps is not None and trainer.global_step % steps == 0
        return by_steps or (minutes is not None and time.monotonic() - self._saved >= 60 * minutes)

    def _save_last(self, trainer: Trainer, module: LightningModule) -> None:
        _check_weights(module)
        last = self._folder / LAST
        if trainer.is_global_zero and last.exists():
            keep_copy(last, self._folder / PREVIOUS)
        trainer.save_checkpoint(last)
        self._saved = time.monotonic()


def _check_weights(module: LightningModule) -> None:
    """Keep a good state from being replaced by one that cannot go on.

    Raises:
        DataError: a weight is not finite: a gradient was not, since the losses were.
    """
    for name, parameter in module.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise DataError(
                f"the weights {name.removeprefix('model.')} are not finite any more; the last good state is "
                "kept; a lower --lr or optimizer.clip_norm may help"
            )
