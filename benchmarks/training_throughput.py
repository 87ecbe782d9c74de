"""Images per second of our training by those of the loops that people use today."""

from harness import Ratio, arguments, medians, one_thread, paired_ratio, take_turns

one_thread()

import material  # noqa: E402
import peers  # noqa: E402

from ssal.training import EpochRow, TrainingPlan, fit, keep_freed_memory  # noqa: E402

_TARGETS = {"plain_torch": 2.5, "timm_parts": 1.0, "lightning_default": 2.5}


def ours(width: int, count: int, batch_size: int) -> float:
    """Images per second of one epoch of `fit`, without branches, as its own log says."""
    rows: list[EpochRow] = []
    data = material.images(count)
    held_out = material.eval_batches(data.select(range(250)))
    plan = TrainingPlan(epochs=1, precision="bf16")
    fit(
        material.network(width),
        material.train_batches(data, batch_size),
        held_out,
        plan,
        on_epoch=rows.append,
    )
    return rows[0].images_per_second


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
    data, batch = material.images(given.images), 128
    running = {
        name: getattr(peers, name)(material.network(given.width).backbone, data, batch, given.workers)
        for name in _TARGETS
    }
    sides = {name: (lambda loop=loop: next(loop)) for name, loop in running.items()}
    figures = take_turns({"ssal": lambda: ours(given.width, given.images, batch), **sides}, given.rounds)
    for name, target in _TARGETS.items():
        Ratio(
            f"training throughput: ssal ÷ {name}",
            paired_ratio(figures, "ssal", name),
            target,
            "at least",
            {side: value for side, value in medians(figures).items() if side in ("ssal", name)},
            {
                "network": "resnet18_cifar",
                "width": given.width,
                "batch": batch,
                "threads": 1,
                "unit": "images/s",
            },
        ).print()


if __name__ == "__main__":
    main()
