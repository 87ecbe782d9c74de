"""From a saved model to a file for another runtime, checked against the model."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ssal.errors import InputError, RunError, unknown_name
from ssal.export.fold import fold_batch_norms
from ssal.export.heads import HEADS
from ssal.files import write_bytes
from ssal.run.saved import SavedModel

_LARGEST_DIFFERENCE = 1e-4
# Both sides of what a batch may be; one alone would be taken for a constant.
_CHECKED_BATCHES = (1, 2, 7)

Runner = Callable[[Tensor], list[Tensor]]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the file.
        outputs: names of the graph's outputs.
        folded: batch norms that became part of a convolution.
        difference: largest absolute difference between the file's outputs and the model's, on noise.
    """

    path: Path
    outputs: tuple[str, ...]
    folded: int
    difference: float


def export(saved: SavedModel, path: Path, *, format: str = "onnx", mode: str = "joint") -> Exported:
    """Write the model for another runtime, with a batch of any size, and compare it with the model.

    The input is `images`, float32 [N, C, H, W], preprocessed. Class names, groups and preprocessing go with
    the file as metadata in JSON, under the key `ssal`.

    Args:
        saved: the model; it is used up.
        path: the file.
        format: `onnx`, or `torch-export` for `torch.export.load`.
        mode: `main`, `joint` or `explain`, see `ssal.export.heads`.

    Raises:
        InputError: format or mode is unknown, or what the format needs is not installed.
        RunError: the file's outputs differ from the model's by more than 1e-4; nothing is written.
    """
    if mode not in HEADS:
        raise unknown_name("mode", mode, list(HEADS))
    if format not in FORMATS:
        raise unknown_name("format", format, list(FORMATS))
    if path.suffix != SUFFIXES[format] and path.suffix in SUFFIXES.values():
        raise InputError(f"{path.name} ends as files of another format do; {format} has {SUFFIXES[format]}")
    _check_installed(format)
    shape = saved.model.input_shape
    network: nn.Module = HEADS[mode](saved).float().cpu().eval()
    noise = [_noise(count, shape, seed) for seed, count in enumerate(_CHECKED_BATCHES)]
    with torch.no_grad():
        expected = [network(images) for images in noise]
    names = tuple(network.names)  # type: ignore[arg-type]
    folded = fold_batch_norms(network, _trace(network, shape))
    metadata = {"ssal": json.dumps(_describe(saved, mode), ensure_ascii=False)}
    content, runner = FORMATS[format](_trace(network, shape), names, metadata)
    difference = max(
        float((mine.detach() - theirs).abs().max())
        for images, wanted in zip(noise, expected, strict=True)
        for mine, theirs in zip(runner(images), wanted, strict=True)
    )
    if not difference <= _LARGEST_DIFFERENCE:
        raise RunError(
            f"the exported outputs differ from the model's by {difference:.2g}, "
            f"more than {_LARGEST_DIFFERENCE:g}; nothing was written"
        )
    write_bytes(path, content)
    return Exported(path, names, folded, difference)


def _noise(count: int, shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn((count, *shape), generator=torch.Generator().manual_seed(seed))


def _trace(network: nn.Module, shape: tuple[int, ...]) -> ExportedProgram:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        batch = {0: Dim("batch", min=1)}
        return torch.export.export(network, (_noise(2, shape, 0),), dynamic_shapes=(batch,))


def _describe(saved: SavedModel, mode: str) -> dict[str, Any]:
    return {
        "mode": mode,
        "class_names": list(saved.class_names),
        "preprocess": saved.preprocess.to_dict(),
        "groups": [{"tap": spec.tap, "labels": spec.grouping.labels.tolist()} for spec in saved.model.specs],
    }


def _check_installed(format: str) -> None:
    if format != "onnx":
        return
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise InputError(
            f"--format onnx needs {', '.join(missing)}: pip install 'ssal[onnx]', "
            "or choose --format torch-export"
        )


def _torch_export(
    program: ExportedProgram, names: tuple[str, ...], metadata: dict[str, str]
) -> tuple[bytes, Runner]:
    buffer = io.BytesIO()
    files = metadata | {"outputs": json.dumps(names)}
    torch.export.save(program, buffer, extra_files=files)
    buffer.seek(0)
    loaded = torch.export.load(buffer).module()
    return buffer.getvalue(), lambda images: list(loaded(images))


def _onnx(program: ExportedProgram, names: tuple[str, ...], metadata: dict[str, str]) -> tuple[bytes, Runner]:
    import onnxruntime

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = torch.onnx.export(
            program, dynamo=True, input_names=["images"], output_names=list(names), verbose=False
        )
    if converted is None:
        raise RunError("PyTorch made no ONNX program of the model")
    proto = converted.model_proto
    for key, value in metadata.items():
        proto.metadata_props.add(key=key, value=value)
    content = proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> list[Tensor]:
        return [torch.from_numpy(output) for output in session.run(None, {"images": images.numpy()})]

    return content, run


SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2"}
FORMATS: dict[str, Callable[..., tuple[bytes, Runner]]] = {"onnx": _onnx, "torch-export": _torch_export}
