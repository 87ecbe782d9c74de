"""The maps of many images at once, in one unit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from ssal.evidence.fused import part_logits
from ssal.evidence.maps import class_activation_map, gradient_maps, reading
from ssal.evidence.sources import MapSource
from ssal.joint import Outputs
from ssal.model import SSALModel

Sources = tuple[MapSource | None, ...]


@dataclass(frozen=True)
class MapReader:
    """Reads the maps of a model; part 0 is the main classifier, part b branch b.

    Values are in the unit of the logits: the mean over the places of a true CAM is the logit without its
    bias. So maps of several parts can be added up.

    Attributes:
        model: the model, in evaluation mode.
        sources: where the map of each part is read.
    """

    model: SSALModel
    sources: Sources

    def outputs(self, images: Tensor) -> tuple[Outputs, dict[int, Tensor]]:
        """Logits of images [N, C, H, W], and the maps [N, c, h, w] that `maps` needs, in one forward pass."""
        with reading(self.sources) as features:
            outputs = self.model(images)
        return outputs, features

    def maps(self, part: int, images: Tensor, features: dict[int, Tensor], targets: Tensor) -> Tensor | None:
        """The maps of one part.

        Args:
            part: number of the part.
            images: [N, C, H, W].
            features: what `outputs` gave for them.
            targets: class or group to explain for each image, int64 [N].

        Returns:
            float64 [N, h, w]; None where the part reads no map, or one of a single place.
        """
        source = self.sources[part]
        if source is None:
            return None
        if source.head is None:
            maps = gradient_maps(lambda x: part_logits(self.model, x, part), images, source, targets).double()
            maps = maps * maps[0].numel()
        else:
            rows = zip(features[part], source.head.weight[targets], strict=True)
            maps = torch.stack([class_activation_map(feature, weight) for feature, weight in rows])
        return maps if maps[0].numel() > 1 else None


def transplant(sources: Sources, model: nn.Module, copy: nn.Module) -> Sources:
    """The same layers of a copy of the model."""
    names = {module: name for name, module in model.named_modules()}
    twins = dict(copy.named_modules())

    def twin(source: MapSource) -> MapSource:
        head = None if source.head is None else cast(nn.Linear, twins[names[source.head]])
        return replace(source, layer=twins[names[source.layer]], head=head)

    return tuple(None if source is None else twin(source) for source in sources)
