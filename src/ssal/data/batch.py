"""What a loader yields, and the place in the training that it starts from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch

from ssal.errors import InputError


class Batch(NamedTuple):
    """A part of a data set, ready for the network.

    Attributes:
        images: float32 [B, C, H, W], in channels-last memory.
        targets: Class ids, int64 [B].
        indices: Sample numbers in the set, int64 [B].
    """

    images: torch.Tensor
    targets: torch.Tensor
    indices: torch.Tensor


@dataclass(frozen=True)
class Position:
    """Where an iteration begins: an epoch, and a batch in it."""

    epoch: int = 0
    start_batch: int = 0


class BatchLoader(Protocol):
    """Batches of one epoch at a time; each iteration runs through the epoch that was set last."""

    def __len__(self) -> int:
        """Return the number of batches in a whole epoch."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of the epoch, from `start_batch` on."""
        ...

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """Choose what the next iterations run through.

        Args:
            epoch: Number of the epoch, from 0.
            start_batch: Batches to skip at its beginning; they are neither loaded nor decoded.

        Raises:
            InputError: There is no such epoch or batch.
        """
        ...


def check_position(epoch: int, start_batch: int, num_batches: int) -> Position:
    """Return the position if it lies in an epoch of `num_batches` batches, or just behind its end.

    Raises:
        InputError: It does not.
    """
    if epoch < 0:
        raise InputError(f"epochs count from 0; got {epoch}")
    if not 0 <= start_batch <= num_batches:
        raise InputError(f"start_batch must lie in 0 … {num_batches}; got {start_batch}")
    return Position(epoch, start_batch)
