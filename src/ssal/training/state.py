"""Lightning's checkpoints in our state files, and the newest of them that is whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import CheckpointIO

from ssal.checkpoint import load_state, save_state
from ssal.errors import RunError
from ssal.files import keep_copy

LAST = "last.ckpt"
PREVIOUS = "previous.ckpt"
BEST = "best.ckpt"

_KEYS = frozenset(("stage", "run", "epoch", "batch", "batches", "sums", "random"))


def our_part(checkpoint: Any, name: object = "the checkpoint") -> dict[str, Any]:
    """What a `TrainingModule` added to a checkpoint.

    Raises:
        RunError: `checkpoint` is of another kind.
    """
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("ssal"), dict):
        raise RunError(f"{name} is none of a training")
    if not checkpoint["ssal"].keys() >= _KEYS:
        raise RunError(f"{name} was written by an older version of ssal, which this one cannot go on from")
    return checkpoint["ssal"]


class StateFileIO(CheckpointIO):
    """Stores checkpoints with `ssal.checkpoint`; Lightning's own writer goes through another file system."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path` in one step."""
        save_state(Path(path), checkpoint)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: Any = None
    ) -> dict[str, Any]:
        """Read the checkpoint at `path`.

        Raises:
            RunError: it is missing or damaged.
        """
        return load_state(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the checkpoint at `path`, if it is there."""
        Path(path).unlink(missing_ok=True)


@dataclass(frozen=True)
class Found:
    """A checkpoint to go on from.

    Attributes:
        path: the file.
        stage: name of the training that it belongs to.
        run: identity of the run, as it was passed to `fit`.
        epoch: whole epochs done.
        batch: batches of the next epoch done.
        note: what a person should know of the choice; empty if all is well.
    """

    path: Path
    stage: str
    run: str
    epoch: int
    batch: int
    note: str = ""


def find_checkpoint(folder: Path) -> Found | None:
    """The newest whole checkpoint in `folder`; a damaged `last.ckpt` gives way to the one before it.

    Raises:
        RunError: there is a checkpoint, but none that is whole.
    """
    last, previous = folder / LAST, folder / PREVIOUS
    if not last.exists() and not previous.exists():
        return None
    try:
        return _found(last)
    except RunError as error:
        try:
            found = _found(previous, note=f"{error}; going on from {previous.name}, the state before it")
        except RunError as other:
            raise RunError(f"{error}; and {other}; to begin this training anew, delete both") from None
    # Else the next save would keep the damaged file as the one before.
    keep_copy(previous, last)
    return found


def _found(path: Path, note: str = "") -> Found:
    state = our_part(load_state(path), path)
    return Found(path, state["stage"], state["run"], state["epoch"], state["batch"], note)
