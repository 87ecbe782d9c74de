"""Deletion and insertion curves (Petsiuk et al., 2018)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ssal.evidence.faithfulness.orders import opposite

# From images [n, C, H, W] and their numbers [n] to scores [n, T].
Score = Callable[[Tensor, Tensor], Tensor]


def area(curves: Tensor) -> Tensor:
    """Area under curves over equally spaced fractions from 0 to 1, by trapezes.

    >>> area(torch.tensor([[1.0, 0.0, 0.0]])).tolist()
    [0.25]

    Args:
        curves: [..., S + 1].

    Returns:
        [...], between the least and the greatest value of the curve.
    """
    return torch.trapezoid(curves, dx=1 / (curves.shape[-1] - 1), dim=-1)


@dataclass(frozen=True)
class Occlusion:
    """Images, what stands in for their pixels, and how a mixture of both is judged.

    Attributes:
        score: judges mixtures.
        images: [N, C, H, W].
        baselines: [N, C, H, W].
        steps: S; in step s of S a share s / S of the pixels has been exchanged.
        chunk: mixtures to judge at once.
        whole: scores [N, T] of the images.
        empty: scores [N, T] of the baselines.
    """

    score: Score
    images: Tensor
    baselines: Tensor
    steps: int
    chunk: int
    whole: Tensor
    empty: Tensor

    @classmethod
    def prepare(
        cls, score: Score, images: Tensor, baselines: Tensor, steps: int, chunk: int = 256
    ) -> Occlusion:
        """Judge images and baselines, the ends of every curve."""
        numbers = torch.arange(len(images), device=images.device)
        whole, empty = (
            torch.cat([score(kind[piece], piece) for piece in numbers.split(chunk)])
            for kind in (images, baselines)
        )
        return cls(score, images, baselines, steps, chunk, whole, empty)

    def delete(self, ranks: Tensor) -> Tensor:
        """Take pixels away in an order.

        Args:
            ranks: place of each pixel in the order, int64 [N, H·W].

        Returns:
            Scores [N, S + 1, T], from the whole image to the baseline.
        """
        images, pixels = ranks.shape
        height, width = self.images.shape[2:]
        steps = torch.arange(1, self.steps, device=ranks.device)
        removed = ((2 * steps * pixels + self.steps) // (2 * self.steps)).repeat_interleave(images)
        numbers = torch.arange(images, device=ranks.device).repeat(self.steps - 1)
        scores: list[Tensor] = []
        for piece, count in zip(numbers.split(self.chunk), removed.split(self.chunk), strict=True):
            gone = (ranks[piece] < count[:, None]).view(-1, 1, height, width)
            mixed = torch.where(gone, self.baselines[piece], self.images[piece])
            # Convolutions on the CPU are faster in this layout.
            scores.append(self.score(mixed.contiguous(memory_format=torch.channels_last), piece))
        inner = torch.cat(scores).view(self.steps - 1, images, -1).transpose(0, 1)
        return torch.cat([self.whole[:, None], inner, self.empty[:, None]], dim=1)

    def insert(self, ranks: Tensor) -> Tensor:
        """Put pixels in, in an order: scores [N, S + 1, T] from the baseline to the whole image.

        Backwards it takes them away in the opposite order.
        """
        return self.delete(opposite(ranks)).flip(1)
