"""What the parts of a model explain of some images, and their maps for it and for something else."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ssal.evidence.faithfulness.orders import make_generator
from ssal.evidence.faithfulness.reader import MapReader
from ssal.evidence.faithfulness.targets import Targets, choose_targets
from ssal.joint import Exponents

# Images at once; gradients need memory.
CHUNK = 32


class PartMaps(NamedTuple):
    """Maps of one part for N images, float64 [N, h, w]: for each of the `Targets`."""

    own: Tensor
    winner: Tensor
    other: Tensor
    rival: Tensor

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width."""
        return self.own.shape[1], self.own.shape[2]


class Survey(NamedTuple):
    """What the parts explain of N images, and the maps of the parts; None where a part has none."""

    targets: Targets
    parts: tuple[PartMaps | None, ...]


def survey(reader: MapReader, images: Tensor, exponents: Exponents, seed: int) -> Survey:
    """Choose what to explain, and read the maps of all parts.

    Raises:
        DataError: the network gives numbers that are not finite.
    """
    generator = make_generator(seed)
    count = len(reader.sources)
    chosen: list[Targets] = []
    pieces: list[list[Tensor]] = [[] for _ in range(count)]
    for batch in images.split(CHUNK):
        outputs, features = reader.outputs(batch)
        targets = choose_targets(outputs, reader.model.labels, exponents, generator)
        chosen.append(targets)
        for part in range(count):
            found = [reader.maps(part, batch, features, rows[part]) for rows in targets]
            known = [maps for maps in found if maps is not None]
            if known:
                pieces[part].append(torch.stack(known))
    targets = Targets(*(torch.cat(rows, dim=1) for rows in zip(*chosen, strict=True)))
    return Survey(targets, tuple(PartMaps(*torch.cat(maps, dim=1)) if maps else None for maps in pieces))


def own_maps(reader: MapReader, images: Tensor, own: Tensor) -> list[Tensor | None]:
    """The map of each part for what it explained before: float64 [N, h, w], or None where it has none.

    Args:
        reader: may read another model than that of the survey, of the same form.
        images: [N, C, H, W].
        own: int64 [B + 1, N].
    """
    pieces: list[list[Tensor]] = [[] for _ in reader.sources]
    for batch, targets in zip(images.split(CHUNK), own.split(CHUNK, dim=1), strict=True):
        _, features = reader.outputs(batch)
        for part, rows in enumerate(targets):
            maps = reader.maps(part, batch, features, rows)
            if maps is not None:
                pieces[part].append(maps)
    return [torch.cat(maps) if maps else None for maps in pieces]
