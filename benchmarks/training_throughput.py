"""Images per second of our training by those of the loops that people use today."""

import sys
from collections.abc import Iterator
from importlib.util import find_spec

from harness import Ratio, arguments, medians, one_thread, paired_ratio, take_turns

one_thread()

import material  # noqa: E402
import peers  # noqa: E402

from ssal.training import EpochRow, Precision, TrainingPlan, fit, keep_freed_memory  # noqa: E402

# By loop: which of our sides it is held against, and what to reach.
_TARGETS = {
    "plain_torch": ("ssal", 2.5),
    "timm_parts": ("ssal", 1.0),
    "lightning_default": ("ssal", 2.5),
    "nbdt": ("ssal_branches", 2.5),
}
_GROUPS: dict[str, tuple[int, ...]] = {"ssal": (), "ssal_branches": (20, 33, 50)}


def ours(width: int, count: int, batch_size: int, precision: Precision, groups: tuple[int, ...]) -> float:
    """Images per second of one epoch of `fit`, as its own log says."""
    rows: list[EpochRow] = []
    data = material.images(count)
    held_out = material.eval_batches(data.select(range(250)))
    fit(
        material.network(width, groups),
        material.train_batches(data, batch_size),
        held_out,
        TrainingPlan(epochs=1, precision=precision),
        on_epoch=rows.append,
    )
    return rows[0].images_per_second


def theirs(
    width: int, count: int, batch_size: int, workers: int, precision: Precision
) -> dict[str, Iterator[float]]:
    """The loops of others, each with a network of its own."""
    networks = [material.network(width).backbone for _ in _TARGETS]
    data = material.images(count)
    loops = {
        "plain_torch": peers.plain_torch(networks[0], data, batch_size, workers),
        "timm_parts": peers.timm_parts(networks[1], data, batch_size, workers, precision),
        "lightning_default": peers.lightning_default(networks[2], data, batch_size, workers),
    }
    if find_spec("nbdt") and find_spec("nltk"):
        from peer_nbdt import tree_loss

        loops["nbdt"] = peers.plain_torch(networks[3], data, batch_size, workers, tree_loss())
    else:
        print("no nbdt to compare with: pip install --no-deps nbdt, and nltk", file=sys.stderr)
    return loops


def main() -> None:
    given = arguments(
        3,
        [
            ("width", int, 16, "channels"),
            ("images", int, 2560, "images an epoch"),
            ("workers", int, 2, "of peers"),
        ],
    )
    keep_freed_memory()
    batch, precision = 128, material.precision(given.width)
    loops = theirs(given.width, given.images, batch, given.workers, precision)
    needed = {_TARGETS[name][0] for name in loops}
    mine = {
        side: (lambda groups=groups: ours(given.width, given.images, batch, precision, groups))
        for side, groups in _GROUPS.items()
        if side in needed
    }
    others = {name: (lambda loop=loop: next(loop)) for name, loop in loops.items()}
    figures = take_turns({**mine, **others}, given.rounds)
    settings = {
        "network": "resnet18_cifar",
        "width": given.width,
        "batch": batch,
        "threads": 1,
        "precision": precision,
        "unit": "images/s",
    }
    for name in loops:
        side, target = _TARGETS[name]
        Ratio(
            f"training throughput: {side} ÷ {name}",
            paired_ratio(figures, side, name),
            target,
            "at least",
            {each: value for each, value in medians(figures).items() if each in (side, name)},
            settings,
        ).print()


if __name__ == "__main__":
    main()
