"""A run directory: its names, and who may write to it; cheap to import, so that a refusal comes at once."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from filelock import FileLock, Timeout

from ssal.errors import RunError
from ssal.files import remove_leftovers

_LOCK = ".lock"


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

    @property
    def resume_command(self) -> str:
        """What to type to go on with the run."""
        return f"ssal train --resume {shlex.quote(str(self.path))}"

    def predictions_on(self, data: str) -> Path:
        """Predictions on other data, in a folder of their name, with a number if others of it are there.

        Args:
            data: name of the data, or absolute path; as `data` in the `metrics.json` beside the predictions.
        """
        name = Path(data.removeprefix("hf:")).stem or "data"
        names = chain([name], (f"{name}-{number}" for number in count(2)))
        folders = (self.predictions.parent / each for each in names)
        folder = next(each for each in folders if not each.exists() or _data_measured_in(each) == data)
        return folder / self.predictions.name

    def is_empty(self) -> bool:
        """Whether no configuration was written yet, so that there is nothing to lose."""
        return not self.config.exists()

    def clear(self) -> None:
        """Delete the run's own files and folders, nothing else; the index holds for the next run too."""
        names = (self.config, self.env, self.log, self.rows, self.metrics, self.confusion)
        for file in (*names, self.path / "report.html"):
            file.unlink(missing_ok=True)
        for name in ("groups", "checkpoints", "model", "eval", "plots", "explain", "tensorboard", "wandb"):
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

    def check_unlocked(self) -> None:
        """Find out before long preparations whether another process works in this folder.

        Raises:
            RunError: one does.
        """
        if (self.path / _LOCK).exists():
            with self.locked():
                pass

    def check_vacant(self, *, overwrite: bool = False) -> None:
        """Find out whether a new run may begin in this folder.

        Args:
            overwrite: whether it may take the place of another run.

        Raises:
            RunError: there is a run already, and it is to be kept.
        """
        if not self.is_empty() and not overwrite:
            raise RunError(
                f"{self.path} holds a run already; choose another --out, --overwrite it, "
                f"or go on with it: {self.resume_command}"
            )


def _data_measured_in(folder: Path) -> object:
    """What the predictions in a folder of `eval/` are on; None where that cannot be told."""
    try:
        return json.loads((folder / "metrics.json").read_bytes())["data"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
