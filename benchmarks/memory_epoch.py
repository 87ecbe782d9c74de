"""Time of an epoch from images in memory by that of an epoch on one batch that is there already."""

from functools import partial
from typing import Any

from harness import Ratio, arguments, medians, one_thread, paired_ratio, take_turns

one_thread()

import material  # noqa: E402

from ssal.model import SSALModel  # noqa: E402
from ssal.training import EpochRow, Precision, TrainingPlan, fit, keep_freed_memory  # noqa: E402


class Repeated:
    """The first batch of a loader, as many times as the loader has batches."""

    def __init__(self, loader: Any) -> None:
        self.batch, self.count = next(iter(loader)), len(loader)

    def __len__(self) -> int:
        return self.count

    def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
        """The batch is the same in each epoch."""

    def __iter__(self):
        return iter([self.batch] * self.count)


def repeated(factory: Any, *, rank: int, world_size: int) -> Repeated:
    """A loader factory for `fit`."""
    return Repeated(factory(rank=rank, world_size=world_size))


def epoch(factory: Any, network: SSALModel, held_out: Any, precision: Precision, number: int = 1) -> float:
    """Seconds per image of epoch `number` of `fit`, which is the last one, validation left out."""
    rows: list[EpochRow] = []
    fit(network, factory, held_out, TrainingPlan(epochs=number, precision=precision), on_epoch=rows.append)
    return 1 / rows[-1].images_per_second


def main() -> None:
    given = arguments(5, [("width", int, 16, "channels"), ("images", int, 3840, "images an epoch")])
    keep_freed_memory()
    precision = material.precision(given.width)
    data = material.images(given.images)
    train, held_out = material.train_batches(data, 128), material.eval_batches(data.select(range(250)))
    sides = {
        "memory": lambda: epoch(train, material.network(given.width), held_out, precision),
        "cached": lambda: epoch(partial(repeated, train), material.network(given.width), held_out, precision),
    }
    figures = take_turns(sides, given.rounds)
    settings = {"width": given.width, "images": given.images, "precision": precision, "unit": "s/image"}
    ratio = paired_ratio(figures, "memory", "cached")
    Ratio("epoch from memory ÷ cached batch", ratio, 1.02, "at most", medians(figures), settings).print()


if __name__ == "__main__":
    main()
