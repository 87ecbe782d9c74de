"""Weights from a file into a model, as far as names and shapes fit; nothing pickled is ever executed."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ssal.checkpoint import is_state_file, load_state
from ssal.errors import InputError, RunError

# What trainers wrap around a state dict, averaged weights first, as timm takes them, and prefixes that they
# put before its keys.
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "model.", "backbone.", "_orig_mod.")
# Where the weights of a run, or of a saved model, lie in its folder.
_MODELS = ("model/model.safetensors", "model.safetensors")
# How PyTorch names what it does not make without being told that the file is trusted.
_FOREIGN = re.compile(r"GLOBAL ([\w.]+)")


@dataclass(frozen=True)
class WeightsReport:
    """Which tensors of a file went into a model.

    Attributes:
        loaded: names of the model that were filled.
        missing: names of the model that were not.
        mismatched: names whose shapes differ, with both shapes.
        unused: names of the file without a place in the model.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    mismatched: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        """One line for the log."""
        text = f"{len(self.loaded)} of {len(self.loaded) + len(self.missing)} tensors loaded"
        for kind in ("mismatched", "unused"):
            names: tuple[str, ...] = getattr(self, kind)
            if names:
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                text += f"; {kind}: {', '.join(names[:3])}{more}"
        return text


def weights_file(path: Path) -> Path:
    """The file that the weights are in: that of the model where a run, or a saved model, is named."""
    return next((inner for name in _MODELS if (inner := path / name).is_file()), path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file or of a PyTorch file, the latter with `weights_only`.

    Args:
        path: the file, which may be a state of a run such as `checkpoints/baseline.ckpt`; or a run directory,
            whose model is read.

    Raises:
        RunError: the file is missing, damaged, holds other objects than tensors, or no tensors.
    """
    path = weights_file(path)
    if not path.is_file():
        raise RunError(f"no weights file at {path}")
    try:
        content: Any = load_state(path) if is_state_file(path) else _read_foreign(path)
    except RunError:
        raise
    except Exception as error:
        # A damaged or hostile file makes the readers fail in every way there is.
        raise RunError(f"{path} holds no weights that can be read safely: {_reason(error)}") from None
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping):
        raise RunError(f"{path} holds a {type(content).__name__}, not a state dict")
    tensors = {str(key): value for key, value in cast("Mapping[Any, Any]", content).items()}
    tensors = {key: value for key, value in tensors.items() if isinstance(value, Tensor)}
    if not tensors:
        raise RunError(f"{path} holds no tensors")
    return tensors


def _read_foreign(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return load_file(path)
    with warnings.catch_warnings():
        # Oddities of the file are warnings here; what cannot be read safely still raises.
        warnings.simplefilter("ignore", UserWarning)
        _refuse_compressed(path)
        return torch.load(path, map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    """Why a file was refused; PyTorch's own words go on to how to read what is not safe to read."""
    if isinstance(error, pickle.UnpicklingError) and (found := _FOREIGN.search(str(error))):
        return f"it has a {found[1]} in it; save the state dict alone, torch.save(model.state_dict(), FILE)"
    if isinstance(error, SafetensorError | OSError):
        return str(error).splitlines()[0][:160]
    return "it is no file of PyTorch, or damaged"


def _refuse_compressed(path: Path) -> None:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise RunError(f"{path} is a compressed archive, which PyTorch does not write")


def _bare(name: str) -> str:
    while prefix := next((prefix for prefix in _PREFIXES if name.startswith(prefix)), None):
        name = name.removeprefix(prefix)
    return name


def load_fitting(model: nn.Module, tensors: Mapping[str, Tensor]) -> WeightsReport:
    """Copy the tensors whose name and shape fit into `model`.

    Args:
        model: filled in place.
        tensors: names, with or without the prefixes that trainers add, to tensors.

    Raises:
        InputError: nothing fits.
    """
    state = model.state_dict()
    given = {name if name in state else _bare(name): tensor for name, tensor in tensors.items()}
    fitting = {
        name: tensor for name, tensor in given.items() if name in state and state[name].shape == tensor.shape
    }
    mismatched = tuple(
        f"{name} {tuple(tensor.shape)} for {tuple(state[name].shape)}"
        for name, tensor in given.items()
        if name in state and name not in fitting
    )
    report = WeightsReport(
        loaded=tuple(fitting),
        missing=tuple(name for name in state if name not in fitting),
        mismatched=mismatched,
        unused=tuple(name for name in given if name not in state),
    )
    if not fitting:
        raise InputError(f"no weight fits {type(model).__name__}: {report}")
    model.load_state_dict(fitting, strict=False)
    return report
