"""Decides the form of a data set: size and channels of its images, and whether they are held in memory."""

from dataclasses import replace
from typing import Final, NamedTuple

from ssal.data.classes import check_trainable
from ssal.data.headers import SMALL_SIDE, common_size, default_channels, default_size, read_headers
from ssal.data.imagesets import ArraySet, FileSet, ImageSet
from ssal.data.index import FileIndex
from ssal.data.memory import fitted, load_pixels, pixel_statistics
from ssal.data.pixels import Channels
from ssal.data.preprocess import Interpolation, Preprocess
from ssal.data.sources import RawData
from ssal.data.unreadable import Unreadable, find_unreadable, unreadable_error, without
from ssal.errors import DataError

# Sets whose pixels take more than this are decoded anew in each epoch.
MEMORY_LIMIT: Final = 2**30
# Larger sets of files are not decoded once before the training, only to see whether all can be.
CHECK_LIMIT: Final = 20_000

# The statistics of ImageNet, which pre-trained networks expect of photographs; grey takes their average.
_PHOTO: Final = {1: ((0.449,), (0.226,)), 3: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}
_PHOTO_CROP: Final = 0.875


class Settled(NamedTuple):
    """Training and test images in their final form.

    Attributes:
        train: Training images.
        test: Test images.
        preprocess: How an image becomes the network's input.
        skipped: Images left out since they cannot be read, of both sets.
    """

    train: ImageSet
    test: ImageSet
    preprocess: Preprocess
    skipped: tuple[Unreadable, ...]


def settle(
    raw: RawData,
    *,
    interpolation: Interpolation,
    in_memory: bool | None,
    skip_bad: bool,
    check_files: bool | None,
    index: FileIndex,
) -> Settled:
    """Bring the images of a source to their final form.

    Args:
        raw: What the source returned; its size and channels count where they are set.
        interpolation: How images are resized.
        in_memory: Whether to hold pixels in memory; by default as `ssal.data.bundle.open_data` says.
        skip_bad: Leave out images that cannot be read.
        check_files: Whether to look for such images among files that are not held in memory.
        index: What is known of the files from before.

    Raises:
        DataError: Images cannot be read, or too few are left of a class.
    """
    held, workers = isinstance(raw.train, ArraySet), None
    if isinstance(raw.train, ArraySet):
        size, channels = raw.image_size or raw.train.image_size, raw.channels or raw.train.channels
    else:
        headers = read_headers(raw.train)
        size, channels = raw.image_size or default_size(headers), raw.channels or default_channels(headers)
        # Of small images the decoding is so short that threads only wait for Python's lock.
        workers = 1 if common_size(headers) == size and max(size) <= SMALL_SIDE else None
        if in_memory is None:
            needed = (len(raw.train) + len(raw.test)) * size[0] * size[1] * channels
            held = needed <= MEMORY_LIMIT and (max(size) <= SMALL_SIDE or common_size(headers) == size)
        else:
            held = in_memory
    parts = (raw.train, raw.test)
    if held:
        unscaled = Preprocess(
            channels, size, (0.0,) * channels, (1.0,) * channels, interpolation=interpolation
        )
        results = [_held(images, unscaled, workers) for images in parts]
    else:
        checked = _to_check(parts, skip_bad, check_files)
        results = [_streamed(images, channels, checked, index) for images in parts]
    (train, train_faults), (test, test_faults) = results
    skipped = (*train_faults, *test_faults)
    if skipped and not skip_bad:
        raise unreadable_error(skipped, sum(map(len, parts)))
    if len(test) == 0:
        raise DataError("no test image can be read")
    check_trainable(train)
    preprocess = replace(_preprocess(train, channels, size), interpolation=interpolation)
    return Settled(train, test, preprocess, skipped)


def _held(images: ImageSet, unscaled: Preprocess, workers: int | None) -> tuple[ImageSet, list[Unreadable]]:
    if isinstance(images, FileSet):
        return load_pixels(images, unscaled, workers=workers)
    return fitted(images, unscaled.channels, unscaled.image_size, unscaled.interpolation), []


def _to_check(parts: tuple[ImageSet, ...], skip_bad: bool, check_files: bool | None) -> bool:
    return skip_bad or sum(map(len, parts)) <= CHECK_LIMIT if check_files is None else check_files


def _streamed(
    images: ImageSet, channels: Channels, checked: bool, index: FileIndex
) -> tuple[ImageSet, list[Unreadable]]:
    recoded = images.with_channels(channels) if isinstance(images, FileSet) else images
    faults = find_unreadable(recoded, index=index) if checked else []
    return without(recoded, faults), faults


def _preprocess(train: ImageSet, channels: Channels, size: tuple[int, int]) -> Preprocess:
    if isinstance(train, ArraySet):
        return Preprocess(channels, size, *pixel_statistics(train))
    return Preprocess(channels, size, *_PHOTO[channels], crop_share=_PHOTO_CROP)
