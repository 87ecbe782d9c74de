"""Images per second of two processes of one thread by those of one process of two threads."""

import os
import subprocess
import sys
from pathlib import Path

import material
from harness import Ratio, arguments, medians, paired_ratio, take_turns

_PART = """
import json, sys
sys.path.insert(0, {folder!r})
import torch
torch.set_num_threads({threads})
import material
from ssal.training import TrainingPlan, fit, keep_freed_memory
keep_freed_memory()
data = material.images({images})
rows = []
plan = TrainingPlan(epochs=2, precision={precision!r}, devices={devices})
fit(material.network({width}, (20, 33, 50)), material.train_batches(data, 128),
    material.eval_batches(data.select(range(250))), plan, on_epoch=lambda row: print(row.images_per_second))
"""


def throughput(devices: int, threads: int, images: int, width: int, precision: str) -> float:
    """Images per second of the second epoch."""
    folder = str(Path(__file__).resolve().parent)
    code = _PART.format(
        folder=folder, threads=threads, devices=devices, images=images, width=width, precision=precision
    )
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    given = arguments(2, [("width", int, 16, "channels"), ("images", int, 2560, "images an epoch")])
    precision = material.precision(given.width)
    sides = {
        "2 processes": lambda: throughput(2, 1, given.images, given.width, precision),
        "1 process": lambda: throughput(1, 2, given.images, given.width, precision),
    }
    figures = take_turns(sides, given.rounds, warm_up=0)
    ratio = paired_ratio(figures, "2 processes", "1 process")
    settings = {"width": given.width, "images": given.images, "precision": precision, "unit": "images/s"}
    Ratio("DDP: 2 × 1 thread ÷ 1 × 2 threads", ratio, 0.90, "at least", medians(figures), settings).print()


if __name__ == "__main__":
    main()
