"""Lightning's checkpoints in our state files: no pickle, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import CheckpointIO

from ssal.checkpoint import load_state, save_state
from ssal.errors import RunError


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


def saved_stage(path: Path) -> str:
    """Name of the training that the checkpoint at `path` belongs to.

    Raises:
        RunError: the file is missing, damaged or no checkpoint of a training.
    """
    state = load_state(path)
    if not isinstance(state, dict) or "ssal" not in state:
        raise RunError(f"{path} is no checkpoint of a training")
    return str(state["ssal"]["stage"])
