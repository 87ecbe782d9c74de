"""The four corruptions of auxiliary training, for batches of normalised images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

COUNT = 4


@dataclass(frozen=True)
class Corruption:
    """Blurred, noisy, recoloured and rotated copies of a batch, drawn from torch's random numbers.

    Attributes:
        mean: what was subtracted from each channel of pixels in 0 … 1.
        std: what each channel was divided by afterwards.
        blur: standard deviation of the Gaussian blur in pixels.
        noise: standard deviation of the Gaussian noise, of pixels in 0 … 1.
        colour: brightness, contrast and saturation are multiplied by 1 − colour … 1 + colour.
        degrees: the largest angle of rotation.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    blur: float = 1.0
    noise: float = 20 / 255
    colour: float = 0.5
    degrees: float = 30.0

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """The corrupted copies of images [N, C, H, W], normalised like them."""
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            return self._copies(images.float())

    def _copies(self, images: Tensor) -> tuple[Tensor, ...]:
        mean, std = (images.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        pixels = images * std + mean
        copies = (
            blur(pixels, self.blur),
            (pixels + self.noise * torch.randn_like(pixels)).clamp(0, 1),
            recolour(pixels, self.colour),
        )
        # Rotation moves zeros in at the edges, which are the mean of normalised images.
        return (*((copy - mean) / std for copy in copies), rotate(images, self.degrees))


def blur(images: Tensor, deviation: float) -> Tensor:
    """Gaussian blur of [N, C, H, W], 5×5 taps, edges repeated."""
    steps = torch.arange(-2, 3, device=images.device, dtype=images.dtype)
    kernel = torch.softmax(-steps.square() / (2 * deviation**2), dim=0)
    channels = images.shape[1]
    padded = F.pad(images, (2, 2, 2, 2), mode="replicate")
    rows = F.conv2d(padded, kernel.expand(channels, 1, 1, 5), groups=channels)
    return F.conv2d(rows, kernel[:, None].expand(channels, 1, 5, 1), groups=channels)


def recolour(pixels: Tensor, amount: float) -> Tensor:
    """Random brightness, contrast and saturation of pixels [N, C, H, W] in 0 … 1, drawn for each image."""

    def factor() -> Tensor:
        return 1 + amount * (2 * torch.rand(len(pixels), 1, 1, 1, device=pixels.device) - 1)

    bright = pixels * factor()
    level = bright.mean(dim=(1, 2, 3), keepdim=True)
    contrasted = level + factor() * (bright - level)
    grey = contrasted.mean(dim=1, keepdim=True)
    return (grey + factor() * (contrasted - grey)).clamp(0, 1)


def rotate(images: Tensor, degrees: float) -> Tensor:
    """Each image [N, C, H, W] turned by its own angle, zeros moving in."""
    angles = math.radians(degrees) * (2 * torch.rand(len(images), device=images.device) - 1)
    cos, sin, none = angles.cos(), angles.sin(), torch.zeros_like(angles)
    aspect = images.shape[2] / images.shape[3]
    turns = torch.stack([cos, -sin * aspect, none, sin / aspect, cos, none], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(turns, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid.to(images.dtype), align_corners=False)
