"""State files without pickle: a tree of tensors and plain values in one safetensors file, with a checksum."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from ssal.errors import RunError
from ssal.files import write_bytes

_FORMAT = "ssal-state-1"
_FORMATS = {False: torch.contiguous_format, True: torch.channels_last}


def _is_channels_last(tensor: Tensor) -> bool:
    return (
        tensor.ndim == 4
        and not tensor.is_contiguous()
        and tensor.is_contiguous(memory_format=torch.channels_last)
    )


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Replace tensors by references and everything JSON lacks by tagged lists."""
    match value:
        case Tensor():
            name = f"{len(tensors):06d}"
            # A copy of its own: safetensors refuses tensors that share memory.
            tensors[name] = value.detach().cpu().contiguous().clone()
            return {"tensor": name, "channels_last": _is_channels_last(value)}
        case dict():
            items = cast("dict[Any, Any]", value).items()
            return {"dict": [[_pack(key, tensors), _pack(item, tensors)] for key, item in items]}
        case list():
            return {"list": [_pack(item, tensors) for item in cast("list[Any]", value)]}
        case tuple():
            return {"tuple": [_pack(item, tensors) for item in cast("tuple[Any, ...]", value)]}
        case None | bool() | int() | float() | str():
            return value
        case _:
            raise TypeError(f"a state file holds tensors and plain values, not {type(value).__name__}")


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    match value:
        case {"tensor": name, "channels_last": channels_last}:
            # Fused optimisers walk through memory: a moment must lie there as its parameter does.
            return tensors[name].contiguous(memory_format=_FORMATS[bool(channels_last)])
        case {"dict": items}:
            return {_unpack(key, tensors): _unpack(item, tensors) for key, item in items}
        case {"list": items}:
            return [_unpack(item, tensors) for item in items]
        case {"tuple": items}:
            return tuple(_unpack(item, tensors) for item in items)
        case _:
            return value


def _digest(tree: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(tree.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_state(path: Path, state: Any) -> None:
    """Write a tree of dicts, lists, tuples, tensors and plain values, all or nothing.

    Args:
        path: the file; its former content stays until the new one is complete.
        state: the tree; keys of dicts may be any plain value.

    Raises:
        TypeError: the tree holds something else.
        OSError: the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_pack(state, tensors))
    metadata = {"format": _FORMAT, "tree": tree, "sha256": _digest(tree, tensors)}
    write_bytes(path, serialise(tensors, metadata))


def is_state_file(path: Path) -> bool:
    """Whether `save_state` wrote a file, as far as its head tells."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") == _FORMAT
    except (SafetensorError, OSError, ValueError):
        return False


def load_state(path: Path) -> Any:
    """Read what `save_state` wrote.

    Raises:
        RunError: the file is missing, of another kind, or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = cast("dict[str, str]", file.metadata() or {})
            tensors = {name: cast(Tensor, file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise RunError(f"no state file at {path}") from None
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise RunError(f"{path} is damaged or no state file: {error}") from None
    if metadata.get("format") != _FORMAT or "tree" not in metadata:
        raise RunError(f"{path} is a safetensors file, but no state file of ssal")
    if _digest(metadata["tree"], tensors) != metadata.get("sha256"):
        raise RunError(f"{path} is damaged: its checksum does not match")
    try:
        return _unpack(json.loads(metadata["tree"]), tensors)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        # RuntimeError: nested too deep, or a memory format that the tensor cannot have.
        raise RunError(f"{path} is no state file that ssal wrote: {error}") from None
