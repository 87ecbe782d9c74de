"""What is known from before is used as long as it holds, and a search finds the same."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ssal.data import FileIndex, FileSet, find_unreadable, folder, open_data
from ssal.data.folder import read_class_folders
from ssal.errors import DataError


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """All files were written ten seconds ago."""
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10**10)


@pytest.fixture
def photos(image_folder) -> Path:
    root = image_folder("set", {"a": 3, "b": 3})
    (root / "a" / "deeper").mkdir()
    Image.new("RGB", (4, 4)).save(root / "a" / "deeper" / "x.png")
    return root


def names(files: FileSet) -> list[str]:
    return [files.name(number) for number in range(len(files))]


def kept(index: FileIndex, path: Path) -> FileIndex:
    """The index as the next run finds it."""
    index.save(path)
    return FileIndex.load(path)


def learnt(root: Path, path: Path) -> FileIndex:
    index = FileIndex()
    find_unreadable(read_class_folders(root, index), index=index)
    return kept(index, path)


def forbid(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """From here on, no folder is scanned and no image decoded; the list says what was tried."""
    tried: list[str] = []

    def scan(path: Path) -> None:
        tried.append(str(path))
        raise DataError("scanned")

    def decode(encoded: Path, *_: object, **__: object) -> None:
        tried.append(str(encoded))
        raise DataError("decoded")

    monkeypatch.setattr(folder, "_scan", scan)
    monkeypatch.setattr("ssal.data.unreadable.open_image", decode)
    return tried


@pytest.mark.usefixtures("later")
def test_what_is_known_is_not_looked_at_again(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = names(read_class_folders(photos))
    index = learnt(photos, tmp_path / "index.json")
    tried = forbid(monkeypatch)
    # Also when it was handed on once more.
    for _ in range(2):
        files = read_class_folders(photos, index)
        assert names(files) == wanted
        assert find_unreadable(files, index=index) == []
        index = kept(index, tmp_path / "index.json")
    assert tried == []
    assert len(find_unreadable(files)) == 7
    assert len(tried) == 7


def add(root: Path) -> None:
    Image.new("RGB", (4, 4)).save(root / "b" / "new.png")


def add_deep(root: Path) -> None:
    Image.new("RGB", (4, 4)).save(root / "a" / "deeper" / "y.png")


def rename(root: Path) -> None:
    (root / "b" / "000.png").rename(root / "b" / "100.png")


def remove(root: Path) -> None:
    (root / "a" / "001.png").unlink()


def new_class(root: Path) -> None:
    (root / "b" / "000.png").rename(root / "a" / "100.png")
    shutil.copytree(root / "b", root / "c")


def other_folder_of_that_name(root: Path) -> None:
    (root / "a" / "deeper").rename(root / "a" / "former")
    (root / "a" / "deeper").mkdir()
    os.utime(root / "a", ns=((root / "a" / "former").stat().st_mtime_ns,) * 2)


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("change", [add, add_deep, rename, remove, new_class, other_folder_of_that_name])
def test_changed_folders_are_listed_anew(
    photos: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    index = learnt(photos, tmp_path / "index.json")
    before = names(read_class_folders(photos))
    change(photos)
    wanted = names(read_class_folders(photos))
    assert wanted != before
    assert names(read_class_folders(photos, index)) == wanted


@pytest.mark.usefixtures("later")
def test_a_file_that_was_replaced_is_read_again_whatever_its_times_say(photos: Path, tmp_path: Path) -> None:
    index = learnt(photos, tmp_path / "index.json")
    path = photos / "a" / "001.png"
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    files = read_class_folders(photos, index)
    assert [fault.name for fault in find_unreadable(files, index=index)] == [str(path)]


@pytest.mark.usefixtures("later")
def test_faults_are_not_kept(photos: Path, tmp_path: Path) -> None:
    (photos / "a" / "001.png").write_bytes(b"rubbish")
    for _ in range(2):
        index = learnt(photos, tmp_path / "index.json")
        files = read_class_folders(photos, index)
        assert len(find_unreadable(files, index=index)) == 1


@pytest.mark.usefixtures("later")
def test_a_file_that_is_gone_is_a_fault_with_its_name(photos: Path, tmp_path: Path) -> None:
    index = learnt(photos, tmp_path / "index.json")
    files = read_class_folders(photos, index)
    (photos / "a" / "001.png").unlink()
    assert [fault.name for fault in find_unreadable(files, index=index)] == [str(photos / "a" / "001.png")]


def test_what_has_just_changed_is_not_trusted(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = learnt(photos, tmp_path / "index.json")
    tried = forbid(monkeypatch)
    with pytest.raises(DataError, match="scanned"):
        read_class_folders(photos, index)
    assert tried == [str(photos / "a")]


@pytest.mark.usefixtures("later")
def test_folders_with_links_are_listed_each_time(photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.png"
    shutil.copy(photos / "a" / "000.png", target)
    (photos / "b" / "link.png").symlink_to(target)
    index = learnt(photos, tmp_path / "index.json")
    assert len(read_class_folders(photos, index)) == 8
    # Nothing of this shows in the folder that holds the link.
    target.unlink()
    assert len(read_class_folders(photos, index)) == 7


@pytest.mark.usefixtures("later")
def test_names_that_are_no_utf8_are_found_each_time(photos: Path, tmp_path: Path) -> None:
    os.link(photos / "a" / "000.png", os.fsencode(photos / "b") + b"/\xff\xfe.png")
    for _ in range(2):
        index = learnt(photos, tmp_path / "index.json")
        files = read_class_folders(photos, index)
        assert len(files) == 8
        assert find_unreadable(files, index=index) == []


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: text[:-9],
        lambda text: text.replace(b'"format":1', b'"format":2'),
        lambda text: text.replace(b'"images":["', b'"images":[7,"', 1),
        lambda text: text.replace(b'"pillow":"', b'"pillow":"0.'),
        lambda text: b"[]",
    ],
)
def test_an_index_that_cannot_be_used_is_an_empty_one(
    photos: Path, tmp_path: Path, damage: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "index.json"
    learnt(photos, path)
    damaged = damage(path.read_bytes())
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    index = FileIndex.load(path)
    assert len(read_class_folders(photos, index)) == 7
    forbid(monkeypatch)
    with pytest.raises(DataError, match="scanned"):
        read_class_folders(photos, FileIndex.load(path))


@pytest.mark.usefixtures("later")
def test_a_second_start_decodes_nothing_to_check(
    image_folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = image_folder("set/train", {"a": 4, "b": 4}, size=(90, 70)).parent
    image_folder("set/val", {"a": 2, "b": 2}, size=(90, 70))
    index = FileIndex()
    first = open_data(root, image_size=80, index=index)
    assert isinstance(first.train, FileSet)
    index = kept(index, tmp_path / "index.json")
    tried = forbid(monkeypatch)
    second = open_data(root, image_size=80, index=index)
    assert (names(second.train), names(second.test)) == (names(first.train), names(first.test))
    assert tried == []
