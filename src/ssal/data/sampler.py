"""Which samples make up which batch, as a function of seed, epoch and position alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssal.data.randomness import EPOCH_ORDER, permutation
from ssal.errors import InputError


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the order in which an epoch visits `count` samples, int64 [count].

    >>> sorted(epoch_order(4, seed=0, epoch=9).tolist())
    [0, 1, 2, 3]
    """
    return permutation(count, seed, EPOCH_ORDER, epoch)


@dataclass(frozen=True)
class TrainBatches:
    """The batches of training epochs: shuffled, all of one size.

    The global batches do not depend on `world_size`; process `rank` takes every `world_size`-th sample of
    each. What is left at the end of an epoch and fills no batch is dropped; but a set smaller than a batch
    is one batch.

    Attributes:
        count: Number of samples.
        batch_size: Samples per global batch, a multiple of `world_size`.
        seed: Seed of the order.
        rank: Number of this process, from 0.
        world_size: Number of processes.

    Raises:
        InputError: The numbers do not fit each other.

    >>> TrainBatches(count=10, batch_size=4, seed=0).num_batches
    2
    """

    count: int
    batch_size: int
    seed: int
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        _check(self.count, self.batch_size, self.rank, self.world_size)
        if self.batch_size % self.world_size:
            raise InputError(
                f"the batch size must be a multiple of the {self.world_size} processes; got {self.batch_size}"
            )

    @property
    def num_batches(self) -> int:
        """Batches per epoch."""
        return max(self.count // self.batch_size, 1)

    def batches(self, epoch: int, start: int = 0) -> Iterator[NDArray[np.int64]]:
        """Yield the sample numbers of this process for the batches `start`, `start` + 1, … of an epoch."""
        order = epoch_order(self.count, self.seed, epoch)
        for number in range(start, self.num_batches):
            whole = order[number * self.batch_size : (number + 1) * self.batch_size]
            yield whole[self.rank :: self.world_size]


@dataclass(frozen=True)
class EvalBatches:
    """The batches of an evaluation: every sample once, in order.

    Each process gets the same number of batches, none of them empty: a rest of fewer than `world_size`
    samples joins the batch before.

    Attributes:
        count: Number of samples.
        batch_size: Samples per global batch.
        rank: Number of this process, from 0.
        world_size: Number of processes.

    Raises:
        InputError: The numbers do not fit each other.

    >>> [batch.tolist() for batch in EvalBatches(count=5, batch_size=2).batches(epoch=0)]
    [[0, 1], [2, 3], [4]]
    """

    count: int
    batch_size: int
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        _check(self.count, self.batch_size, self.rank, self.world_size)

    @property
    def num_batches(self) -> int:
        """Batches in all."""
        full, rest = divmod(self.count, self.batch_size)
        return full + (rest >= self.world_size or full == 0)

    def batches(self, epoch: int, start: int = 0) -> Iterator[NDArray[np.int64]]:
        """Yield the sample numbers of this process for the batches from `start`; all epochs are alike."""
        del epoch
        for number in range(start, self.num_batches):
            end = self.count if number == self.num_batches - 1 else (number + 1) * self.batch_size
            yield np.arange(number * self.batch_size + self.rank, end, self.world_size, dtype=np.int64)


BatchPlan = TrainBatches | EvalBatches


def _check(count: int, batch_size: int, rank: int, world_size: int) -> None:
    if batch_size < 1:
        raise InputError(f"the batch size must be at least 1; got {batch_size}")
    if not 0 <= rank < world_size:
        raise InputError(f"the rank must lie in 0 … {world_size - 1}; got {rank}")
    if batch_size < world_size:
        raise InputError(f"a batch of {batch_size} cannot be divided among {world_size} processes")
    if count < world_size:
        raise InputError(f"{count} images cannot be divided among {world_size} processes")
