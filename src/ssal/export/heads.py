"""What an exported graph computes: images in, named outputs out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssal.evidence import MapSource, pooled_sources
from ssal.joint import Exponents, Outputs, joint_log_prob
from ssal.model import SSALModel
from ssal.run.saved import SavedModel
from ssal.taps import TapHook, TapStore, to_maps


class Main(nn.Module):
    """The main classifier alone: images [N, C, H, W] → `log_prob` [N, C]."""

    names = ("log_prob",)

    def __init__(self, saved: SavedModel) -> None:
        super().__init__()
        self.backbone = saved.model.release()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Log-probabilities of the classes."""
        return (F.log_softmax(self.backbone(images), dim=1),)


class Joint(nn.Module):
    """The joint prediction: images [N, C, H, W] → `log_prob` [N, C] (§3.4)."""

    names = ("log_prob",)

    def __init__(self, saved: SavedModel) -> None:
        super().__init__()
        self.model = saved.model
        self.exponents = saved.exponents

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Log-probabilities of the classes."""
        return (_joint(self.model, self.model(images), self.exponents),)


class Explain(nn.Module):
    """The joint prediction with its evidence.

    Images [N, C, H, W] → `log_prob` [N, C]; `main` [N, C], the log-probabilities of the main classifier;
    `group{b}` [N, k_b] for each branch b from 1, those of its groups; and where a part has a true class
    activation map, `map0` for the main classifier and the class that is predicted jointly, and `map{b}` for
    a branch and its own group, [N, h, w] with the signs of the evidence.
    """

    def __init__(self, saved: SavedModel) -> None:
        super().__init__()
        self.model = saved.model
        self.exponents = saved.exponents
        self._sources = [
            (part, source)
            for part, source in enumerate(pooled_sources(saved.model))
            if source is not None and source.head is not None
        ]
        self._store = TapStore()
        for part, source in self._sources:
            source.layer.register_forward_hook(TapHook(str(part), self._store))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        groups = (f"group{number + 1}" for number in range(len(self.model.specs)))
        return ("log_prob", "main", *groups, *(f"map{part}" for part, _ in self._sources))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Log-probabilities of all parts, and their maps."""
        outputs = self.model(images)
        log_prob = _joint(self.model, outputs, self.exponents)
        groups = [F.log_softmax(logits, dim=1) for logits in outputs.groups]
        maps = [
            self._map(part, source, log_prob if part == 0 else groups[part - 1])
            for part, source in self._sources
        ]
        self._store.outputs.clear()
        return (log_prob, F.log_softmax(outputs.main, dim=1), *groups, *maps)

    def _map(self, part: int, source: MapSource, scores: Tensor) -> Tensor:
        maps = to_maps(self._store.outputs[str(part)], source.shape)
        weight = cast(nn.Linear, source.head).weight[scores.argmax(dim=1)]
        return torch.einsum("nc,nchw->nhw", weight, maps)


def _joint(model: SSALModel, outputs: Outputs, exponents: Exponents) -> Tensor:
    return joint_log_prob(outputs, model.labels, exponents.branches, exponents.main)


HEADS: dict[str, Callable[[SavedModel], Any]] = {"main": Main, "joint": Joint, "explain": Explain}
