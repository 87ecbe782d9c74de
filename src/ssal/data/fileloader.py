"""Batches from encoded images, decoded by worker processes that keep no state.

The workers are told epoch and sample number of each image, so that neither their number nor a restart
matters.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from ssal.data.batch import Batch, Position, check_position
from ssal.data.imagesets import FileSet
from ssal.data.preprocess import Preprocess
from ssal.data.sampler import BatchPlan
from ssal.data.workers import leave_signals_to_parent
from ssal.errors import DataError

# (set, sample number, epoch) → uint8 [H, W, C]
FileView = Callable[[FileSet, int, int], NDArray[np.uint8]]

Key = tuple[int, int]


@dataclass(frozen=True)
class CentreCrop:
    """The central part of an image file, as `Preprocess` takes it."""

    preprocess: Preprocess

    def __call__(self, files: FileSet, index: int, epoch: int) -> NDArray[np.uint8]:
        """Decode sample `index` to uint8 [H, W, C].

        Raises:
            DataError: The image cannot be read; the message names it.
        """
        del epoch
        return self.preprocess.pixels(files.encoded(index), name=files.name(index))


class FileLoader:
    """A `BatchLoader` over a `FileSet`.

    Args:
        files: The set.
        plan: Which samples make up which batch.
        preprocess: How pixels are normalised.
        view: How a sample looks.
        workers: Number of processes that decode; 0 decodes in the calling one.
        keep_workers: Whether they wait for the next epoch.
        start_method: How they are started, as `multiprocessing` names it; by default as Python does.
    """

    def __init__(
        self,
        files: FileSet,
        plan: BatchPlan,
        preprocess: Preprocess,
        view: FileView,
        *,
        workers: int = 0,
        keep_workers: bool = False,
        start_method: str | None = None,
    ) -> None:
        self.files = files
        self.plan = plan
        self.preprocess = preprocess
        self._keys = _Keys(plan)
        self._chunks: DataLoader[_Sample] = DataLoader(
            _Samples(files, view),
            batch_sampler=self._keys,
            num_workers=workers,
            collate_fn=_collate,
            persistent_workers=keep_workers and workers > 0,
            multiprocessing_context=start_method if workers > 0 else None,
            worker_init_fn=leave_signals_to_parent,
            # Else each iteration would draw from torch's global generator, and so change what a run draws
            # later.
            generator=torch.Generator(),
        )

    def __len__(self) -> int:
        return self.plan.num_batches

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """Choose what the next iterations run through, as `BatchLoader` says."""
        self._keys.position = check_position(epoch, start_batch, len(self))

    def __iter__(self) -> Iterator[Batch]:
        for chunk in self._chunks:
            if isinstance(chunk, str):
                raise DataError(chunk)
            indices, pixels = chunk
            yield Batch(
                images=self.preprocess.normalise(pixels),
                targets=torch.from_numpy(self.files.targets[indices.numpy()]),
                indices=indices,
            )


class _Sample(NamedTuple):
    number: int
    pixels: NDArray[np.uint8] | None
    fault: str = ""


class _Samples(Dataset[_Sample]):
    def __init__(self, files: FileSet, view: FileView) -> None:
        self._files = files
        self._view = view

    def __getitem__(self, index: Key) -> _Sample:
        epoch, sample = index
        # An exception would reach the main process with the worker's traceback in its text.
        try:
            return _Sample(sample, self._view(self._files, sample, epoch))
        except DataError as error:
            return _Sample(sample, None, str(error))


class _Keys:
    """The batch sampler: lists of (epoch, sample number), from a position that the loader sets."""

    def __init__(self, plan: BatchPlan) -> None:
        self._plan = plan
        self.position = Position()

    def __len__(self) -> int:
        return self._plan.num_batches - self.position.start_batch

    def __iter__(self) -> Iterator[list[Key]]:
        epoch = self.position.epoch
        for indices in self._plan.batches(epoch, self.position.start_batch):
            yield [(epoch, index) for index in indices.tolist()]


def _collate(samples: list[_Sample]) -> tuple[torch.Tensor, torch.Tensor] | str:
    images: list[NDArray[np.uint8]] = []
    for sample in samples:
        if sample.pixels is None:
            return sample.fault
        images.append(sample.pixels)
    # Bytes travel between processes; they become numbers four times as large only where they are used.
    return torch.tensor([sample.number for sample in samples]), torch.from_numpy(np.stack(images))
