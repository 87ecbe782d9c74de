"""What ImageNet and Tiny-ImageNet have in common: WordNet ids as classes, and images listed in a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ssal.data.imagesets import FileSet
from ssal.data.items import FileItems
from ssal.errors import DataError


def with_words(images: FileSet, words: Mapping[str, str]) -> FileSet:
    """Put the first word of each class in front of its id, as in "tench (n01440764)", keeping the order.

    Args:
        images: A set whose class names are ids.
        words: Synonyms of an id, with commas between them; ids may be missing.
    """
    names = [
        f"{words[wnid].split(',')[0].strip()} ({wnid})" if wnid in words else wnid
        for wnid in images.class_names
    ]
    return images.with_labels(images.targets, names)


def listed_images(root: Path, files: Sequence[str], wnids: Sequence[str], source: Path) -> FileSet:
    """Make a set of files of one folder whose classes are listed beside them.

    Args:
        root: The folder.
        files: Names of the files.
        wnids: Class of each file.
        source: The list, for messages.

    Raises:
        DataError: A listed file is no plain name, or is missing.
    """
    for file in files:
        if Path(file).name != file or not (root / file).is_file():
            raise DataError(f"{str(source)!r} lists {file!r}, which is not in {str(root)!r}")
    names = sorted(set(wnids))
    ids = {wnid: number for number, wnid in enumerate(names)}
    return FileSet(FileItems.from_paths(root, files), [ids[wnid] for wnid in wnids], names)


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not empty.

    Raises:
        DataError: The file cannot be read as text.
    """
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{str(path)!r} cannot be read: {error}") from error
