"""Taps: named layers of any `nn.Module` whose output a branch reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ssal.errors import InputError, unknown_name
from ssal.modes import evaluating

Format = Literal["NCHW", "NHWC", "NLC", "NC"]

_OUTPUT = ""
_OVERWRITTEN = object()


@dataclass(frozen=True)
class TapShape:
    """What one tap delivers: its own memory format and the sizes after `to_maps`.

    Attributes:
        name: dotted name of the layer.
        format: how the layer lays out its output; `NLC` are tokens, `NC` flat vectors.
        channels: C.
        height: rows of the map; 1 for flat vectors.
        width: columns of the map; 1 for flat vectors.
        prefix_tokens: class and register tokens in front of the grid (`NLC` only).
    """

    name: str
    format: Format
    channels: int
    height: int = 1
    width: int = 1
    prefix_tokens: int = 0

    @property
    def feature(self) -> tuple[int, ...]:
        """Shape of one sample after `to_maps`: (C, H, W), or (C,) for flat vectors."""
        return (self.channels,) if self.format == "NC" else (self.channels, self.height, self.width)


def to_maps(feature: Tensor, shape: TapShape) -> Tensor:
    """Bring a tapped output to [N, C, H, W]; flat vectors stay [N, C].

    Prefix tokens are dropped, since they have no place in the image.
    """
    match shape.format:
        case "NHWC":
            return feature.permute(0, 3, 1, 2)
        case "NLC":
            grid = feature[:, shape.prefix_tokens :]
            return grid.transpose(1, 2).unflatten(2, (shape.height, shape.width))
        case _:
            return feature


class TapStore:
    """The outputs of tapped layers during one forward pass, by layer name.

    An object of its own and no bare dict: `torch.export` puts copies in the place of containers that it finds
    among a model's attributes, and the hooks would go on writing to the old one.
    """

    def __init__(self) -> None:
        self.outputs: dict[str, Any] = {}


class TapHook:
    """Forward hook that puts a layer's output into a store shared with its owner.

    A plain class instead of a closure, so that models with hooks can be copied and pickled: `deepcopy`
    maps hook and owner to the same new store.
    """

    def __init__(self, name: str, store: TapStore) -> None:
        self.name = name
        self.store = store

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        """Keep `output`; called by PyTorch after each forward pass of the layer."""
        self.store.outputs[self.name] = output


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """Return the submodule called `name`.

    Raises:
        InputError: there is none; the nearest names are shown.
    """
    layers = dict(model.named_modules())
    if not name or name not in layers:
        raise unknown_name("layer", name, [key for key in layers if key])
    return layers[name]


def attach(model: nn.Module, names: Sequence[str], store: TapStore) -> list[Any]:
    """Hook the layers `names`, writing their outputs to `store`; returns the removable handles."""
    return [find_layer(model, name).register_forward_hook(TapHook(name, store)) for name in names]


class _Versions:
    """Forward hooks that note how often a layer's output was written to when the layer was done."""

    def __init__(self) -> None:
        self.noted: dict[str, int] = {}

    def hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(module: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not output.is_inference():
                self.noted[name] = output._version

        return note

    def overwritten(self, outputs: Mapping[str, Any]) -> set[str]:
        """Layers whose output another layer has written to since."""
        return {name for name, version in self.noted.items() if outputs[name]._version != version}


def _run(model: nn.Module, names: Sequence[str], input_shape: Sequence[int]) -> dict[str, Any]:
    """Outputs of the layers `names` for two blank samples, in order of execution.

    In the place of one that is overwritten by what comes after, as by a ReLU in place, stands `_OVERWRITTEN`.
    """
    store, versions = TapStore(), _Versions()
    tensor = next(iter(model.parameters()), torch.zeros(()))
    sample = torch.zeros((2, *input_shape), device=tensor.device, dtype=tensor.dtype)
    handles = attach(model, names, store)
    handles += [find_layer(model, name).register_forward_hook(versions.hook(name)) for name in names]
    try:
        with evaluating(model):
            store.outputs[_OUTPUT] = model(sample)
    except (RuntimeError, AssertionError, ValueError) as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        shape = "×".join(map(str, input_shape))
        raise InputError(f"{type(model).__name__} cannot be run on samples of {shape}: {said}") from error
    finally:
        for handle in handles:
            handle.remove()
    return store.outputs | dict.fromkeys(versions.overwritten(store.outputs), _OVERWRITTEN)


def _square(length: int) -> int | None:
    side = math.isqrt(length) if length > 0 else 0
    return side if side and side * side == length else None


def _token_grid(model: nn.Module, length: int) -> tuple[int, int, int]:
    """(prefix tokens, height, width) of a token sequence."""
    grid = getattr(getattr(model, "patch_embed", None), "grid_size", None)
    if isinstance(grid, tuple) and 0 <= length - grid[0] * grid[1] <= 16:
        return length - grid[0] * grid[1], int(grid[0]), int(grid[1])
    for prefix in (0, 1, 2, 5):
        if (side := _square(length - prefix)) is not None:
            return prefix, side, side
    return 0, 1, length


def _channels_last(model: nn.Module, sizes: Sequence[int], input_shape: Sequence[int]) -> bool:
    """Whether a 4-d output of trailing `sizes` is NHWC: which pair of sizes has the input's aspect ratio?"""
    aspect = math.log(input_shape[-2] / input_shape[-1])
    first, second, third = sizes
    error_nchw = abs(math.log(second / third) - aspect)
    error_nhwc = abs(math.log(first / second) - aspect)
    if error_nchw == error_nhwc:
        return getattr(model, "output_fmt", "NCHW") == "NHWC"
    return error_nhwc < error_nchw


def _shape_of(model: nn.Module, name: str, output: Any, input_shape: Sequence[int]) -> TapShape | None:
    if not isinstance(output, Tensor) or output.shape[:1] != (2,) or 0 in output.shape:
        return None
    sizes = tuple(int(size) for size in output.shape[1:])
    match sizes:
        case (channels,):
            return TapShape(name, "NC", channels)
        case (length, channels):
            prefix, height, width = _token_grid(model, length)
            return TapShape(name, "NLC", channels, height, width, prefix)
        case (_, _, _) if len(input_shape) == 3:
            if _channels_last(model, sizes, input_shape):
                return TapShape(name, "NHWC", sizes[2], sizes[0], sizes[1])
            return TapShape(name, "NCHW", *sizes)
        case _:
            return None


def probe_taps(model: nn.Module, names: Sequence[str], input_shape: Sequence[int]) -> tuple[TapShape, ...]:
    """Find what the layers `names` deliver, by one forward pass of two blank samples.

    Modes, gradients and hooks of `model` are left as they were, also after an error.

    Args:
        model: any module that takes [N, *input_shape].
        names: dotted layer names.
        input_shape: shape of one sample, such as (3, 32, 32).

    Raises:
        InputError: a layer does not exist, is not reached, delivers no tensor with the samples first, or one
            that another layer overwrites.
    """
    outputs = _run(model, names, input_shape)
    shapes: list[TapShape] = []
    for name in names:
        if name not in outputs:
            raise InputError(
                f"layer {name!r} takes no part in the forward pass, so nothing can be read there"
            )
        if outputs[name] is _OVERWRITTEN:
            raise InputError(
                f"what layer {name!r} delivers is overwritten in place by a layer after it, such as a ReLU "
                "with inplace=True, so that it cannot be read; name that layer, or the block around both"
            )
        shape = _shape_of(model, name, outputs[name], input_shape)
        if shape is None:
            got = (
                tuple(outputs[name].shape)
                if isinstance(outputs[name], Tensor)
                else type(outputs[name]).__name__
            )
            raise InputError(
                f"layer {name!r} delivers {got}; a tap must deliver one tensor [N, C, H, W], [N, H, W, C], "
                "[N, L, C] or [N, C]"
            )
        shapes.append(shape)
    return tuple(shapes)


def output_size(model: nn.Module, input_shape: Sequence[int]) -> int:
    """Number of classes C of a classifier, read off the logits [N, C] of a trial run.

    Raises:
        InputError: the model delivers something else.
    """
    shape = _shape_of(model, "output", _run(model, [], input_shape)[_OUTPUT], input_shape)
    if shape is None or shape.format != "NC":
        raise InputError(f"{type(model).__name__} is no classifier: it must deliver logits [N, C]")
    return shape.channels


def tappable_layers(model: nn.Module, input_shape: Sequence[int]) -> tuple[TapShape, ...]:
    """All layers of `model` that a branch can read, in order of execution."""
    names = [name for name, _ in model.named_modules() if name]
    outputs = _run(model, names, input_shape)
    shapes = (_shape_of(model, name, output, input_shape) for name, output in outputs.items() if name)
    return tuple(shape for shape in shapes if shape is not None)


def _stages(model: nn.Module) -> list[str]:
    """Names of the stages that timm's `feature_info` lists."""
    info = getattr(model, "feature_info", None)
    entries = getattr(info, "info", info)
    if not isinstance(entries, Sequence):
        return []
    names = [entry["module"] for entry in entries if isinstance(entry, Mapping) and "module" in entry]
    known = dict(model.named_modules())
    return [name for name in names if name in known]


def _behind_transitions(model: nn.Module, stages: Sequence[str]) -> list[str]:
    """The transitions in the place of dense blocks, as timm names them; other stages stay as they are.

    A transition leaves half of the channels on a quarter of the places; the network never sees what it drops.
    """
    known = {name for name, _ in model.named_modules()}
    behind = (stage.replace("denseblock", "transition") for stage in stages)
    chosen = (after if after in known else stage for stage, after in zip(stages, behind, strict=True))
    return list(dict.fromkeys(chosen))


def _blocks(model: nn.Module, input_shape: Sequence[int]) -> list[str]:
    """Children with parameters, those of containers one by one, as far as they can be tapped."""
    names: list[str] = []
    for name, child in model.named_children():
        inner = [f"{name}.{key}" for key, _ in child.named_children()]
        names += inner if isinstance(child, nn.Sequential | nn.ModuleList) else [name]
    layers = dict(model.named_modules())
    return [
        shape.name
        for shape in tappable_layers(model, input_shape)
        if shape.name in names and next(layers[shape.name].parameters(), None) is not None
    ]


def deepest_tap(model: nn.Module, input_shape: Sequence[int]) -> str:
    """The last stage of `model`, as `choose_taps` finds stages: the nearest to its classifier.

    Where there are only blocks and none delivers a map, it is the last but one, since the last is the
    classifier itself.

    Raises:
        InputError: the model has too few layers to choose from.
    """
    if stages := _stages(model):
        return stages[-1]
    shapes = probe_taps(model, _blocks(model, input_shape), input_shape)
    maps = [shape.name for shape in shapes if shape.format != "NC"]
    return maps[-1] if maps else choose_taps(model, 1, input_shape)[0]


def choose_taps(model: nn.Module, count: int, input_shape: Sequence[int]) -> tuple[str, ...]:
    """Choose `count` taps spread evenly over the depth of `model`, the last stage left out.

    The stages are those of timm's `feature_info` where there is one, otherwise the blocks found by a trial
    run. The deepest candidate is always among the chosen ones: deeper branches predict better (Figure 3).
    Of a DenseNet's stages the transition is read, at the start of the next block as in the paper.

    Raises:
        InputError: the model has too few layers to choose from.
    """
    candidates = _behind_transitions(model, _stages(model)[:-1])
    if len(candidates) < count:
        candidates = _behind_transitions(model, _blocks(model, input_shape)[:-1])
    if len(candidates) < count:
        raise InputError(
            f"{count} taps wanted, but only {len(candidates)} layers were found in "
            f"{type(model).__name__}; name the taps, or use fewer groups"
        )
    return tuple(candidates[-(-(index + 1) * len(candidates) // count) - 1] for index in range(count))
