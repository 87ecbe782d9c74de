"""Batches from images in memory: one gather and one normalisation each, in the calling thread."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from ssal.data.batch import Batch, Position, check_position
from ssal.data.imagesets import ArraySet
from ssal.data.preprocess import Preprocess
from ssal.data.sampler import BatchPlan

# (all pixels [M, H, W, C], rows to take [B], sample numbers [B], epoch) → uint8 [B, H, W, C]
ArrayView = Callable[[torch.Tensor, NDArray[np.int64], NDArray[np.int64], int], torch.Tensor]


def as_stored(
    pixels: torch.Tensor, rows: NDArray[np.int64], indices: NDArray[np.int64], epoch: int
) -> torch.Tensor:
    """Take images out of a stack unchanged, uint8 [B, H, W, C]."""
    del indices, epoch
    return pixels.index_select(0, torch.from_numpy(rows))


class ArrayLoader:
    """A `BatchLoader` over an `ArraySet`.

    Args:
        images: The set.
        plan: Which samples make up which batch.
        preprocess: How pixels are normalised; its image size is that of the set.
        view: How the samples of a batch look.
    """

    def __init__(self, images: ArraySet, plan: BatchPlan, preprocess: Preprocess, view: ArrayView) -> None:
        self.images = images
        self.plan = plan
        self.preprocess = preprocess
        self.view = view
        self.position = Position()
        self._pixels = torch.from_numpy(images.pixels)

    def __len__(self) -> int:
        return self.plan.num_batches

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """Choose what the next iterations run through, as `BatchLoader` says."""
        self.position = check_position(epoch, start_batch, len(self))

    def __iter__(self) -> Iterator[Batch]:
        position = self.position
        for indices in self.plan.batches(position.epoch, position.start_batch):
            pixels = self.view(self._pixels, self.images.rows[indices], indices, position.epoch)
            yield Batch(
                images=self.preprocess.normalise(pixels),
                targets=torch.from_numpy(self.images.targets[indices]),
                indices=torch.from_numpy(indices),
            )
