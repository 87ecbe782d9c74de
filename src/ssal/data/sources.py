"""The interface of a data source, and the registry of those that have a name.

A new source is a function that returns `RawData`; reading options, registering and splitting are one line
each:

    @register_source("squares")
    def squares(options: SourceOptions) -> RawData:
        train, test = split_off_test(ArraySet(pixels, labels, names), options)
        return RawData(train, test, flip=True)

Everything else (class ids, image size, statistics, loading into memory) is done once for all in
`ssal.data.bundle`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ssal.data.classes import Hierarchy, check_trainable
from ssal.data.imagesets import ImageSet
from ssal.data.index import FileIndex
from ssal.data.pixels import Channels
from ssal.data.split import holdout_split
from ssal.errors import InputError, unknown_name

# Of data that come without a test part.
TEST_SHARE = 0.2


@dataclass(frozen=True)
class SourceOptions:
    """What a user may say about where data are and how they are divided.

    Attributes:
        data_dir: Folder that holds a named data set.
        seed: Seed of the split, for data that come without test data.
        test_share: Share of such data to test on; with 1 they are all for testing, and to train on as well.
        image_column: Column of the images in a table; by default found by type and name.
        label_column: Column of the labels in a table; likewise.
        index: What is known of folders from before.
    """

    data_dir: Path | None = None
    seed: int = 0
    test_share: float = TEST_SHARE
    image_column: str | None = None
    label_column: str | None = None
    index: FileIndex = field(default_factory=FileIndex)


@dataclass(frozen=True, eq=False)
class RawData:
    """What a source returns.

    Attributes:
        train: Training images; their class names define the class ids.
        test: Test images, whose classes may be numbered in another way.
        flip: Whether a mirrored image still shows its class.
        shift: Pixels that images in memory may be moved by; by default 5 of 32.
        image_size: Height and width to bring images to; by default found from the images.
        channels: 1 for grey, 3 for RGB; by default found from the images.
        hierarchy: A coarser labelling, where there is one.
        notes: Sentences for the user, such as what was left out.
    """

    train: ImageSet
    test: ImageSet
    flip: bool = True
    shift: int | None = None
    image_size: tuple[int, int] | None = None
    channels: Channels | None = None
    hierarchy: Hierarchy | None = None
    notes: tuple[str, ...] = ()


Source = Callable[[SourceOptions], RawData]

_SOURCES: dict[str, Source] = {}


def register_source(name: str) -> Callable[[Source], Source]:
    """Make a function the data source of that name.

    Raises:
        InputError: The name is taken.
    """

    def register(source: Source) -> Source:
        if name in _SOURCES:
            raise InputError(f"a data set named {name!r} is registered already")
        _SOURCES[name] = source
        return source

    return register


def source_names() -> tuple[str, ...]:
    """Return the names of the registered sources, sorted."""
    return tuple(sorted(_SOURCES))


def get_source(name: str) -> Source:
    """Return the source of that name.

    Raises:
        InputError: There is none; the message has the nearest names.
    """
    if name not in _SOURCES:
        raise InputError(
            f"{unknown_name('data set', name, source_names())}; or hf:NAME, or the path of a folder"
        )
    return _SOURCES[name]


def split_off_test(images: ImageSet, options: SourceOptions) -> tuple[ImageSet, ImageSet]:
    """Divide one set into training and test images, class by class.

    Raises:
        DataError: A class has too few images to train, hold out and test with one each.
    """
    if options.test_share == 1:
        return images, images
    check_trainable(images, at_least=3)
    train, test = holdout_split(images.targets, options.test_share, options.seed)
    return images.select(train), images.select(test)


def split_note(where: str, options: SourceOptions) -> tuple[str, ...]:
    """What to tell of data that `split_off_test` has divided."""
    if options.test_share == 1:
        return ()
    share = f"{options.test_share:.0%} of each class"
    return (f"{where} comes without test data: {share} are set aside, by seed {options.seed}",)
