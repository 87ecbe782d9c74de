"""Image data sets and the input pipeline: `open_data` makes a `DataBundle`, the loaders make its batches.

| step | modules |
|---|---|
| any image → upright 8-bit pixels | `pixels`, `decode` |
| labelled sets, in memory or as files | `items`, `imagesets`, `classes`, `split` |
| where data come from | `sources` (interface, registry), one module per source, `folder`, `parquet`, `hub` |
| size, channels, memory, unreadable files | `headers`, `memory`, `unreadable`, `settle`, `bundle` |
| folders and files that are known from before | `index` |
| pixels → input of the network | `preprocess` |
| order and augmentation from (seed, epoch, sample) | `randomness`, `sampler`, `augment` |
| batches | `loader`, `arrayloader`, `fileloader` |
"""

# The named sources register themselves.
from ssal.data import builtin, cifar100, imagenet, tiny_imagenet  # noqa: F401 # pyright: ignore[reportUnusedImport]
from ssal.data.augment import Augmentation
from ssal.data.batch import Batch, BatchLoader
from ssal.data.blocks import in_chunks_ahead
from ssal.data.bundle import DataBundle, open_data
from ssal.data.classes import Hierarchy, align_classes
from ssal.data.decode import IMAGE_SUFFIXES, ImageInput, decode_image
from ssal.data.imagesets import ArraySet, FileSet, ImageSet
from ssal.data.index import FileIndex
from ssal.data.loader import eval_loader, train_loader
from ssal.data.preprocess import Interpolation, Preprocess
from ssal.data.sampler import epoch_order
from ssal.data.sources import (
    TEST_SHARE,
    RawData,
    SourceOptions,
    register_source,
    source_names,
    split_off_test,
)
from ssal.data.split import draw_per_class, holdout_split
from ssal.data.unreadable import Unreadable, find_unreadable

__all__ = [
    "IMAGE_SUFFIXES",
    "TEST_SHARE",
    "ArraySet",
    "Augmentation",
    "Batch",
    "BatchLoader",
    "DataBundle",
    "FileIndex",
    "FileSet",
    "Hierarchy",
    "ImageInput",
    "ImageSet",
    "Interpolation",
    "Preprocess",
    "RawData",
    "SourceOptions",
    "Unreadable",
    "align_classes",
    "decode_image",
    "draw_per_class",
    "epoch_order",
    "eval_loader",
    "find_unreadable",
    "holdout_split",
    "in_chunks_ahead",
    "open_data",
    "register_source",
    "source_names",
    "split_off_test",
    "train_loader",
]
