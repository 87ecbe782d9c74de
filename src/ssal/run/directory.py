"""A run directory: its names, who may write to it, and what it says of the machine."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from ssal.errors import RunError
from ssal.files import remove_leftovers, write_json
from ssal.machine import available_cores, processor

_LOCK = ".lock"
_LIBRARIES = ("ssal", "torch", "torchvision", "timm", "lightning", "numpy", "scipy", "scikit-learn")


@dataclass(frozen=True)
class RunDirectory:
    """Where everything of a run lies; nothing is created by asking."""

    path: Path

    @property
    def config(self) -> Path:
        """Settings as they were used."""
        return self.path / "config.yaml"

    @property
    def env(self) -> Path:
        """Versions and machine."""
        return self.path / "env.json"

    @property
    def log(self) -> Path:
        """What was said while training."""
        return self.path / "train.log"

    @property
    def rows(self) -> Path:
        """One line per epoch."""
        return self.path / "metrics.csv"

    @property
    def metrics(self) -> Path:
        """Results on the test data."""
        return self.path / "metrics.json"

    @property
    def confusion(self) -> Path:
        """Confusion matrix that the groups come from."""
        return self.path / "confusion.npz"

    @property
    def groups(self) -> Path:
        """Folder of one grouping per branch."""
        return self.path / "groups"

    @property
    def checkpoints(self) -> Path:
        """Folder of training states."""
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        """Newest state of the training."""
        return self.checkpoints / "last.ckpt"

    @property
    def beginnings(self) -> Path:
        """What the run was begun with, to compare with when it goes on."""
        return self.checkpoints / "settings.ckpt"

    @property
    def baseline(self) -> Path:
        """Weights of the trained baseline."""
        return self.checkpoints / "baseline.ckpt"

    @property
    def model(self) -> Path:
        """Folder that `ssal.load` needs: weights and description."""
        return self.path / "model"

    @property
    def index(self) -> Path:
        """What is known of the folders and files of the data, so that the run goes on without a search."""
        return self.path / "index.json"

    @property
    def predictions(self) -> Path:
        """Predictions on the test data."""
        return self.path / "eval" / "predictions.parquet"

    def is_empty(self) -> bool:
        """Whether no configuration was written yet, so that there is nothing to lose."""
        return not self.config.exists()

    def clear(self) -> None:
        """Delete the run's own files and folders, nothing else; the index holds for the next run too."""
        names = (self.config, self.env, self.log, self.rows, self.metrics, self.confusion)
        for file in (*names, self.path / "report.html"):
            file.unlink(missing_ok=True)
        for name in ("groups", "checkpoints", "model", "eval", "plots", "explain"):
            shutil.rmtree(self.path / name, ignore_errors=True)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep other processes out; the lock goes with the process, however it ends.

        Raises:
            RunError: another process works in this folder, or it cannot be created.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / _LOCK)
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(
                f"another process is working in {self.path}; wait for it or choose another --out"
            ) from None
        except OSError as error:
            raise RunError(f"cannot write to {self.path}: {error.strerror}") from None
        try:
            remove_leftovers(self.path)
            yield
        finally:
            lock.release()

    def check_free(self) -> None:
        """Find out before long preparations whether another process works in this folder.

        Raises:
            RunError: one does.
        """
        if (self.path / _LOCK).exists():
            with self.locked():
                pass


def describe_environment(**extra: Any) -> dict[str, Any]:
    """Versions, machine and command of this process, as plain values."""
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _LIBRARIES},
        "system": platform.platform(terse=True),
        "machine": platform.machine(),
        "processor": processor(),
        "cpus": available_cores(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        **extra,
    }


def write_environment(directory: RunDirectory, **extra: Any) -> None:
    """Write `env.json`."""
    write_json(directory.env, describe_environment(**extra))
