"""What one epoch brings, while it runs and when it is over."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


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


class EpochSums:
    """Sums over the batches that an epoch has trained on so far, in this process and in those before it.

    Args:
        device: where the losses are.
        lr: learning rate at the beginning of the epoch.
        loss: sum of the losses so far, a scalar.
        samples: images so far.
        seconds: time spent on them so far.
    """

    def __init__(
        self,
        device: torch.device,
        lr: float,
        loss: Tensor | None = None,
        samples: int = 0,
        seconds: float = 0.0,
    ) -> None:
        self.lr = lr
        self.loss = torch.zeros((), device=device) if loss is None else loss.to(device)
        self.samples = samples
        self._seconds = seconds
        self._started = time.perf_counter()
        self._stopped: float | None = None

    def add(self, loss: Tensor, samples: int) -> None:
        """Count a batch with its mean loss."""
        self.loss += loss * samples
        self.samples += samples

    def stop(self) -> None:
        """Training is over, the look at the held-out part begins."""
        self._stopped = time.perf_counter()

    @property
    def training_seconds(self) -> float:
        """Time spent on training batches."""
        return self._seconds + (self._stopped or time.perf_counter()) - self._started

    @property
    def seconds(self) -> float:
        """Time spent on the epoch in all."""
        return self._seconds + time.perf_counter() - self._started

    def state(self, losses: Tensor) -> dict[str, Any]:
        """What `resumed` takes; `losses` are the sums of all processes, [processes]."""
        return {"lr": self.lr, "losses": losses, "samples": self.samples, "seconds": self.training_seconds}

    @classmethod
    def resumed(cls, state: dict[str, Any], device: torch.device, rank: int, processes: int) -> EpochSums:
        """Go on with the sums of process `rank`; if their number has changed, the first takes all."""
        losses: Tensor = state["losses"]
        samples = state["samples"] * len(losses)
        if len(losses) != processes:
            losses = torch.cat([losses.sum()[None], torch.zeros(processes - 1)])
        loss = losses[rank].float().clone()
        return cls(device, state["lr"], loss, samples // processes, state["seconds"])
