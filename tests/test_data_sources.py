import io
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ssal.data import (
    ArraySet,
    FileSet,
    RawData,
    SourceOptions,
    open_data,
    register_source,
    source_names,
    sources,
    split_off_test,
)
from ssal.data.cifar100 import SUPERCLASSES
from ssal.errors import DataError, InputError


def test_a_new_source_takes_a_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_SOURCES", dict(sources._SOURCES))

    @register_source("squares")
    def squares(options: SourceOptions) -> RawData:
        pixels = np.repeat(np.arange(30, dtype=np.uint8), 16).reshape(30, 4, 4, 1)
        train, test = split_off_test(ArraySet(pixels, np.arange(30) % 3, ["x", "y", "z"]), options)
        return RawData(train, test, flip=True)

    data = open_data("squares", test_share=0.4)
    assert (len(data.train), len(data.test)) == (18, 12)
    assert (data.image_size, data.channels, data.flip, data.shift) == ((4, 4), 1, True, 1)
    with pytest.raises(InputError, match="'squares' is registered already"):
        register_source("squares")(squares)


def test_the_named_sets_are_there() -> None:
    assert {"glyphs", "digits", "cifar100", "tiny-imagenet", "imagenet"} <= set(source_names())


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown data set 'cifar10'; did you mean 'cifar100'"):
        open_data("cifar10")


@pytest.mark.parametrize(
    "path", ["./nowhere", "some/where", "~/no-such-folder-here", "/no/such/place.parquet"]
)
def test_paths_that_do_not_exist_are_called_paths(path: str) -> None:
    with pytest.raises(InputError, match="there is no folder or file"):
        open_data(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b")
    with pytest.raises(InputError, match="neither a folder nor a Parquet file"):
        open_data(tmp_path / "data.csv")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_share": 0.0}, "test_share"),
        ({"test_share": 1.1}, "test_share"),
        ({"image_size": 0}, "from 1 to 4096"),
        ({"image_size": (8, 9999)}, "from 1 to 4096"),
        ({"channels": 2}, "got 2"),
        ({"data_dir": "/no/such/folder"}, "data_dir '/no/such/folder' is not a folder"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_data("digits", **options)  # type: ignore[arg-type]


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    data = open_data("digits", seed=3)
    assert (len(data.train), len(data.test)) == (1438, 359)
    assert data.class_names == tuple("0123456789")
    assert (data.flip, data.shift, data.image_size) == (False, 1, (8, 8))
    assert isinstance(data.train, ArraySet)
    assert isinstance(data.test, ArraySet)
    original = load_digits().images
    rows = np.concatenate([data.train.rows, data.test.rows])
    assert sorted(rows.tolist()) == list(range(1797))
    ours = data.train.pixels[..., 0] / 255 * 16
    assert np.abs(ours - original).max() <= 0.04
    assert data.test.targets.tolist() == load_digits().target[data.test.rows].tolist()
    mean, std = (original[data.train.rows] / 16).mean(), (original[data.train.rows] / 16).std()
    assert data.mean[0] == pytest.approx(mean, abs=1e-3)
    assert data.std[0] == pytest.approx(std, abs=1e-3)


def test_glyphs_are_not_mirrored_and_hardly_moved() -> None:
    data = open_data("glyphs")
    assert len(data.class_names) == 62
    assert (data.image_size, data.channels, data.flip, data.shift) == ((28, 28), 1, False, 2)
    assert np.bincount(data.train.targets).min() > 50
    assert np.bincount(data.test.targets).min() > 10


def test_sets_in_memory_can_be_resized_and_coloured() -> None:
    plain = open_data("digits")
    large = open_data("digits", image_size=(16, 24), channels=3)
    assert large.train.image(5).shape == (16, 24, 3)
    assert (large.train.image(5)[..., 0] == large.train.image(5)[..., 2]).all()
    assert large.train.targets.tolist() == plain.train.targets.tolist()
    assert len(large.mean) == 3
    assert large.mean[0] == large.mean[1]


def test_a_bundle_survives_pickling() -> None:
    data = open_data("digits")
    copy = pickle.loads(pickle.dumps(data))
    assert copy.preprocess == data.preprocess
    assert np.array_equal(copy.test.image(7), data.test.image(7))


def test_hub_names_without_the_package_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"hf:cifar10 needs the package datasets.*pip install 'ssal\[hf\]'"):
        open_data("hf:cifar10")


def wordnet_image(path: Path, size: tuple[int, int], grey: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(str(path))).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert("L" if grey else "RGB").save(path, "JPEG")


WNIDS = ["n02124075", "n01443537", "n04067472"]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Three classes in the layout of tiny-imagenet-200.zip, some files grey as there."""
    root = tmp_path / "tiny-imagenet-200"
    (root / "test" / "images").mkdir(parents=True)
    for wnid in WNIDS:
        for number in range(4):
            wordnet_image(
                root / "train" / wnid / "images" / f"{wnid}_{number}.JPEG", (64, 64), grey=number == 0
            )
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text("n_0.JPEG\t0\t0\t9\t9\n")
    lines = []
    for number in range(6):
        wordnet_image(root / "val" / "images" / f"val_{number}.JPEG", (64, 64), grey=number == 5)
        lines.append(f"val_{number}.JPEG\t{WNIDS[number % 3]}\t0\t32\t44\t62\n")
        wordnet_image(root / "test" / "images" / f"test_{number}.JPEG", (64, 64))
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    (root / "wnids.txt").write_text("\n".join(WNIDS))
    (root / "words.txt").write_text(
        "n01443537\tgoldfish, Carassius auratus\nn02124075\tEgyptian cat\nn1\tother\n"
    )
    return root


def test_tiny_imagenet_is_read_from_its_own_layout(tiny: Path) -> None:
    for data in (
        open_data("tiny-imagenet", data_dir=tiny),
        open_data("tiny-imagenet", data_dir=tiny.parent),
        open_data(tiny),
    ):
        assert data.class_names == ("goldfish (n01443537)", "Egyptian cat (n02124075)", "n04067472")
        assert (len(data.train), len(data.test)) == (12, 6)
        assert (data.image_size, data.channels, data.flip) == ((64, 64), 3, True)
        assert data.test.targets.tolist() == [1, 0, 2, 1, 0, 2]
        assert data.train.targets.tolist() == [0] * 4 + [1] * 4 + [2] * 4
        assert isinstance(data.train, ArraySet)
    reference = np.asarray(Image.open(tiny / "val" / "images" / "val_5.JPEG").convert("RGB"))
    assert np.array_equal(data.test.image(5), reference)


def test_faults_of_tiny_imagenet_are_named(tiny: Path) -> None:
    with pytest.raises(InputError, match="get tiny-imagenet-200.zip"):
        open_data("tiny-imagenet")
    annotations = tiny / "val" / "val_annotations.txt"
    sound = annotations.read_text()
    annotations.write_text(sound + "val_99.JPEG\tn01443537\t0\t0\t1\t1\n")
    with pytest.raises(DataError, match="lists 'val_99.JPEG', which is not in"):
        open_data("tiny-imagenet", data_dir=tiny)
    annotations.write_text(sound + "../../wnids.txt\tn01443537\t0\t0\t1\t1\n")
    with pytest.raises(DataError, match="lists '../../wnids.txt', which is not in"):
        open_data("tiny-imagenet", data_dir=tiny)
    annotations.write_text("val_0.JPEG n01443537\n")
    with pytest.raises(DataError, match="a tab"):
        open_data("tiny-imagenet", data_dir=tiny)
    annotations.write_text("val_0.JPEG\tn09999999\t0\t0\t1\t1\n")
    with pytest.raises(DataError, match="class 'n09999999' that the training data lack"):
        open_data("tiny-imagenet", data_dir=tiny)
    annotations.unlink()
    with pytest.raises(DataError, match="is not Tiny-ImageNet"):
        open_data("tiny-imagenet", data_dir=tiny)


@pytest.fixture
def imagenet_root(tmp_path: Path) -> Path:
    """Three classes in the layout of the ILSVRC2012 archives, with the kit's own order of classes."""
    from scipy.io import savemat

    root = tmp_path / "imagenet"
    for wnid in WNIDS:
        for number in range(3):
            wordnet_image(root / "train" / wnid / f"{wnid}_{number}.JPEG", (50 + 10 * number, 40))
    for number in range(4):
        wordnet_image(root / "val" / f"ILSVRC2012_val_{number + 1:08}.JPEG", (45, 60))
    kit = root / "ILSVRC2012_devkit_t12" / "data"
    kit.mkdir(parents=True)
    kinds = [("ILSVRC2012_ID", "f8"), ("WNID", "O"), ("words", "O"), ("num_children", "f8")]
    records = [(1, WNIDS[0], "Egyptian cat", 0), (2, WNIDS[1], "goldfish, Carassius auratus", 0)]
    records += [(3, WNIDS[2], "reel", 0), (4, "n00001740", "entity", 3)]
    savemat(kit / "meta.mat", {"synsets": np.array(records, dtype=kinds).reshape(-1, 1)})
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("2\n3\n1\n2\n")
    return root


def test_imagenet_is_read_with_the_development_kit(imagenet_root: Path) -> None:
    data = open_data("imagenet", data_dir=imagenet_root)
    assert data.class_names == ("goldfish (n01443537)", "Egyptian cat (n02124075)", "reel (n04067472)")
    assert data.test.targets.tolist() == [0, 2, 1, 0]
    assert (data.image_size, data.channels, data.flip) == ((224, 224), 3, True)
    assert (data.mean, data.preprocess.crop_share) == ((0.485, 0.456, 0.406), 0.875)
    assert data.augmentation.crop_area == (0.08, 1.0)
    assert isinstance(data.train, FileSet)


def test_imagenet_is_read_from_class_folders(imagenet_root: Path) -> None:
    expected = open_data("imagenet", data_dir=imagenet_root).test.targets.tolist()
    val = imagenet_root / "val"
    for file, wnid in zip(sorted(val.iterdir()), [WNIDS[1], WNIDS[2], WNIDS[0], WNIDS[1]], strict=True):
        (val / wnid).mkdir(exist_ok=True)
        file.rename(val / wnid / file.name)
    data = open_data("imagenet", data_dir=imagenet_root)
    assert sorted(data.test.targets.tolist()) == sorted(expected)
    for file in imagenet_root.glob("ILSVRC2012_devkit_t12/data/*"):
        file.unlink()
    assert open_data("imagenet", data_dir=imagenet_root).class_names == tuple(sorted(WNIDS))


def test_faults_of_imagenet_are_named(imagenet_root: Path) -> None:
    with pytest.raises(InputError, match="ILSVRC2012_devkit_t12"):
        open_data("imagenet")
    kit = imagenet_root / "ILSVRC2012_devkit_t12" / "data"
    truth = kit / "ILSVRC2012_validation_ground_truth.txt"
    for text, message in [
        ("2\n3\n", "has 2 lines, but .* has 4 images"),
        ("2\n3\n1\n4\n", "the line '4'"),
        ("x\n" * 4, "the line 'x'"),
    ]:
        truth.write_text(text)
        with pytest.raises(DataError, match=message):
            open_data("imagenet", data_dir=imagenet_root)
    (kit / "meta.mat").write_bytes(b"no matrix")
    with pytest.raises(DataError, match="cannot be read as the development kit's list of classes"):
        open_data("imagenet", data_dir=imagenet_root)
    (kit / "meta.mat").unlink()
    with pytest.raises(DataError, match="unpack the development kit there"):
        open_data("imagenet", data_dir=imagenet_root)
    with pytest.raises(DataError, match="is not ImageNet: a folder train or"):
        open_data("imagenet", data_dir=kit)


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ["SSAL_TEST_TARGET"],)


def test_a_pickle_that_is_not_the_published_one_is_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSAL_TEST_TARGET", str(tmp_path / "executed"))
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    for name in ("train", "test", "meta"):
        (folder / name).write_bytes(pickle.dumps(Payload()))
    with pytest.raises(DataError, match="is not the published CIFAR-100"):
        open_data("cifar100", data_dir=tmp_path)
    assert not (tmp_path / "executed").exists()


def test_the_folder_of_named_data_is_found_below_the_one_given(tmp_path: Path) -> None:
    (tmp_path / "cifar100").mkdir()
    with pytest.raises(DataError, match=r"cifar100' does not hold CIFAR-100"):
        open_data("cifar100", data_dir=tmp_path)
    (tmp_path / "cifar100").rmdir()
    with pytest.raises(DataError, match=rf"'{tmp_path}' does not hold CIFAR-100"):
        open_data("cifar100", data_dir=tmp_path)


def test_cifar100_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train.parquet and test.parquet are expected"):
        open_data("cifar100", data_dir=tmp_path)


def test_a_download_that_fails_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CIFAR100

    def fail(self: CIFAR100) -> None:
        raise OSError("no route to host")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(CIFAR100, "download", fail)
    with pytest.raises(InputError, match=r"cannot be downloaded \(no route to host\).*--data-dir"):
        open_data("cifar100")


def test_cifar100_through_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.datasets

    names = sorted(name for members in SUPERCLASSES.values() for name in members)

    class Downloaded:
        def __init__(self, root: Path, train: bool, download: bool) -> None:
            assert root == tmp_path / "ssal" / "cifar100"
            assert download
            self.classes = names
            self.targets = list(range(100)) * 2
            self.data = np.full((200, 32, 32, 3), 7 if train else 9, np.uint8)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torchvision.datasets, "CIFAR100", Downloaded)
    data = open_data("cifar100")
    assert (len(data.train), data.shift, data.flip) == (200, 5, True)
    assert data.train.image(0)[0, 0, 0] == 7
    assert data.hierarchy is not None
    assert data.hierarchy.names[data.hierarchy.of_class[names.index("tulip")]] == "flowers"
    assert np.bincount(data.hierarchy.of_class).tolist() == [5] * 20


@pytest.mark.slow
def test_the_real_cifar100(cifar100_dir: Path) -> None:
    data = open_data("cifar100", data_dir=cifar100_dir.parent)
    assert (len(data.train), len(data.test), len(data.class_names)) == (50_000, 10_000, 100)
    assert (data.image_size, data.channels, data.shift, data.flip) == ((32, 32), 3, 5, True)
    assert (np.bincount(data.train.targets) == 500).all()
    assert (np.bincount(data.test.targets) == 100).all()
    # As published.
    assert np.allclose(data.mean, (0.5071, 0.4865, 0.4409), atol=1e-4)
    assert np.allclose(data.std, (0.2673, 0.2564, 0.2762), atol=1e-4)


def test_the_real_images_and_superclasses_of_cifar100(cifar100_dir: Path) -> None:
    file = cifar100_dir / "test.parquet"
    data = open_data(file, in_memory=False, check_files=False)
    assert (data.image_size, data.channels, len(data.train), len(data.test)) == ((32, 32), 3, 8_000, 2_000)
    entries = pq.read_table(file, columns=["img", "fine_label", "coarse_label"]).slice(0, 50).to_pylist()
    assert isinstance(data.train, FileSet)
    assert data.hierarchy is not None
    for index in np.flatnonzero(data.train.rows < 50).tolist():
        entry = entries[data.train.rows[index]]
        reference = np.asarray(Image.open(io.BytesIO(entry["img"]["bytes"])))
        assert np.array_equal(data.train.image(index), reference)
        assert data.train.targets[index] == entry["fine_label"]
        assert data.hierarchy.of_class[entry["fine_label"]] == entry["coarse_label"]
    for name, superclass in zip(data.class_names, data.hierarchy.of_class, strict=True):
        assert name in SUPERCLASSES[data.hierarchy.names[superclass]]
