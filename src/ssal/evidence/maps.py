"""Class activation maps, brought to the size of the input."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ssal.evidence.sources import MapSource
from ssal.taps import TapHook, TapShape, TapStore, to_maps


def class_activation_map(maps: Tensor, weight: Tensor) -> Tensor:
    """Σ_c w_c·A_c, whose mean over the places is the logit without its bias (Zhou et al., 2016).

    Args:
        maps: A, [C, h, w].
        weight: w, the row [C] of the linear head for the class or group.

    Returns:
        float64 [h, w].
    """
    return torch.einsum("c,chw->hw", weight.double(), maps.double())


def to_input_size(values: Tensor, size: tuple[int, int]) -> NDArray[np.float32] | None:
    """Bring a map to the size of the input by bilinear interpolation, and its values to 0–1.

    Least and greatest value become 0 and 1, so that the order of all places is kept.

    Args:
        values: [h, w].
        size: height and width of the input.

    Returns:
        [H, W]; zeros where all values are the same; None for a map of a single place.

    >>> to_input_size(torch.tensor([[1.0, 3.0]]), (1, 4))
    array([[0.  , 0.25, 0.75, 1.  ]], dtype=float32)
    """
    if values.numel() == 1:
        return None
    values = values.detach().double()
    # What rounding alone made different must not be blown up to a pattern.
    if values.max() - values.min() <= 1e-6 * values.abs().max():
        return np.zeros(size, np.float32)
    resized = F.interpolate(values[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    low, high = resized.min(), resized.max()
    return ((resized - low) / (high - low)).float().cpu().numpy()


@contextmanager
def reading(sources: tuple[MapSource | None, ...]) -> Generator[dict[int, Tensor]]:
    """Collect the maps [1, C, h, w] of the parts with a true CAM, by the number of the part."""
    store = TapStore()
    found: dict[int, Tensor] = {}
    wanted = [(number, source) for number, source in enumerate(sources) if source and source.head]
    handles = [source.layer.register_forward_hook(TapHook(str(number), store)) for number, source in wanted]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
    for number, source in wanted:
        found[number] = to_maps(store.outputs[str(number)], source.shape)


def from_maps(maps: Tensor, like: Tensor, shape: TapShape) -> Tensor:
    """Undo `to_maps`: lay maps [N, C, h, w] out as a layer did.

    Args:
        maps: the maps.
        like: output of the layer, from which the prefix tokens are taken.
        shape: layout of the output.
    """
    match shape.format:
        case "NHWC":
            return maps.permute(0, 2, 3, 1)
        case "NLC":
            return torch.cat([like[:, : shape.prefix_tokens], maps.flatten(2).transpose(1, 2)], dim=1)
        case _:
            return maps


class _Lens:
    """Forward hook that leads a layer's output through `passage`, as maps [N, C, h, w]."""

    def __init__(self, shape: TapShape) -> None:
        self.shape = shape
        self.passage = nn.Identity()

    def __call__(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        return from_maps(self.passage(to_maps(output, self.shape)), output, self.shape)


def gradient_maps(
    forward: Callable[[Tensor], Tensor], images: Tensor, source: MapSource, targets: Tensor
) -> Tensor:
    """The maps weighted with the gradient of a logit: its mean (Grad-CAM), or by place (HiResCAM).

    Negative values are kept, unlike in the published method: they say where the evidence is against it. By
    place, they add up to the logit without its bias, as far as it is a linear function of the maps (Draelos
    and Carin, 2020); before a global average pooling both are the same.

    Args:
        forward: from images [N, C, H, W] to the logits [N, K] of one head.
        images: the images.
        source: the layer to read.
        targets: for each image a class or group, a column of the logits, int64 [N].

    Returns:
        [N, h, w].
    """
    # Takes a second to import, for pictures that it could draw.
    from captum.attr import LayerGradCam, LayerGradientXActivation

    lens = _Lens(source.shape)
    # First of all hooks, so that taps read behind the lens.
    handle = source.layer.register_forward_hook(lens, prepend=True)
    try:
        with torch.enable_grad():
            # Both give one map: with the mean gradients, or summed over the channels here.
            attribution = (LayerGradientXActivation if source.by_place else LayerGradCam)(
                forward, lens.passage
            )
            attributions = cast(Tensor, attribution.attribute(images, target=targets)).sum(dim=1)
    finally:
        handle.remove()
    return attributions.detach()


def gradient_map(
    forward: Callable[[Tensor], Tensor], image: Tensor, source: MapSource, target: int
) -> Tensor:
    """The map [h, w] of `gradient_maps` for one image [1, C, H, W]."""
    targets = torch.tensor([target], device=image.device)
    return gradient_maps(forward, image, source, targets)[0]
