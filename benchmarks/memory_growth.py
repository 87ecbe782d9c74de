"""Memory of a training, and of the processes that read its images, after 20 epochs by that after a few."""

import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from harness import Ratio, arguments, one_thread

one_thread()

import material  # noqa: E402
from jpeg_epoch import write_folder  # noqa: E402

from ssal.data import Augmentation, eval_loader, open_data, train_loader  # noqa: E402
from ssal.training import EpochRow, TrainingPlan, fit, keep_freed_memory  # noqa: E402

# Caches and pools of memory fill in the first epochs.
_SETTLING, _WINDOW = 3, 5


def mebibytes() -> float:
    """What this process and its children hold, memory that they share counted once (Linux only)."""
    numbers = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
    return sum(_share(Path(f"/proc/{number}/smaps_rollup")) for number in numbers) / 1024


def _share(path: Path) -> int:
    fields = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return next(int(words[1]) for words in fields if words[0] == "Pss:")


def train(source: str, images: int, width: int, epochs: int) -> None:
    """Train in this process, and print its memory after each epoch."""
    keep_freed_memory()
    held: list[float] = []

    def note(_: EpochRow) -> None:
        held.append(mebibytes())

    plan = TrainingPlan(epochs=epochs, precision=material.precision(width, 32))
    if source == "memory":
        data = material.images(images)
        batches = material.train_batches(data, 32)
        fit(material.network(width, (20, 33, 50)), batches, material.eval_batches(data), plan, on_epoch=note)
    else:
        with tempfile.TemporaryDirectory() as name:
            write_folder(Path(name), images, 96)
            data = open_data(name, image_size=32, in_memory=False)
            batches = partial(
                train_loader, data.train, data.preprocess, Augmentation(), batch_size=32, seed=0, workers=2
            )
            held_out = partial(eval_loader, data.test, data.preprocess, batch_size=250, workers=2)
            fit(material.network(width, (2,), classes=4), batches, held_out, plan, on_epoch=note)
    print(*held)


def main() -> None:
    given = arguments(
        1,
        [
            ("epochs", int, 20, "epochs"),
            ("images", int, 256, "images an epoch"),
            ("width", int, 16, "channels"),
            ("source", str, "", "memory or files, in this process"),
        ],
    )
    if given.source:
        train(given.source, given.images, given.width, given.epochs)
        return
    size = ["--epochs", str(given.epochs), "--images", str(given.images), "--width", str(given.width)]
    for source in ("memory", "files"):
        command = [sys.executable, __file__, "--source", source, *size]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        held = [float(value) for value in done.stdout.split()]
        sides = {
            "start": statistics.median(held[_SETTLING : _SETTLING + _WINDOW]),
            "end": statistics.median(held[-_WINDOW:]),
        }
        settings = {"epochs": given.epochs, "images": given.images, "width": given.width, "unit": "MiB"}
        name = f"memory after {given.epochs} epochs ÷ at their start: {source}"
        Ratio(name, sides["end"] / sides["start"], 1.02, "at most", sides, settings).print()


if __name__ == "__main__":
    main()
