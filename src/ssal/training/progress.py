"""A place in a training, and how Lightning's loops are set to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """Between two batches of a training.

    Attributes:
        epoch: whole epochs behind it, look at the held-out part included.
        batch: batches of the next epoch behind it; all of them means that only the look is left.
    """

    epoch: int = 0
    batch: int = 0


def _counts(ready: int, started: int, processed: int, completed: int) -> dict[str, int]:
    return {"ready": ready, "started": started, "processed": processed, "completed": completed}


def _even(count: int) -> dict[str, int]:
    return _counts(count, count, count, count)


def loops_state(progress: Progress, batches: int) -> dict[str, Any]:
    """State of Lightning's fit loop at `progress`, as its `load_state_dict` takes it.

    Lightning's own states depend on the hook in which they were saved, and with some of them it leaves out
    the look at the held-out part. Here the place alone decides.

    Args:
        progress: where to go on.
        batches: batches in a whole epoch.
    """
    epoch, batch = progress.epoch, progress.batch
    steps = epoch * batches + batch
    # An epoch that has begun and one that has not; a look at the held-out part that has begun at batch 0.
    epochs = _counts(epoch + 1, epoch + 1, epoch, epoch) if batch else _even(epoch)
    look = _counts(1, 1, 0, 0) if batch == batches else _even(0)
    return {
        "state_dict": {},
        "epoch_progress": {"total": epochs, "current": dict(epochs)},
        "epoch_loop.state_dict": {"_batches_that_stepped": steps},
        "epoch_loop.batch_progress": {
            "total": _even(steps),
            "current": _even(batch),
            "is_last_batch": batch == batches,
        },
        "epoch_loop.scheduler_progress": _pair(steps, batch),
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {"step": _pair(steps, batch), "zero_grad": _pair(steps, batch, started=True)}
        },
        "epoch_loop.val_loop.batch_progress": {
            "total": look,
            "current": dict(look),
            "is_last_batch": False,
        },
    }


def _pair(total: int, current: int, *, started: bool = False) -> dict[str, dict[str, int]]:
    names = ("ready", "completed", "started") if started else ("ready", "completed")
    return {"total": dict.fromkeys(names, total), "current": dict.fromkeys(names, current)}
