"""How an image becomes the input of a network: one rule for evaluation, prediction and sets in memory."""

import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ssal.data.decode import ImageInput, Size, open_image
from ssal.data.pixels import Channels, check_channels
from ssal.errors import InputError, unknown_name

# left, top, right, bottom; in pixels of the image that is cropped, not always whole ones
Box = tuple[float, float, float, float]
Interpolation = Literal["bilinear", "bicubic"]

_RESAMPLING = MappingProxyType({"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC})


def centre_box(size: Size, image_size: tuple[int, int], share: float) -> Box:
    """Return the central part of an image that has the shape of the network's input.

    Args:
        size: Width and height of the image.
        image_size: Height and width of the input.
        share: Side of the part, relative to the largest one that fits.

    >>> centre_box((40, 20), (10, 10), 1.0)
    (10.0, 0.0, 30.0, 20.0)
    """
    width, height = size
    scale = share * min(width / image_size[1], height / image_size[0])
    half_width, half_height = image_size[1] * scale / 2, image_size[0] * scale / 2
    left, top = max(width / 2 - half_width, 0.0), max(height / 2 - half_height, 0.0)
    return left, top, min(width / 2 + half_width, width), min(height / 2 + half_height, height)


def crop_resize(
    image: Image.Image, box: Box, image_size: tuple[int, int], interpolation: Interpolation
) -> Image.Image:
    """Crop and resize an image in one step; one that has the size already comes back as it is."""
    height, width = image_size
    if image.size == (width, height) and box == (0.0, 0.0, width, height):
        return image
    return image.resize((width, height), _RESAMPLING[interpolation], box=box)


def image_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels of an image of mode L or RGB, uint8 [H, W, C]."""
    return np.array(image).reshape(image.height, image.width, len(image.getbands()))


@dataclass(frozen=True)
class Preprocess:
    """Decode, crop to the centre, resize, normalise.

    Attributes:
        channels: 1 for grey, 3 for RGB.
        image_size: Height and width of the input.
        mean: Per channel, of pixels in 0 … 1.
        std: Likewise the standard deviation.
        crop_share: Side of the central part that is used, relative to the largest one of the input's shape.
        interpolation: How images are resized, `bilinear` or `bicubic`; both average what they shrink.

    Raises:
        InputError: A value is out of range, or there are not as many means as channels.

    >>> to_input = Preprocess(1, (2, 2), mean=(0.5,), std=(0.25,))
    >>> to_input(np.full((4, 4), 255, np.uint8)).tolist()
    [[[2.0, 2.0], [2.0, 2.0]]]
    """

    channels: Channels
    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_share: float = 1.0
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        check_channels(self.channels)
        check_image_size(self.image_size)
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise InputError(
                f"{self.channels} channels need as many means and deviations; got {self.mean} and {self.std}"
            )
        if not all(np.isfinite(self.mean)) or not all(0 < value < np.inf for value in self.std):
            raise InputError(f"means must be finite and deviations positive; got {self.mean} and {self.std}")
        if not 0.0 < self.crop_share <= 1.0:
            raise InputError(f"crop_share must lie in 0 … 1, 0 excluded; got {self.crop_share}")
        if self.interpolation not in get_args(Interpolation):
            raise unknown_name("interpolation", self.interpolation, get_args(Interpolation))

    def pixels(self, image: ImageInput, *, name: str | None = None) -> NDArray[np.uint8]:
        """Return the part of an image that the network sees, uint8 [H, W, C].

        Args:
            image: What `decode_image` takes: a path, bytes, a Pillow image, an array or a tensor.
            name: What to call it in an error.

        Raises:
            DataError: The image cannot be read.
        """
        decoded = open_image(image, self.channels, name=name)
        box = centre_box(decoded.image.size, self.image_size, self.crop_share)
        return image_pixels(crop_resize(decoded.image, box, self.image_size, self.interpolation))

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Turn uint8 [B, H, W, C] into the network's input, float32 [B, C, H, W] in channels-last memory.

        Each value is (pixel - 255·mean) / (255·std), computed in float32 in this order.
        """
        batch, height, width, channels = pixels.shape
        # Whole rows, so that the inner loop is long: three times one channel each is ten times slower.
        mean = torch.tensor(self.mean, dtype=torch.float64).mul_(255.0).float().repeat(width)
        std = torch.tensor(self.std, dtype=torch.float64).mul_(255.0).float().repeat(width)
        rows = pixels.reshape(batch * height, width * channels).float().sub_(mean).div_(std)
        return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)

    def __call__(self, image: ImageInput, *, name: str | None = None) -> torch.Tensor:
        """Return the network's input for one image, float32 [C, H, W], exactly as in evaluation.

        Raises:
            DataError: The image cannot be read.
        """
        return self.normalise(torch.from_numpy(self.pixels(image, name=name))[None])[0]

    def to_dict(self) -> dict[str, Any]:
        """Return the settings in plain JSON types."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "Preprocess":
        """Rebuild what `to_dict` described.

        Raises:
            InputError: A key is unknown or missing, or a value is of another type or out of range.
        """
        known = [item.name for item in fields(cls)]
        for key in settings:
            if key not in known:
                raise unknown_name("preprocessing setting", key, known)
        # What was saved before there was a choice says nothing of it.
        settings = {"interpolation": "bilinear", **settings}
        missing = [key for key in known if key not in settings]
        if missing:
            raise InputError(f"the preprocessing settings lack {', '.join(missing)}")
        try:
            height, width = (operator.index(side) for side in settings["image_size"])
            return cls(
                channels=check_channels(settings["channels"]),
                image_size=(height, width),
                mean=tuple(float(value) for value in settings["mean"]),
                std=tuple(float(value) for value in settings["std"]),
                crop_share=float(settings["crop_share"]),
                interpolation=cast("Interpolation", str(settings["interpolation"])),
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"preprocessing settings of a wrong type: {error}") from error


def check_image_size(image_size: tuple[int, int], largest: int = 4096) -> tuple[int, int]:
    """Return height and width if both lie in 1 … `largest`.

    Raises:
        InputError: They do not.
    """
    if not all(1 <= side <= largest for side in image_size):
        raise InputError(f"image sides must be whole numbers from 1 to {largest}; got {image_size}")
    return image_size
