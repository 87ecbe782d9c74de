"""Runs in processes of their own, which can be killed, and what they leave."""

import contextlib
import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
CLASSES = ("ant", "bee", "cat", "dog")


# Name of a function of `injected`, and its arguments.
Fault = tuple[str, dict[str, Any]] | None


class Bench:
    """Starts runs of the command line, as forks of a process that has imported everything."""

    def __init__(self) -> None:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._zygote = subprocess.Popen(
            [sys.executable, str(HERE / "zygote.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | threads | {"COLUMNS": "200"},
        )
        assert self._answer() == "ready"

    def _answer(self) -> Any:
        assert self._zygote.stdout is not None
        return json.loads(self._zygote.stdout.readline())

    def ask(self, order: dict[str, Any]) -> Any:
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(order) + "\n")
        self._zygote.stdin.flush()
        return self._answer()

    def start(
        self,
        folder: Path,
        *arguments: object,
        fault: Fault = None,
        report: bool = False,
    ) -> "Process":
        """Run `ssal ARGUMENTS` in `folder`."""
        output = folder / "output.txt"
        order = {
            "arguments": [str(argument) for argument in arguments],
            "folder": str(folder),
            "output": str(output),
            "fault": None if fault is None else {"name": fault[0], "with": fault[1]},
            "report": report,
        }
        return Process(self, self.ask({"start": order}), output)

    def run(self, folder: Path, *arguments: object, fault: Fault = None) -> "Done":
        """The same, until it ends."""
        return self.start(folder, *arguments, fault=fault).done()

    def close(self) -> None:
        assert self._zygote.stdin is not None and self._zygote.stdout is not None
        self._zygote.stdin.close()
        self._zygote.wait(timeout=30)
        self._zygote.stdout.close()


@dataclass(frozen=True)
class Done:
    """How a process ended; a negative status is the signal that killed it."""

    status: int
    output: str


@dataclass
class Process:
    """A run at work."""

    bench: Bench
    number: int
    output: Path
    status: int | None = None

    def wait(self, seconds: float) -> int | None:
        """Exit status, or None if it still works after so many seconds."""
        if self.status is None:
            self.status = self.bench.ask({"wait": self.number, "seconds": seconds})
        return self.status

    def signal(self, signum: int) -> None:
        """To the process alone."""
        os.kill(self.number, signum)

    def signal_group(self, signum: int) -> None:
        """To the process and all that it has started."""
        os.killpg(self.number, signum)

    def kill(self) -> Done:
        """End the whole group without a warning."""
        with contextlib.suppress(ProcessLookupError):
            self.signal_group(signal.SIGKILL)
        return self.done()

    def done(self, seconds: float = 120) -> Done:
        status = self.wait(seconds)
        if status is None:
            self.signal_group(signal.SIGKILL)
            self.wait(10)
            raise AssertionError(f"still at work after {seconds} s: {self.output.read_text()}")
        return Done(status, self.output.read_text())

    def left_over(self) -> list[int]:
        """Processes of the group that are still there."""
        alive: list[int] = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, group = path.read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(group) == self.number and state != "Z":
                alive.append(int(path.parent.name))
        return alive


def make_images(folder: Path, count: int = 24, side: int = 12) -> Path:
    """Class folders of noise, a brightness per class: `count` images of each in train/, a third in test/."""
    for part, number in (("train", count), ("test", count // 3)):
        for label, name in enumerate(CLASSES):
            place = folder / part / name
            place.mkdir(parents=True)
            for index in range(number):
                random = np.random.default_rng([label, index, len(part)])
                pixels = random.normal(50 + 45 * label, 40, (side, side, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{index:03}.jpg", quality=95)
    return folder


def settings(images: Path, **changes: object) -> list[str]:
    """Flags of a run of about a second."""
    values: dict[str, object] = {
        "model": "networks:tiny",
        "taps": "2,4",
        "groups": "2,all",
        "layout": "cbr 4 | gap",
        "epochs": 3,
        "explanation_images": 0,
        "batch_size": 8,
        "holdout": 0.25,
        "image_size": 8,
        "precision": "'32'",
        "ema": 0.9,
        "workers": 0,
        "checkpoint.steps": 3,
    }
    pairs = (values | changes).items()
    return ["train", str(images), *(part for key, value in pairs for part in ("--set", f"{key}={value}"))]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def weights(run: Path) -> str:
    """SHA-256 of the weights that a run ends with."""
    return digest(run / "model" / "model.safetensors")


_TIMES = ("seconds", "images_per_second")


def results(run: Path) -> dict[str, Any]:
    """Content of metrics.json without times."""
    metrics = json.loads((run / "metrics.json").read_text())
    return {key: value for key, value in metrics.items() if key not in _TIMES}


def rows(run: Path) -> list[dict[str, str]]:
    """Content of metrics.csv without times."""
    with (run / "metrics.csv").open(newline="") as file:
        return [
            {key: value for key, value in row.items() if key not in _TIMES} for row in csv.DictReader(file)
        ]


@dataclass(frozen=True)
class Outcome:
    """All that must not depend on interruptions."""

    weights: str
    results: dict[str, Any]
    rows: list[dict[str, str]]


def outcome(run: Path) -> Outcome:
    return Outcome(weights(run), results(run), rows(run))


def places(rows: Sequence[dict[str, str]]) -> list[tuple[str, int]]:
    return [(row["stage"], int(row["epoch"])) for row in rows]
