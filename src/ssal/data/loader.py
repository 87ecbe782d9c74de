"""The two loaders that a training needs, for either form of image set."""

from ssal.data.arrayloader import ArrayLoader, as_stored
from ssal.data.augment import Augmentation, RandomCrop, ShiftFlip
from ssal.data.batch import BatchLoader
from ssal.data.fileloader import CentreCrop, FileLoader
from ssal.data.imagesets import ArraySet, ImageSet
from ssal.data.preprocess import Preprocess
from ssal.data.sampler import EvalBatches, TrainBatches
from ssal.errors import InputError
from ssal.machine import available_cores

_MOST_WORKERS = 8


def train_loader(
    images: ImageSet,
    preprocess: Preprocess,
    augmentation: Augmentation,
    *,
    batch_size: int,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
    workers: int | None = None,
) -> BatchLoader:
    """Return shuffled, augmented batches of one size.

    Order and augmentation follow from seed and epoch alone: they are the same whatever `workers` and
    `world_size` are, and wherever an epoch is entered (`set_epoch`).

    Args:
        images: The training set.
        preprocess: How an image becomes the network's input.
        augmentation: Shift and flip count for sets in memory, crop and flip for files.
        batch_size: Samples per global batch, a multiple of `world_size`.
        seed: Seed of order and augmentation.
        rank: Number of this process, from 0; it gets every `world_size`-th sample of each global batch.
        world_size: Number of processes that train together.
        workers: Processes that decode files, 0 for none; by default as many as cores, at most 8.

    Raises:
        InputError: The numbers do not fit each other.
    """
    plan = TrainBatches(len(images), batch_size, seed, rank, world_size)
    if isinstance(images, ArraySet):
        return ArrayLoader(images, plan, _checked(images, preprocess), ShiftFlip(augmentation, seed))
    view = RandomCrop(preprocess, augmentation, seed)
    return FileLoader(images, plan, preprocess, view, workers=_count(workers), keep_workers=True)


def eval_loader(
    images: ImageSet,
    preprocess: Preprocess,
    *,
    batch_size: int,
    rank: int = 0,
    world_size: int = 1,
    workers: int | None = None,
) -> BatchLoader:
    """Return each image once, unchanged and in order.

    Args:
        images: The set.
        preprocess: How an image becomes the network's input.
        batch_size: Samples per global batch.
        rank: Number of this process, from 0; it gets every `world_size`-th sample of each global batch.
        world_size: Number of processes that evaluate together; together they see each sample once.
        workers: Processes that decode files, 0 for none; by default as many as cores, at most 8.

    Raises:
        InputError: The numbers do not fit each other.
    """
    plan = EvalBatches(len(images), batch_size, rank, world_size)
    if isinstance(images, ArraySet):
        return ArrayLoader(images, plan, _checked(images, preprocess), as_stored)
    return FileLoader(images, plan, preprocess, CentreCrop(preprocess), workers=_count(workers))


def _checked(images: ArraySet, preprocess: Preprocess) -> Preprocess:
    held = (images.channels, *images.image_size)
    wanted = (preprocess.channels, *preprocess.image_size)
    if held != wanted:
        raise InputError(f"the network's input is {wanted} (channels, height, width), the images are {held}")
    return preprocess


def _count(workers: int | None) -> int:
    if workers is not None and workers < 0:
        raise InputError(f"the number of workers must not be negative; got {workers}")
    return min(available_cores(), _MOST_WORKERS) if workers is None else workers
