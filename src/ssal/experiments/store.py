"""Finished trainings on disk: a folder each, named by its digest, whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor

from ssal.errors import RunError
from ssal.experiments.training import Training
from ssal.files import write_bytes, write_json
from ssal.joint import Outputs

Metrics = Mapping[str, float]

RESULT = "training.json"
_ERROR = "error.json"
_OUTPUTS = "outputs.safetensors"


class BusyError(RunError):
    """Another process is doing this training."""


class NoOutputsError(RunError):
    """A training has its result, but no longer its outputs."""


@dataclass(frozen=True)
class Part:
    """Logits of all parts of a network for one part of the data, with the true classes [N]."""

    outputs: Outputs
    targets: Tensor


@dataclass(frozen=True)
class Store:
    """The trainings below a folder, shared by all experiments whose results go there."""

    root: Path

    def folder(self, digest: str) -> Path:
        """Where the results of a training lie."""
        return self.root / "trainings" / digest

    def is_done(self, training: Training) -> bool:
        """Whether the training is finished, and its weights are there if they are needed."""
        folder = self.folder(training.digest)
        there = not training.needs_weights or (folder / "model" / "model.safetensors").exists()
        return self.has_result(training.digest) and there

    def has_result(self, digest: str) -> bool:
        """Whether the training was measured; outputs and weights may be elsewhere, or gone."""
        return (self.folder(digest) / RESULT).exists()

    def error(self, digest: str) -> str | None:
        """The one-line error that the last attempt ended in."""
        path = self.folder(digest) / _ERROR
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["error"])
        except (OSError, ValueError, KeyError):
            return None

    def read(self, digest: str) -> dict[str, Any]:
        """Content of `training.json`.

        Raises:
            RunError: the training is not finished, or its file is damaged.
        """
        path = self.folder(digest) / RESULT
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"cannot read {path}: {error}; delete its folder to repeat the training") from None

    def outputs(self, digest: str) -> dict[str, Part]:
        """Stored logits by part of the data.

        Raises:
            NoOutputsError: there are none.
            RunError: the file is damaged.
        """
        path = self.folder(digest) / _OUTPUTS
        if not path.exists():
            raise NoOutputsError(f"there is no {path}; delete its folder to repeat the training")
        try:
            return unpack_outputs(load_file(path))
        except (OSError, SafetensorError, KeyError) as error:
            raise RunError(f"cannot read {path}: {error}; delete its folder to repeat the training") from None

    def remember(self, name: str, digests: Sequence[str], compute: Callable[[], Metrics]) -> Metrics:
        """Compute what takes the outputs of some trainings once, and keep it beside their results.

        Outputs are large, results are small: who has only the results then still has all numbers.

        Args:
            name: what is computed, as part of a file's name.
            digests: the trainings that it is computed from; if one of them is repeated, it is computed again.
            compute: called if it is not known yet.

        Raises:
            RunError: a training is not finished; or what `compute` raises.
        """
        path = self.root / "measures" / f"{'-'.join((name, *digests))}.json"
        of = {digest: self._fingerprint(digest) for digest in digests}
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            if known["of"] == of:
                return known["metrics"]
        except (OSError, ValueError, KeyError, TypeError):
            pass  # Not computed yet, or half a file of another program: either way it is written anew.
        metrics = compute()
        write_json(path, {"of": of, "metrics": metrics})
        return metrics

    def _fingerprint(self, digest: str) -> str:
        text = json.dumps(self.read(digest), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @contextmanager
    def locked(self, digest: str) -> Generator[None]:
        """Keep other processes from doing the same training; the lock goes with the process.

        Raises:
            BusyError: another process is at it.
        """
        path = self.root / "trainings" / ".locks" / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise BusyError(f"another process is doing training {digest}") from None
        try:
            yield
        finally:
            lock.release()

    def write(self, digest: str, fill: Callable[[Path], None]) -> None:
        """Let `fill` write the results into a folder that takes its place in one step.

        The caller holds the lock of the training.

        Raises:
            OSError: a file cannot be written; the training then counts as not done.
        """
        target = self.folder(digest)
        for left in target.parent.glob(f".{digest}.*"):  # of a process that was killed here
            shutil.rmtree(left, ignore_errors=True)
        temporary = target.with_name(f".{digest}.{os.getpid()}.{secrets.token_hex(4)}")
        temporary.mkdir(parents=True)
        try:
            fill(temporary)
            if target.exists():
                shutil.rmtree(target)
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def write_error(self, digest: str, error: str, traceback: str) -> None:
        """Say how a training failed; it is tried again at the next start."""
        write_json(self.folder(digest) / _ERROR, {"error": error, "traceback": traceback})


def write_outputs(folder: Path, parts: dict[str, Part]) -> None:
    """Write logits and targets of each part of the data as one safetensors file."""
    tensors: dict[str, Tensor] = {}
    for name, part in parts.items():
        tensors[f"{name}.targets"] = part.targets.to(torch.int32)
        tensors[f"{name}.main"] = part.outputs.main.contiguous()
        for number, logits in enumerate(part.outputs.groups):
            tensors[f"{name}.group{number}"] = logits.contiguous()
    write_bytes(folder / _OUTPUTS, serialise(tensors))


def unpack_outputs(tensors: dict[str, Tensor]) -> dict[str, Part]:
    """The parts that `write_outputs` wrote."""
    parts: dict[str, Part] = {}
    for name in sorted({key.split(".")[0] for key in tensors}):
        count = sum(key.startswith(f"{name}.group") for key in tensors)
        groups = tuple(tensors[f"{name}.group{number}"] for number in range(count))
        outputs = Outputs(tensors[f"{name}.main"], groups)
        parts[name] = Part(outputs, tensors[f"{name}.targets"].long())
    return parts
