"""The LightningModule around a `GroupedNetwork`: steps, validation sums, state."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor

from ssal.data import Batch, BatchLoader
from ssal.errors import DataError
from ssal.joint import Outputs, joint_log_prob
from ssal.model import GroupedNetwork
from ssal.training.objective import Objective
from ssal.training.plan import TrainingPlan, make_optimizer, make_schedule


class LoaderFactory(Protocol):
    """Makes one process's part of a loader; `functools.partial` of a loader of `ssal.data` is one."""

    def __call__(self, *, rank: int, world_size: int) -> BatchLoader:
        """Return the batches of process `rank` of `world_size`."""
        ...


@dataclass(frozen=True)
class EpochRow:
    """What is known after one epoch; percentages are 0–100 on the held-out part."""

    stage: str
    epoch: int
    epochs: int
    lr: float
    train_loss: float
    val_loss: float
    val_top1: float
    val_top1_joint: float
    val_top1_branches: tuple[float, ...]
    seconds: float
    images_per_second: float


def check_finite(loss: Tensor, outputs: Outputs, batch: Batch, model: GroupedNetwork) -> None:
    """Stop before the optimiser steps if the loss is not finite.

    Raises:
        DataError: names the first part whose logits are not finite, and the samples of the batch.
    """
    if bool(torch.isfinite(loss)):
        return
    names = ["the main classifier", *(f"the branch at {spec.tap!r}" for spec in model.specs)]
    parts = (outputs.main, *outputs.groups)
    broken = [name for name, part in zip(names, parts, strict=True) if not bool(torch.isfinite(part).all())]
    samples = ", ".join(str(index) for index in batch.indices[:8].tolist())
    raise DataError(
        f"the loss of {broken[0] if broken else 'the sum of all parts'} is {float(loss.detach())} at samples "
        f"{samples}…; a lower --lr or optimizer.clip_norm may help"
    )


class TrainingModule(LightningModule):
    """Joint training of all parts of a model with one loss (§3.3).

    Args:
        model: the model to train.
        plan: settings of the training.
        train_loader: makes the loader of the training part.
        val_loader: makes the loader of the held-out part.
        stage: name of the training within a run, kept in checkpoints.
        on_epoch: called on the first process after each epoch.
        objectives: what each batch lowers, one after the other, each by an optimiser step of its own.
    """

    def __init__(
        self,
        model: GroupedNetwork,
        plan: TrainingPlan,
        train_loader: LoaderFactory,
        val_loader: LoaderFactory,
        stage: str,
        on_epoch: Callable[[EpochRow], None],
        objectives: Sequence[Objective],
    ) -> None:
        super().__init__()
        self.model = model
        self.average = None if plan.ema is None else ModelEmaV3(model, decay=plan.ema, use_warmup=True)
        self.plan = plan
        self.loaders = (train_loader, val_loader)
        self.stage = stage
        self.on_epoch = on_epoch
        self.objectives = tuple(objectives)
        self._turn = 0
        self._batch: Any = None
        self._loss_sum = torch.zeros(())
        self._val_sums = torch.zeros(0)
        self._samples = 0
        self._started = self._trained = self._lr = 0.0
        self._rng: Tensor | None = None

    @property
    def best_model(self) -> GroupedNetwork:
        """The model whose predictions count: the averaged one where there is an average."""
        return self.model if self.average is None else cast(GroupedNetwork, self.average.module)

    def configure_optimizers(self) -> Any:
        """SGD with the triangular schedule, stepped once a batch."""
        optimizer = make_optimizer(self.model, self.plan)
        steps = self.plan.epochs * len(self._part(0))
        schedule = make_schedule(optimizer, self.plan, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _part(self, number: int) -> BatchLoader:
        return self.loaders[number](rank=self.trainer.global_rank, world_size=self.trainer.world_size)

    def train_dataloader(self) -> Any:
        """This process's part of the training loader."""
        return self._part(0)

    def val_dataloader(self) -> Any:
        """This process's part of the held-out loader."""
        return self._part(1)

    def on_train_epoch_start(self) -> None:
        """Choose the order of the epoch before the loader is asked for its first batch."""
        cast(BatchLoader, self.trainer.train_dataloader).set_epoch(self.current_epoch)
        self._loss_sum = torch.zeros((), device=self.device)
        self._samples = 0
        self._lr = float(cast(Any, self.optimizers()).param_groups[0]["lr"])
        if self._rng is not None:
            torch.set_rng_state(self._rng.cpu())
            self._rng = None
        self._started = time.perf_counter()

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of one batch by the objective whose turn it is."""
        images = batch.images.contiguous(memory_format=torch.channels_last)
        loss, outputs = self.objectives[self._turn](self.model, images, batch.targets)
        check_finite(loss, outputs, batch, self.model)
        if self._turn == 0:
            self._batch = batch
            self._loss_sum += loss.detach() * len(batch.targets)
            self._samples += len(batch.targets)
        return loss

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        """Step by the first objective, then by the others on the same batch."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        # Below Lightning's wrapper: these steps belong to the batch that was counted already.
        plain = optimizer.optimizer
        for turn in range(1, len(self.objectives)):
            self._turn = turn
            plain.zero_grad()
            loss = cast(Tensor, self.trainer.strategy.training_step(self._batch, batch_idx))
            self.trainer.strategy.backward(loss, plain)
            self.configure_gradient_clipping(plain, self.plan.clip_norm)
            plain.step()
        self._turn = 0

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Follow the weights with their average."""
        if self.average is not None:
            self.average.update(self.model, step=self.global_step)

    def on_validation_epoch_start(self) -> None:
        """Stop the training clock."""
        self._trained = time.perf_counter()
        self._val_sums = torch.zeros(4 + len(self.model.specs), dtype=torch.float64, device=self.device)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Add one held-out batch to the sums."""
        model = self.best_model
        outputs = model(batch.images.contiguous(memory_format=torch.channels_last))
        main, branches = model.exponents
        joint = joint_log_prob(outputs, model.labels, branches, main)
        right = [
            (scores.argmax(dim=1) == target).sum()
            for scores, target in [
                (outputs.main, batch.targets),
                (joint, batch.targets),
                *(
                    (logits, labels[batch.targets])
                    for logits, labels in zip(outputs.groups, model.labels, strict=True)
                ),
            ]
        ]
        loss = F.cross_entropy(outputs.main.float(), batch.targets, reduction="sum")
        count = torch.tensor(len(batch.targets), device=loss.device)
        self._val_sums += torch.stack([count, loss, *right]).double()

    def on_train_epoch_end(self) -> None:
        """Sum up over the processes and report."""
        train = torch.stack([self._loss_sum.double(), self._loss_sum.new_tensor(self._samples).double()])
        train = cast(Tensor, self.trainer.strategy.reduce(train, reduce_op="sum"))
        sums = cast(Tensor, self.trainer.strategy.reduce(self._val_sums, reduce_op="sum")).tolist()
        count = max(1.0, sums[0])
        percent = [100 * value / count for value in sums[2:]]
        row = EpochRow(
            stage=self.stage,
            epoch=self.current_epoch + 1,
            epochs=self.plan.epochs,
            lr=self._lr,
            train_loss=float(train[0] / train[1]),
            val_loss=sums[1] / count,
            val_top1=percent[0],
            val_top1_joint=percent[1],
            val_top1_branches=tuple(percent[2:]),
            seconds=time.perf_counter() - self._started,
            images_per_second=float(train[1]) / max(1e-9, self._trained - self._started),
        )
        values = {"train_loss": row.train_loss, "val_loss": row.val_loss, "val_top1": row.val_top1}
        self.log_dict(values | {"val_top1_joint": row.val_top1_joint}, prog_bar=True, rank_zero_only=True)
        if self.trainer.is_global_zero:
            self.on_epoch(row)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning leaves out: the stage, the seed and the state of torch's random numbers."""
        checkpoint["ssal"] = {"stage": self.stage, "seed": self.plan.seed, "rng": torch.get_rng_state()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the state of torch's random numbers (dropout) until the loops have started."""
        self._rng = checkpoint["ssal"]["rng"]
