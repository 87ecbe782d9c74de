import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from ssal.data import ArraySet, FileSet, find_unreadable, open_data
from ssal.data.folder import read_class_folders
from ssal.errors import DataError


def test_classes_and_files_are_those_of_image_folder(image_folder) -> None:
    root = image_folder("set", {"b10": 3, "b9": 2, "A": 4, "a b": 2})
    (root / "b9" / "deeper").mkdir()
    Image.new("RGB", (4, 4)).save(root / "b9" / "deeper" / "x.JPEG")
    ours, theirs = read_class_folders(root), ImageFolder(root)
    assert list(ours.class_names) == theirs.classes == ["A", "a b", "b10", "b9"]
    assert [(str(ours.encoded(i)), ours.targets[i]) for i in range(len(ours))] == theirs.samples


def test_hidden_names_and_other_files_are_passed_over(image_folder) -> None:
    root = image_folder("set", {"a": 2, "b": 2})
    (root / ".ipynb_checkpoints").mkdir()
    (root / "a" / "._000.png").write_bytes(b"x")
    (root / "a" / "notes.txt").write_text("x")
    (root / "a" / "folder.png").mkdir()
    os.mkfifo(root / "a" / "pipe.png")
    files = read_class_folders(root)
    assert files.class_names == ("a", "b")
    assert len(files) == 4


def test_links_are_followed_but_never_in_circles(image_folder, tmp_path: Path) -> None:
    root = image_folder("set", {"a": 2})
    image_folder("elsewhere", {"b": 3})
    (root / "b").symlink_to(tmp_path / "elsewhere" / "b")
    (root / "a" / "again").symlink_to(root / "a")
    (root / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert np.bincount(read_class_folders(root).targets).tolist() == [2, 3]


def test_names_that_are_no_utf8(image_folder) -> None:
    root = image_folder("set", {"a": 2, "b": 2})
    odd = os.fsencode(root / "a") + b"/\xff\xfe.png"
    os.link(root / "a" / "000.png", odd)
    files = read_class_folders(root)
    assert find_unreadable(files) == []
    assert len(files) == 5


@pytest.mark.parametrize("test_name", ["val", "test", "valid", "validation"])
def test_train_and_test_folders(image_folder, test_name: str) -> None:
    root = image_folder("set/train", {"ant": 3, "bee": 4, "cat": 5}).parent
    # In the test data one class is missing, so that the ids differ.
    image_folder(f"set/{test_name}", {"bee": 2, "cat": 1})
    data = open_data(root)
    assert data.class_names == data.test.class_names == ("ant", "bee", "cat")
    assert data.test.targets.tolist() == [1, 1, 2]
    assert (len(data.train), data.notes) == (12, ())
    assert (data.flip, data.shift, data.image_size, data.channels) == (True, 2, (12, 12), 3)


def test_of_two_test_folders_test_counts(image_folder) -> None:
    root = image_folder("set/train", {"a": 3, "b": 3}).parent
    image_folder("set/val", {"a": 1, "b": 1})
    image_folder("set/test", {"a": 2, "b": 2})
    data = open_data(root)
    assert len(data.test) == 4
    assert len(data.notes) == 1
    assert "val is not used" in data.notes[0]


def test_a_test_folder_without_classes_is_no_test_data(image_folder) -> None:
    root = image_folder("set/train", {"a": 3, "b": 3}).parent
    image_folder("set/val", {"a": 1, "b": 1})
    (root / "test").mkdir()
    Image.new("RGB", (4, 4)).save(root / "test" / "secret.png")
    assert len(open_data(root).test) == 2


@pytest.mark.parametrize("below", ["", "train"])
def test_one_folder_is_split_class_by_class(image_folder, below: str) -> None:
    root = image_folder(f"set/{below}", {"a": 10, "b": 20, "c": 5})
    top = root.parent if below else root
    data = open_data(top, test_share=0.2, seed=4)
    assert np.bincount(data.train.targets).tolist() == [8, 16, 4]
    assert np.bincount(data.test.targets).tolist() == [2, 4, 1]
    assert "20% of each class are set aside, by seed 4" in data.notes[0]
    names = [[open_data(top, seed=s, in_memory=False).test.name(i) for i in range(7)] for s in (4, 4, 5)]
    assert names[0] == names[1] != names[2]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no folders of images"):
        open_data(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="holds no images, in 2 folders"):
        open_data(tmp_path)


@pytest.mark.parametrize("part", ["train", "val"])
def test_an_empty_class_folder_is_named(image_folder, part: str) -> None:
    root = image_folder("set/train", {"a": 3, "b": 3}).parent
    image_folder("set/val", {"a": 1, "b": 1})
    (root / part / "void").mkdir()
    with pytest.raises(DataError, match="class 'void' has no image"):
        open_data(root)


def test_a_class_with_one_image_is_named(image_folder) -> None:
    root = image_folder("set/train", {"a": 3, "lone": 1}).parent
    image_folder("set/val", {"a": 1, "lone": 1})
    with pytest.raises(DataError, match="class 'lone' has a single image; at least 2"):
        open_data(root)
    with pytest.raises(DataError, match="class 'pair' has only 2 images; at least 3"):
        open_data(image_folder("single", {"a": 5, "pair": 2}))


def test_one_image_per_class_is_refused(image_folder) -> None:
    with pytest.raises(DataError, match="has a single image .4 such classes in all."):
        open_data(image_folder("set", {"a": 1, "b": 1, "c": 1, "d": 1}))


def test_a_test_class_that_training_lacks_is_named(image_folder) -> None:
    root = image_folder("set/train", {"a": 3, "b": 3}).parent
    image_folder("set/val", {"a": 1, "zebra": 1})
    with pytest.raises(DataError, match="class 'zebra' that the training data lack"):
        open_data(root)


def test_two_hundred_classes_of_jpegs(image_folder) -> None:
    root = image_folder("set", {f"class {number}": 3 for number in range(200)}, size=(9, 8), suffix=".jpg")
    data = open_data(root)
    assert len(data.class_names) == 200
    assert data.image_size == (8, 9)
    assert np.bincount(data.test.targets).tolist() == [1] * 200


class TestForm:
    """In memory or streamed, at which size, with how many channels."""

    def test_small_images_of_one_size_keep_it(self, image_folder) -> None:
        root = image_folder("set", {"a": 6, "b": 6}, size=(20, 14))
        data = open_data(root)
        assert data.image_size == (14, 20)
        assert isinstance(data.train, ArraySet)
        assert data.preprocess.crop_share == 1.0
        reference = np.asarray(Image.open(root / "a" / "000.png"))
        assert any(np.array_equal(data.train.image(i), reference) for i in range(len(data.train))) or any(
            np.array_equal(data.test.image(i), reference) for i in range(len(data.test))
        )

    def test_photographs_are_streamed_at_224(self, image_folder) -> None:
        root = image_folder("set/a", {"x": 3, "y": 3}, size=(320, 240), suffix=".jpg").parent
        image_folder("set/b", {"z": 3}, size=(600, 400), suffix=".jpg")
        data = open_data(root)
        assert data.image_size == (224, 224)
        assert isinstance(data.train, FileSet)
        assert data.preprocess.crop_share == 0.875
        assert data.mean == (0.485, 0.456, 0.406)

    @pytest.mark.parametrize(("size", "expected"), [((100, 75), 64), ((90, 90), 96), ((500, 20), 32)])
    def test_the_median_side_decides_between(
        self, image_folder, size: tuple[int, int], expected: int
    ) -> None:
        assert open_data(image_folder("set", {"a": 3, "b": 3}, size=size)).image_size == (expected, expected)

    def test_images_of_the_size_asked_for_are_held_whatever_it_is(self, image_folder) -> None:
        root = image_folder("set", {"a": 3, "b": 3}, size=(100, 100))
        assert isinstance(open_data(root, image_size=100).train, ArraySet)
        assert isinstance(open_data(root, image_size=80).train, FileSet)
        assert isinstance(open_data(root, image_size=80, in_memory=True).train, ArraySet)
        small = open_data(root, image_size=(24, 32))
        assert isinstance(small.train, ArraySet)
        assert small.train.image(0).shape == (24, 32, 3)

    def test_what_is_too_large_for_memory_is_streamed(
        self, image_folder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = image_folder("set", {"a": 3, "b": 3}, size=(10, 10))
        monkeypatch.setattr("ssal.data.settle.MEMORY_LIMIT", 6 * 300 - 1)
        assert isinstance(open_data(root).train, FileSet)
        monkeypatch.setattr("ssal.data.settle.MEMORY_LIMIT", 6 * 300)
        assert isinstance(open_data(root).train, ArraySet)

    def test_grey_images_stay_grey_and_one_colour_image_makes_all_rgb(self, image_folder) -> None:
        root = image_folder("set", {"a": 3, "b": 3}, mode="L")
        assert open_data(root).channels == 1
        assert open_data(root, channels=3).train.image(0).shape == (12, 12, 3)
        assert open_data(root, in_memory=False).train.image(0).shape == (12, 12, 1)
        assert open_data(root, in_memory=False).mean == (0.449,)
        Image.new("RGB", (12, 12)).save(root / "a" / "colour.png")
        assert open_data(root).channels == 3
        assert open_data(root, in_memory=False).train.image(0).shape == (12, 12, 3)

    def test_memory_and_files_hold_the_same_images(self, image_folder) -> None:
        root = image_folder("set", {"a": 6, "b": 6}, suffix=".jpg")
        held, streamed = open_data(root, in_memory=True), open_data(root, in_memory=False)
        assert held.train.targets.tolist() == streamed.train.targets.tolist()
        for index in range(len(held.train)):
            assert np.array_equal(held.train.image(index), streamed.train.image(index))


class TestUnreadable:
    """Five per cent of the files are broken."""

    @pytest.fixture
    def broken(self, image_folder) -> tuple[Path, list[str]]:
        root = image_folder("set/train", {"a": 50, "b": 50}).parent
        image_folder("set/val", {"a": 10, "b": 10})
        names = [f"train/a/{number:03}.png" for number in (0, 7, 49)] + [
            "train/b/011.png",
            "train/b/012.png",
            "val/b/003.png",
        ]
        for position, name in enumerate(names):
            content = (root / name).read_bytes()
            (root / name).write_bytes([b"", b"rubbish", content[: len(content) // 2]][position % 3])
        return root, [str(root / name) for name in names]

    @pytest.mark.parametrize("in_memory", [True, False])
    def test_all_are_listed_and_nothing_starts(self, broken: tuple[Path, list[str]], in_memory: bool) -> None:
        root, names = broken
        with pytest.raises(DataError, match="^6 of 120 images cannot be read; skip_bad") as caught:
            open_data(root, in_memory=in_memory)
        lines = str(caught.value).splitlines()[1:]
        assert len(lines) == 6
        assert all(repr(name) in line for name, line in zip(names, lines, strict=True))

    @pytest.mark.parametrize("in_memory", [True, False])
    def test_exactly_the_rest_is_used(self, broken: tuple[Path, list[str]], in_memory: bool) -> None:
        root, names = broken
        data = open_data(root, in_memory=in_memory, skip_bad=True)
        assert [fault.name for fault in data.skipped] == names
        assert len([note for note in data.notes if "left out" in note]) == 6
        assert np.bincount(data.train.targets).tolist() == [47, 48]
        assert np.bincount(data.test.targets).tolist() == [10, 9]
        assert find_unreadable(data.train) == find_unreadable(data.test) == []
        sound = [path for path in sorted((root / "train" / "a").iterdir()) if str(path) not in names]
        for index, path in enumerate(sound):
            assert np.array_equal(data.train.image(index), np.asarray(Image.open(path)))

    def test_large_sets_are_not_read_twice(
        self, broken: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root, names = broken
        monkeypatch.setattr("ssal.data.settle.CHECK_LIMIT", 119)
        data = open_data(root, in_memory=False)
        assert len(data.train) == 100
        assert [fault.name for fault in find_unreadable(data.train)] == names[:5]
        with pytest.raises(DataError, match="6 of 120"):
            open_data(root, in_memory=False, check_files=True)

    def test_a_class_of_which_too_little_is_left_is_named(self, image_folder) -> None:
        root = image_folder("set/train", {"a": 5, "b": 2}).parent
        image_folder("set/val", {"a": 2, "b": 2})
        (root / "train" / "b" / "001.png").write_bytes(b"")
        with pytest.raises(DataError, match="class 'b' has a single image"):
            open_data(root, skip_bad=True)

    def test_a_set_of_rubbish_is_refused(self, image_folder) -> None:
        root = image_folder("set", {"a": 4, "b": 4})
        for path in root.rglob("*.png"):
            path.write_bytes(b"rubbish")
        with pytest.raises(DataError, match="cannot be read"):
            open_data(root, skip_bad=True)


def test_a_class_may_be_called_train(image_folder) -> None:
    data = open_data(image_folder("set", {"bus": 8, "tank": 8, "train": 8}))
    assert data.class_names == ("bus", "tank", "train")


def test_images_right_below_train_and_test_are_no_classes(image_folder) -> None:
    root = image_folder("set", {"train": 4, "test": 4})
    with pytest.raises(DataError, match="no folders of images"):
        open_data(root)
