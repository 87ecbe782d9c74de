"""Time of an epoch from JPEG files by the larger of pure decoding and pure computing."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from harness import Ratio, arguments, medians, one_thread, paired_ratio, seconds, take_turns
from PIL import Image

one_thread()

import material  # noqa: E402
from memory_epoch import epoch, repeated  # noqa: E402

from ssal.backbones import create_backbone  # noqa: E402
from ssal.data import Augmentation, eval_loader, open_data, train_loader  # noqa: E402
from ssal.model import SSALModel  # noqa: E402
from ssal.training import keep_freed_memory  # noqa: E402


def write_folder(folder: Path, count: int, side: int) -> None:
    """A folder of smooth JPEG images of four classes, as a camera would make them."""
    random = np.random.default_rng(0)
    for index in range(count):
        coarse = random.integers(0, 256, (side // 16, side // 16, 3), dtype=np.uint8)
        path = folder / f"class{index % 4}" / f"{index:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(path, quality=90)


def main() -> None:
    given = arguments(
        3,
        [
            ("width", int, 16, "channels"),
            ("images", int, 1280, "files"),
            ("side", int, 256, "of the files"),
            ("size", int, 64, "of the input"),
        ],
    )
    keep_freed_memory()
    precision = material.precision(given.width)
    with tempfile.TemporaryDirectory() as name:
        write_folder(Path(name), given.images, given.side)
        # Held in memory, as a folder of this size would be, its files would be decoded once only.
        data = open_data(name, image_size=given.size, in_memory=False)
        held_out = partial(eval_loader, data.test.select(range(64)), data.preprocess, batch_size=64)
        train = partial(
            train_loader, data.train, data.preprocess, Augmentation(flip=True), batch_size=64, seed=0
        )
        loader = train(rank=0, world_size=1)
        images = 64 * len(loader)

        def network() -> SSALModel:
            backbone = create_backbone("resnet18_cifar", 4, width=given.width)
            return SSALModel(backbone, [], (3, given.size, given.size))

        def decode() -> None:
            for _ in loader:
                pass

        sides = {
            # The second epoch: the processes that read start once in a training, not once in each epoch.
            "training": lambda: epoch(train, network(), held_out, precision, 2),
            "computing": lambda: epoch(partial(repeated, train), network(), held_out, precision, 2),
            "decoding": lambda: seconds(decode)() / images,
        }
        figures = take_turns(sides, given.rounds)
    figures["larger"] = [max(pair) for pair in zip(figures["computing"], figures["decoding"], strict=True)]
    settings = {
        "width": given.width,
        "files": given.images,
        "side": given.side,
        "input": given.size,
        "precision": precision,
        "unit": "s/image",
    }
    ratio = paired_ratio(figures, "training", "larger")
    target = 1.05
    Ratio("epoch from JPEG ÷ larger part", ratio, target, "at most", medians(figures), settings).print()


if __name__ == "__main__":
    main()
