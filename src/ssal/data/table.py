"""Tables that hold encoded images and labels: shared by Parquet files and Hugging Face data sets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ssal.data.classes import Hierarchy
from ssal.data.columns import Column, encode_labels, image_column, label_column
from ssal.data.imagesets import FileSet, ImageSet
from ssal.data.items import EncodedItems
from ssal.data.sources import RawData, SourceOptions, split_note, split_off_test
from ssal.errors import DataError

# Best first; the second to last are what people call the part that is judged while training.
TEST_SPLITS = ("test", "validation", "valid", "val", "dev")


@dataclass(frozen=True, eq=False)
class TableSplit:
    """One split of a table-like data set.

    Attributes:
        where: What to call it in a message.
        columns: Its columns.
        labels: Returns the entries of a column, in the order of the rows.
        images: Returns the encoded images of a column.
    """

    where: str
    columns: Sequence[Column]
    labels: Callable[[str], pa.ChunkedArray]
    images: Callable[[str], EncodedItems]


def read_table(splits: dict[str, TableSplit], options: SourceOptions) -> RawData:
    """Make training and test images of the splits of a data set.

    The training data are the split "train", or the only split there is; the test data are the first
    labelled one among `TEST_SPLITS`, or a part of the training data if there is none.

    Args:
        splits: The splits by name.
        options: Columns to use, and how to divide a single split.

    Raises:
        DataError: There is no training split, or a split cannot be used.
        InputError: A column that the options name does not exist.
    """
    if "train" not in splits and len(splits) > 1:
        raise DataError(f"no split is called 'train'; found {', '.join(splits)}")
    source = splits.get("train") or next(iter(splits.values()))
    train = _image_set(source, options)
    hierarchy = _hierarchy(source, train, options)
    present = [name for name in TEST_SPLITS if name in splits and splits[name] is not source]
    labelled = [name for name in present if not _unlabelled(splits[name], options)]
    notes = [f"split {name!r} is not used: it has no labels" for name in present if name not in labelled]
    if not labelled:
        kept, test = split_off_test(train, options)
        notes += split_note(source.where, options)
        return RawData(kept, test, hierarchy=hierarchy, notes=tuple(notes))
    notes += [f"split {name!r} is not used: {labelled[0]!r} is the test data" for name in labelled[1:]]
    return RawData(train, _image_set(splits[labelled[0]], options), hierarchy=hierarchy, notes=tuple(notes))


def _image_set(split: TableSplit, options: SourceOptions) -> FileSet:
    label = label_column(split.columns, options.label_column, split.where)
    image = image_column(split.columns, options.image_column, split.where)
    targets, names = encode_labels(split.labels(label.name), label, split.where)
    return FileSet(split.images(image.name), targets, names)


def _unlabelled(split: TableSplit, options: SourceOptions) -> bool:
    """Tell whether all labels are -1, by which Hugging Face marks test data whose classes are kept secret."""
    label = label_column(split.columns, options.label_column, split.where)
    values = split.labels(label.name)
    return pa.types.is_integer(values.type) and set(values.unique().to_pylist()) <= {-1}


def _hierarchy(split: TableSplit, images: ImageSet, options: SourceOptions) -> Hierarchy | None:
    """Return the first other class column that is a function of the label and has fewer classes."""
    label = label_column(split.columns, options.label_column, split.where)
    for column in split.columns:
        fewer = column.kind == "class" and len(column.class_names) < len(images.class_names)
        if not fewer or column.name == label.name:
            continue
        coarse, names = encode_labels(split.labels(column.name), column, split.where)
        of_class = _function_of(images.targets, coarse, len(images.class_names))
        if of_class is not None and of_class.min() >= 0 and of_class.max() < len(names):
            return Hierarchy(names, of_class)
    return None


def _function_of(fine: NDArray[np.int64], coarse: NDArray[np.int64], count: int) -> NDArray[np.int64] | None:
    of_class = np.full(count, -1, dtype=np.int64)
    of_class[fine] = coarse
    return of_class if np.array_equal(of_class[fine], coarse) else None
