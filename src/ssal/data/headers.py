"""What the headers of a sample of image files tell: their sizes, and whether they are grey."""

import numpy as np

from ssal.data.decode import Header, read_header
from ssal.data.imagesets import FileSet
from ssal.data.pixels import Channels
from ssal.errors import DataError

_SAMPLE = 256
_STEP, _SMALLEST, _LARGEST = 32, 32, 224
# Up to this side an image is taken to be small by design, like CIFAR's, and not a photograph.
SMALL_SIDE = 64


def read_headers(files: FileSet) -> list[Header]:
    """Read the headers of up to 256 images, evenly spaced over the set; unreadable ones are passed over.

    Raises:
        DataError: None of them can be read.
    """
    chosen = np.unique(np.linspace(0, len(files) - 1, min(_SAMPLE, len(files))).round().astype(np.int64))
    headers: list[Header] = []
    fault = DataError("the set has no images")
    for index in chosen.tolist():
        try:
            headers.append(read_header(files.encoded(index), name=files.name(index)))
        except DataError as error:
            fault = error
    if not headers:
        raise fault
    return headers


def common_size(headers: list[Header]) -> tuple[int, int] | None:
    """Return height and width if all headers agree on them."""
    sizes = {(header.height, header.width) for header in headers}
    return sizes.pop() if len(sizes) == 1 else None


def default_size(headers: list[Header]) -> tuple[int, int]:
    """Choose the size that images are brought to where the user names none.

    Images that all have one size with no side above 64 keep it. Others become square, with the median of the
    shorter sides, to the nearest multiple of 32, but from 32 to 224.

    >>> default_size([Header(500, 375, False), Header(90, 100, False), Header(333, 500, False)])
    (224, 224)
    """
    common = common_size(headers)
    if common is not None and max(common) <= SMALL_SIDE:
        return common
    median = float(np.median([min(header.width, header.height) for header in headers]))
    side = min(max(round(median / _STEP) * _STEP, _SMALLEST), _LARGEST)
    return side, side


def default_channels(headers: list[Header]) -> Channels:
    """Return 1 if all images are stored as grey, else 3."""
    return 1 if all(header.grey for header in headers) else 3
