"""From the name or path of a data set to everything that a training needs to know of it."""

from dataclasses import dataclass, replace
from pathlib import Path

from ssal.data.augment import Augmentation
from ssal.data.classes import Hierarchy, align_classes, check_trainable, with_encodable_names
from ssal.data.folder import read_folder
from ssal.data.hub import read_hub
from ssal.data.imagesets import ImageSet
from ssal.data.index import FileIndex
from ssal.data.parquet import has_parquet, read_parquet
from ssal.data.pixels import Channels, check_channels
from ssal.data.preprocess import Interpolation, Preprocess, check_image_size
from ssal.data.settle import settle
from ssal.data.sources import TEST_SHARE, RawData, SourceOptions, get_source, source_names
from ssal.data.tiny_imagenet import is_tiny_imagenet
from ssal.data.unreadable import Unreadable
from ssal.errors import InputError


@dataclass(frozen=True, eq=False)
class DataBundle:
    """A data set that is ready to train on.

    Attributes:
        name: As the user gave it.
        train: Training images.
        test: Test images, with the class ids of the training images.
        preprocess: How an image becomes the network's input.
        augmentation: How training images are changed.
        hierarchy: A coarser labelling, where there is one.
        skipped: Images left out since they cannot be read.
        notes: Sentences for the user, such as how data were split.
    """

    name: str
    train: ImageSet
    test: ImageSet
    preprocess: Preprocess
    augmentation: Augmentation
    hierarchy: Hierarchy | None = None
    skipped: tuple[Unreadable, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name per class id."""
        return self.train.class_names

    @property
    def channels(self) -> Channels:
        """1 for grey, 3 for RGB."""
        return self.preprocess.channels

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return self.preprocess.image_size

    @property
    def mean(self) -> tuple[float, ...]:
        """Per channel, of pixels in 0 … 1."""
        return self.preprocess.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation per channel, of pixels in 0 … 1."""
        return self.preprocess.std

    @property
    def shift(self) -> int:
        """Pixels by which training images in memory are moved at most."""
        return self.augmentation.shift

    @property
    def flip(self) -> bool:
        """Whether training images are mirrored at random."""
        return self.augmentation.flip


def open_data(
    name_or_path: str | Path,
    *,
    data_dir: str | Path | None = None,
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    interpolation: Interpolation = "bilinear",
    seed: int = 0,
    test_share: float = TEST_SHARE,
    in_memory: bool | None = None,
    skip_bad: bool = False,
    check_files: bool | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    index: FileIndex | None = None,
) -> DataBundle:
    """Open a data set and check that it can be trained on.

    Args:
        name_or_path: The name of a source, `hf:NAME`, a folder of class folders (with train/ and test/ or
            val/, or without), a Parquet file, or a folder of Parquet files.
        data_dir: Where the files of a named data set are, or a folder with one of its name that holds them.
        image_size: Side, or height and width, of the network's input; by default the source's, else found
            from the images as `ssal.data.headers.default_size` says.
        channels: 1 for grey, 3 for RGB; by default the source's, else found from the images.
        interpolation: How images of another size are resized, `bilinear` or `bicubic`.
        seed: Seed of the split, for data that come without test data.
        test_share: Share of such data to test on; with 1 they are all for testing, and to train on as well.
        in_memory: Whether to decode files once and for all; by default if they take at most 1 GiB and are
            small (at most 64 pixels a side) or all of the size asked for.
        skip_bad: Leave out images that cannot be read, instead of stopping.
        check_files: Whether to decode once all files that are not held in memory, to find those that cannot
            be read; by default for up to 20,000 of them, and with `skip_bad`.
        image_column: Column of the images in a table; by default found by type and name.
        label_column: Column of the labels in a table; likewise.
        index: What is known of folders and files from before; what is found is added to it.

    Raises:
        InputError: No such name or path, or a setting out of range.
        DataError: The data cannot be used: no images, an empty class or one of a single image, a label out of
            range, a test class that the training data lack, images that cannot be read.

    >>> data = open_data("digits")
    >>> len(data.class_names), data.image_size, data.channels
    (10, (8, 8), 1)
    """
    if not 0.0 < test_share <= 1.0:
        raise InputError(f"test_share must lie between 0, excluded, and 1; got {test_share}")
    index = index or FileIndex()
    options = SourceOptions(
        data_dir=None if data_dir is None else _folder_of(str(name_or_path), Path(data_dir)),
        seed=seed,
        test_share=test_share,
        image_column=image_column,
        label_column=label_column,
        index=index,
    )
    raw = _read(str(name_or_path), options)
    train = with_encodable_names(raw.train)
    raw = replace(
        raw,
        train=train,
        test=align_classes(with_encodable_names(raw.test), train.class_names),
        image_size=raw.image_size if image_size is None else _both_sides(image_size),
        channels=raw.channels if channels is None else check_channels(channels),
    )
    check_trainable(raw.train)
    settled = settle(
        raw,
        interpolation=interpolation,
        in_memory=in_memory,
        skip_bad=skip_bad,
        check_files=check_files,
        index=index,
    )
    return DataBundle(
        name=str(name_or_path),
        train=settled.train,
        test=settled.test,
        preprocess=settled.preprocess,
        augmentation=Augmentation(_shift(raw.shift, settled.preprocess.image_size), raw.flip),
        hierarchy=raw.hierarchy,
        skipped=settled.skipped,
        notes=(*raw.notes, *(f"left out: {fault.message}" for fault in settled.skipped)),
    )


def _read(name: str, options: SourceOptions) -> RawData:
    if name.startswith("hf:"):
        return read_hub(name.removeprefix("hf:"), options)
    if name in source_names():
        return get_source(name)(options)
    path = Path(name).expanduser()
    if path.is_dir():
        if is_tiny_imagenet(path):
            return get_source("tiny-imagenet")(replace(options, data_dir=path))
        return read_parquet(path, options) if has_parquet(path) else read_folder(path, options)
    if path.is_file():
        if path.suffix == ".parquet":
            return read_parquet(path, options)
        raise InputError(
            f"{name!r} is neither a folder nor a Parquet file; an archive must be unpacked to a folder first"
        )
    if name.startswith((".", "~")) or len(path.parts) > 1:
        raise InputError(f"there is no folder or file {name!r}")
    return get_source(name)(options)


def _folder_of(name: str, data_dir: Path) -> Path:
    expanded = data_dir.expanduser()
    if not expanded.is_dir():
        raise InputError(f"data_dir {str(data_dir)!r} is not a folder")
    inner = expanded / name
    return inner if name in source_names() and inner.is_dir() else expanded


def _both_sides(image_size: int | tuple[int, int]) -> tuple[int, int]:
    return check_image_size((image_size, image_size) if isinstance(image_size, int) else image_size)


def _shift(wanted: int | None, image_size: tuple[int, int]) -> int:
    """Return the wanted shift, or the paper's 5 of 32 pixels in proportion; always less than the image."""
    side = min(image_size)
    return min(round(side * 5 / 32) if wanted is None else wanted, side - 1)
