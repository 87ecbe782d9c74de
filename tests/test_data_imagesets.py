import numpy as np
import pytest

from ssal.data import ArraySet, FileSet
from ssal.data.classes import align_classes, check_trainable
from ssal.data.items import TableItems
from ssal.errors import DataError, InputError


def blank(targets: list[int], names: list[str]) -> ArraySet:
    return ArraySet(np.zeros((len(targets), 2, 2, 1), np.uint8), targets, names)


def test_a_selection_shares_the_pixels() -> None:
    images = ArraySet(np.arange(24, dtype=np.uint8).reshape(6, 2, 2, 1), [0, 1, 0, 1, 0, 1], ["a", "b"])
    twice = images.select([5, 1, 3]).select([2, 0])
    assert np.shares_memory(twice.pixels, images.pixels)
    assert twice.targets.tolist() == [1, 1]
    assert np.array_equal(twice.image(0), images.image(3))
    assert np.array_equal(twice.image(1), images.image(5))
    assert twice.name(0) == "image 3"


def test_read_only_pixels_are_accepted() -> None:
    pixels = np.zeros((2, 3, 3, 1), np.uint8)
    pixels.setflags(write=False)
    assert ArraySet(pixels, [0, 1], ["a", "b"]).pixels.flags.writeable


@pytest.mark.parametrize("label", [-1, 2, 10**9])
def test_a_label_out_of_range_is_named(label: int) -> None:
    with pytest.raises(DataError, match=f"label {label} of 'image 1' is none of the 2 classes 0 … 1 .1 such"):
        blank([0, label, 1], ["a", "b"])


@pytest.mark.parametrize(
    ("pixels", "targets", "message"),
    [
        (np.zeros((2, 3, 3), np.uint8), [0, 0], r"\[N, H, W, C\]; got uint8 \[2, 3, 3\]"),
        (np.zeros((2, 3, 3, 1)), [0, 0], "got float64"),
        (np.zeros((2, 3, 3, 1), np.uint8), [0], "2 images need as many labels"),
        (np.zeros((2, 3, 3, 1), np.uint8), [0.0, 0.5], "must be integers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(pixels: np.ndarray, targets: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ArraySet(pixels, targets, ["a"])


def test_four_channels_are_refused() -> None:
    with pytest.raises(InputError, match="got 4"):
        ArraySet(np.zeros((1, 2, 2, 4), np.uint8), [0], ["a"])


def test_classes_take_the_training_ids() -> None:
    test = blank([0, 1, 2, 0], ["dog", "cat", "ant"])
    aligned = align_classes(test, ["ant", "bee", "cat", "dog"])
    assert aligned.targets.tolist() == [3, 2, 0, 3]
    assert aligned.class_names == ("ant", "bee", "cat", "dog")
    assert [aligned.class_names[id] for id in aligned.targets] == ["dog", "cat", "ant", "dog"]


def test_a_class_that_training_lacks_is_named_with_the_nearest() -> None:
    with pytest.raises(
        DataError, match="class 'cats' that the training data lack; the nearest training class is 'cat'"
    ):
        align_classes(blank([0, 1], ["ant", "cats"]), ["ant", "cat"])
    with pytest.raises(DataError, match="'x' that the training data lack .2 such classes in all.$"):
        align_classes(blank([0, 1], ["x", "zz"]), ["ant", "cat"])


def test_an_unknown_class_that_no_image_has_does_no_harm() -> None:
    assert align_classes(blank([0], ["ant", "new"]), ["ant", "cat"]).targets.tolist() == [0]


@pytest.mark.parametrize(
    ("targets", "names", "message"),
    [
        ([0, 0, 2, 2], ["a", "empty", "c"], "class 'empty' has no image; at least 2"),
        ([0, 0, 1, 2, 2], ["a", "lone", "c"], "class 'lone' has a single image; at least 2"),
        ([0, 1, 1, 2], ["a", "b", "c", "d"], "class 'd' has no image .3 such classes in all."),
        ([0, 0], ["a"], "at least 2 classes are needed to train; found 1: a"),
        ([], [], "found 0: none"),
        ([0, 0, 1, 1], ["a", "a"], "two classes have the same name 'a'"),
    ],
)
def test_what_cannot_be_trained_on_is_said(targets: list[int], names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_trainable(blank(targets, names))


def test_three_images_are_asked_for_where_three_are_needed() -> None:
    with pytest.raises(DataError, match="class 'b' has only 2 images; at least 3"):
        check_trainable(blank([0, 0, 0, 1, 1], ["a", "b"]), at_least=3)


def test_ten_thousand_and_one_classes_are_fine() -> None:
    count = 10_001
    names = [f"class {number}" for number in range(count)]
    images = blank(list(range(count)) * 2, names)
    check_trainable(images)
    assert align_classes(images.with_labels(images.targets, names[::-1]), names).targets[0] == count - 1


def test_rows_of_tables_are_named_by_file_and_row() -> None:
    import pyarrow as pa

    items = TableItems(pa.array([b"x"] * 5, type=pa.large_binary()), ("a.parquet", "b.parquet"), (0, 3))
    files = FileSet(items, [0] * 5, ["only"]).select([4, 0])
    assert [files.name(0), files.name(1)] == ["b.parquet row 1", "a.parquet row 0"]
