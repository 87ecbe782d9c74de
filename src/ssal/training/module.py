"""The LightningModule around a `GroupedNetwork`: steps, validation sums, state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from ssal.data import Batch, BatchLoader
from ssal.errors import DataError, RunError
from ssal.joint import Outputs, joint_log_prob
from ssal.model import GroupedNetwork
from ssal.training.epoch import EpochRow, EpochSums
from ssal.training.objective import KeptObjective, Objective
from ssal.training.plan import TrainingPlan, make_optimizer, make_schedule
from ssal.training.progress import Progress, loops_state
from ssal.training.randomstate import random_state, set_random_state
from ssal.training.state import our_part


class LoaderFactory(Protocol):
    """Makes one process's part of a loader; `functools.partial` of a loader of `ssal.data` is one."""

    def __call__(self, *, rank: int, world_size: int) -> BatchLoader:
        """Return the batches of process `rank` of `world_size`."""
        ...


def check_finite(loss: Tensor, outputs: Outputs, batch: Batch, model: GroupedNetwork, at: Progress) -> None:
    """Stop before the optimiser steps if the loss is not finite.

    Raises:
        DataError: names the first part whose logits are not finite, the batch and its samples.
    """
    if bool(torch.isfinite(loss)):
        return
    names = ["the main classifier", *(f"the branch at {name!r}" for name in model.branch_names)]
    parts = (outputs.main, *outputs.groups)
    broken = [name for name, part in zip(names, parts, strict=True) if not bool(torch.isfinite(part).all())]
    samples = ", ".join(str(index) for index in batch.indices[:8].tolist())
    raise DataError(
        f"the loss of {broken[0] if broken else 'the sum of all parts'} is {float(loss.detach())} in batch "
        f"{at.batch + 1} of epoch {at.epoch + 1}, at samples {samples}…; "
        "a lower --lr or optimizer.clip_norm may help"
    )


class TrainingModule(LightningModule):
    """Joint training of all parts of a model with one loss (§3.3).

    Args:
        model: the model to train.
        plan: settings of the training.
        train_loader: makes the loader of the training part.
        val_loader: makes the loader of the held-out part.
        stage: name of the training within a run, kept in checkpoints.
        run: identity of the run, kept in checkpoints.
        on_epoch: called on the first process after each epoch.
        objectives: what each batch lowers, one after the other, each by an optimiser step of its own.

    Attributes:
        progress: how much is done; a checkpoint goes on from there.
        row: what the last epoch brought.
    """

    def __init__(
        self,
        model: GroupedNetwork,
        plan: TrainingPlan,
        train_loader: LoaderFactory,
        val_loader: LoaderFactory,
        stage: str,
        run: str,
        on_epoch: Callable[[EpochRow], None],
        objectives: Sequence[Objective],
    ) -> None:
        super().__init__()
        self.model = model
        self.average = None if plan.ema is None else ModelEmaV3(model, decay=plan.ema, use_warmup=True)
        if self.average is not None:
            # Else several processes would wait for its gradients.
            self.average.requires_grad_(False)
        self.plan = plan
        self.loaders = (train_loader, val_loader)
        self.stage = stage
        self.run = run
        self.on_epoch = on_epoch
        self.objectives = tuple(objectives)
        # Named here too, they move to the device and into the checkpoints.
        self.kept = nn.ModuleList(each for each in objectives if isinstance(each, KeptObjective))
        self.progress = Progress()
        self.row: EpochRow | None = None
        self._turn = 0
        self._batch: Any = None
        self._sums = EpochSums(torch.device("cpu"), 0.0)
        self._val_sums = torch.zeros(0)
        self._resumed: dict[str, Any] | None = None

    @property
    def best_model(self) -> GroupedNetwork:
        """The model whose predictions count: the averaged one where there is an average."""
        return self.model if self.average is None else cast(GroupedNetwork, self.average.module)

    def setup(self, stage: str) -> None:
        """Keep a forked process to one thread: it would wait for those that were not forked with it."""
        if self.plan.devices > 1 and not torch.cuda.is_available():
            torch.set_num_threads(1)

    def configure_optimizers(self) -> Any:
        """The optimiser with the triangular schedule, stepped once a batch."""
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

    def _enter(self, progress: Progress) -> None:
        """Choose the order of the epoch before the loader is asked for its first batch."""
        self.progress = progress
        cast(BatchLoader, self.trainer.train_dataloader).set_epoch(progress.epoch, progress.batch)

    def on_train_start(self) -> None:
        """Go back to where the checkpoint was written; nothing draws random numbers before the next batch."""
        self.restore_objectives()
        if self._resumed is None:
            return
        state, self._resumed = self._resumed, None
        if state["batches"] != self.trainer.num_training_batches:
            raise RunError(
                f"the data have changed: an epoch had {state['batches']} batches, "
                f"now it has {self.trainer.num_training_batches}"
            )
        if state["batch"]:
            # Inside an epoch, Lightning does not call `on_train_epoch_start`.
            self._enter(Progress(state["epoch"], state["batch"]))
            rank, processes = self.trainer.global_rank, self.trainer.world_size
            self._sums = EpochSums.resumed(state["sums"], self.device, rank, processes)
        set_random_state(state["random"])

    def restore_objectives(self) -> None:
        """Bring the models to what the state of the objectives says."""
        for objective in self.kept:
            cast(KeptObjective, objective).restore(self.model)
        self._regroup_average()

    def _regroup_average(self) -> None:
        """An objective may have given the branches other groups: the averaged ones predict the same."""
        average = self.best_model
        if average.specs != self.model.specs:
            average.regroup([spec.grouping for spec in self.model.specs])

    def on_train_epoch_start(self) -> None:
        """Begin an epoch at its first batch."""
        self._enter(Progress(self.current_epoch))
        self._sums = EpochSums(self.device, float(cast(Any, self.optimizers()).param_groups[0]["lr"]))

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of one batch by the objective whose turn it is."""
        images = batch.images.contiguous(memory_format=torch.channels_last)
        loss, outputs = self.objectives[self._turn](self.model, images, batch.targets)
        check_finite(loss, outputs, batch, self.model, self.progress)
        if self._turn == 0:
            self._batch = batch
            self._sums.add(loss.detach(), len(batch.targets))
        return loss

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None
    ) -> None:
        """Step by the first objective, then by the others on the same batch; the average follows."""
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
        if self.average is not None:
            # Lightning counts this step only later.
            self.average.update(self.model, step=self.global_step + 1)
            self._regroup_average()
        self.progress = Progress(epoch, batch_idx + 1)

    def on_validation_epoch_start(self) -> None:
        """Stop the training clock."""
        self._sums.stop()
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
        sums = self._sums
        train = torch.stack([sums.loss.double(), sums.loss.new_tensor(sums.samples).double()])
        train = cast(Tensor, self.trainer.strategy.reduce(train, reduce_op="sum"))
        held = cast(Tensor, self.trainer.strategy.reduce(self._val_sums, reduce_op="sum")).tolist()
        count = max(1.0, held[0])
        percent = [100 * value / count for value in held[2:]]
        row = EpochRow(
            stage=self.stage,
            epoch=self.current_epoch + 1,
            epochs=self.plan.epochs,
            lr=sums.lr,
            train_loss=float(train[0] / train[1]),
            val_loss=held[1] / count,
            val_top1=percent[0],
            val_top1_joint=percent[1],
            val_top1_branches=tuple(percent[2:]),
            seconds=sums.seconds,
            images_per_second=float(train[1]) / max(1e-9, sums.training_seconds),
        )
        values = {"train_loss": row.train_loss, "val_loss": row.val_loss, "val_top1": row.val_top1}
        self.log_dict(values | {"val_top1_joint": row.val_top1_joint}, prog_bar=True, rank_zero_only=True)
        self.row = row
        self.progress = Progress(row.epoch)
        if self.trainer.is_global_zero:
            self.on_epoch(row)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning leaves out: where the training is, the sums of the epoch, random numbers."""
        loss = self._sums.loss.double()
        losses = loss[None] if self.trainer.world_size == 1 else cast(Tensor, self.all_gather(loss))
        checkpoint["ssal"] = {
            "stage": self.stage,
            "run": self.run,
            "seed": self.plan.seed,
            "epoch": self.progress.epoch,
            "batch": self.progress.batch,
            "batches": self.trainer.num_training_batches,
            "sums": self._sums.state(losses),
            "random": random_state(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Set Lightning's loops to where the checkpoint was written; the rest waits until they start."""
        self._resumed = state = our_part(checkpoint)
        self.progress = Progress(state["epoch"], state["batch"])
        checkpoint["loops"] = {"fit_loop": loops_state(self.progress, state["batches"])}
