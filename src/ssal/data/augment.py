"""Random changes of training images, as functions of (seed, epoch, sample number) alone.

Nothing here has a state, so a sample looks the same in whatever batch, worker or resumed run it is drawn.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ssal.data.decode import Size, open_image
from ssal.data.imagesets import FileSet
from ssal.data.preprocess import Box, Preprocess, centre_box, crop_resize, image_pixels
from ssal.data.randomness import AUGMENTATION, below, random_bits, uniform
from ssal.errors import InputError

# What the numbered draws of a sample are for. Crops take two draws per attempt from _ATTEMPTS on.
_VERTICAL, _HORIZONTAL, _FLIP, _ATTEMPTS = 0, 1, 2, 3
_NUM_ATTEMPTS = 10


@dataclass(frozen=True)
class Augmentation:
    """What may be changed about a training image.

    Attributes:
        shift: Images in memory are moved by up to so many pixels in both directions, the gap filled by
            reflection.
        flip: Whether an image may be mirrored left to right.
        crop_area: Images from files are cropped to a random share of their area between these two.
        crop_ratio: Likewise the width of the crop over its height, relative to that of the input.

    Raises:
        InputError: A value is out of range.
    """

    shift: int = 0
    flip: bool = False
    crop_area: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        if self.shift < 0:
            raise InputError(f"the shift must not be negative; got {self.shift}")
        if not 0.0 < self.crop_area[0] <= self.crop_area[1] <= 1.0:
            raise InputError(
                f"crop_area must be two rising numbers of 0 … 1, 0 excluded; got {self.crop_area}"
            )
        if not 0.0 < self.crop_ratio[0] <= self.crop_ratio[1]:
            raise InputError(f"crop_ratio must be two rising positive numbers; got {self.crop_ratio}")


@dataclass(frozen=True)
class ShiftFlip:
    """Shift with reflection and mirroring of a batch from memory, in one gather.

    Attributes:
        augmentation: Its `shift` and `flip` count.
        seed: Seed of all draws.
    """

    augmentation: Augmentation
    seed: int

    def __call__(
        self, pixels: torch.Tensor, rows: NDArray[np.int64], indices: NDArray[np.int64], epoch: int
    ) -> torch.Tensor:
        """Return the changed images.

        Args:
            pixels: All images, uint8 [M, H, W, C], contiguous.
            rows: Which of them to take, int64 [B].
            indices: Their sample numbers, which the draws depend on, int64 [B].
            epoch: The epoch, which the draws depend on too.

        Returns:
            uint8 [B, H, W, C].

        Raises:
            InputError: The shift is not smaller than the images.
        """
        bits = random_bits(self.seed, AUGMENTATION, epoch, indices[:, None], np.arange(3))
        span = 2 * self.augmentation.shift + 1
        shifts = below(bits[:, :2], span) - self.augmentation.shift
        flips = (bits[:, _FLIP] >> np.uint64(63)).astype(bool) & self.augmentation.flip
        return gather_shifted(pixels, rows, shifts, flips)


def gather_shifted(
    pixels: torch.Tensor, rows: NDArray[np.int64], shifts: NDArray[np.int64], flips: NDArray[np.bool_]
) -> torch.Tensor:
    """Take images out of a stack, each moved and perhaps mirrored.

    Output pixel (y, x) of image b is input pixel (y + shifts[b, 0], x + shifts[b, 1]) of row rows[b],
    coordinates beyond the border reflected about the border pixel; where flips[b] is set, the output is
    mirrored left to right.

    Args:
        pixels: uint8 [M, H, W, C], contiguous.
        rows: int64 [B].
        shifts: int64 [B, 2], vertical and horizontal, smaller than the image in magnitude.
        flips: bool [B].

    Returns:
        uint8 [B, H, W, C].

    Raises:
        InputError: A shift is as large as the image or larger.
    """
    count, height, width, channels = pixels.shape
    if shifts.size and int(np.abs(shifts).max()) >= min(height, width):
        raise InputError(
            f"a shift must be smaller than the images; got {int(np.abs(shifts).max())} for {height}×{width}"
        )
    columns = np.where(flips[:, None], np.arange(width)[::-1], np.arange(width))
    ys = _reflect(np.arange(height) + shifts[:, :1], height)
    xs = _reflect(columns + shifts[:, 1:], width)
    line = torch.from_numpy((rows[:, None] * height + ys) * width)
    place = line[:, :, None] + torch.from_numpy(xs)[:, None, :]
    taken = pixels.view(count * height * width, channels).index_select(0, place.view(-1))
    return taken.view(len(rows), height, width, channels)


def _reflect(position: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    return (length - 1) - np.abs((length - 1) - np.abs(position))


@dataclass(frozen=True)
class RandomCrop:
    """A random part of an image file, resized to the network's input, and perhaps mirrored.

    Area and aspect ratio are drawn anew up to ten times until the part fits; then the largest central part
    is taken.

    Attributes:
        preprocess: Gives the channels and the size of the input.
        augmentation: Its `crop_area`, `crop_ratio` and `flip` count.
        seed: Seed of all draws.
    """

    preprocess: Preprocess
    augmentation: Augmentation
    seed: int

    def __call__(self, files: FileSet, index: int, epoch: int) -> NDArray[np.uint8]:
        """Decode sample `index` as it looks in this epoch, to uint8 [H, W, C].

        JPEG files are decoded at a lower resolution where that is still enough for the part.

        Raises:
            DataError: The image cannot be read; the message names it.
        """
        bits = random_bits(self.seed, AUGMENTATION, epoch, index, np.arange(_ATTEMPTS + 2 * _NUM_ATTEMPTS))
        draws = uniform(bits)
        height, width = self.preprocess.image_size

        def enough(size: Size) -> Size:
            left, top, right, bottom = self.box(size, draws)
            scale = max(width / (right - left), height / (bottom - top))
            return math.ceil(size[0] * scale), math.ceil(size[1] * scale)

        image, full_size = open_image(
            files.encoded(index), self.preprocess.channels, name=files.name(index), enough=enough
        )
        across, down = image.width / full_size[0], image.height / full_size[1]
        left, top, right, bottom = self.box(full_size, draws)
        box = (left * across, top * down, min(right * across, image.width), min(bottom * down, image.height))
        part = crop_resize(image, box, self.preprocess.image_size, self.preprocess.interpolation)
        if self.augmentation.flip and draws[_FLIP] >= 0.5:
            part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image_pixels(part)

    def box(self, size: Size, draws: NDArray[np.float64]) -> Box:
        """Return the part of an image of this (width, height) that the draws select.

        Args:
            size: Width and height.
            draws: Uniform numbers of [0, 1): place down, place across, mirroring, then area and ratio per
                attempt.
        """
        width, height = size
        shape = self.preprocess.image_size[1] / self.preprocess.image_size[0]
        smallest, largest = self.augmentation.crop_area
        narrowest, widest = (math.log(ratio) for ratio in self.augmentation.crop_ratio)
        attempts = draws[_ATTEMPTS:].reshape(-1, 2)
        areas = width * height * (smallest + (largest - smallest) * attempts[:, 0])
        ratios = shape * np.exp(narrowest + (widest - narrowest) * attempts[:, 1])
        widths, heights = np.round(np.sqrt(areas * ratios)), np.round(np.sqrt(areas / ratios))
        fitting = np.flatnonzero((widths >= 1) & (heights >= 1) & (widths <= width) & (heights <= height))
        if len(fitting) == 0:
            return centre_box(size, self.preprocess.image_size, 1.0)
        across, down = float(widths[fitting[0]]), float(heights[fitting[0]])
        left = math.floor(draws[_HORIZONTAL] * (width - across + 1))
        top = math.floor(draws[_VERTICAL] * (height - down + 1))
        return left, top, left + across, top + down
