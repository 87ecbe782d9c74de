"""Parts of a backbone, whatever it is: its maps at some layers, its classifier, what comes before a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ssal.errors import InputError
from ssal.taps import TapStore, attach, find_layer, output_size, probe_taps, tappable_layers, to_maps


class TappedBackbone(nn.Module):
    """A backbone that also hands out what its taps read.

    Args:
        backbone: any module from [N, *input_shape] to [N, D].
        names: layers to read; the same one may be named twice.
        input_shape: shape of one sample.

    Attributes:
        shapes: what each tap delivers.

    Raises:
        InputError: a layer does not exist or cannot be read.
    """

    def __init__(self, backbone: nn.Module, names: Sequence[str], input_shape: Sequence[int]) -> None:
        super().__init__()
        self.shapes = probe_taps(backbone, names, input_shape)
        self.backbone = backbone
        self._store = TapStore()
        attach(backbone, sorted(set(names)), self._store)

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Output of the backbone, and maps [N, C, H, W] or vectors [N, C], one tensor for each tap."""
        features = self._store.outputs
        features.clear()
        output = self.backbone(images)
        maps = tuple(to_maps(features[shape.name], shape) for shape in self.shapes)
        features.clear()
        return output, maps


class _Trace:
    """What a trial run of a network did.

    Attributes:
        started: names of the layers in the order in which they started; '' is the network itself.
        outputs: what each layer put out.
        result: what the run returned.
    """

    def __init__(self, model: nn.Module) -> None:
        self.names = {module: name for name, module in model.named_modules()}
        self.started: list[str] = []
        self.outputs = TapStore()
        self.result: Any = None

    def note(self, module: nn.Module, args: Any) -> None:
        self.started.append(self.names[module])


def _trace(
    model: nn.Module, input_shape: Sequence[int], run: Callable[[Tensor], Any] | None = None
) -> _Trace:
    """Send two blank samples through `model`, or a method of it; hooks and modes are left as they were."""
    trace = _Trace(model)
    modes = {module: module.training for module in trace.names}
    handles = [module.register_forward_pre_hook(trace.note) for module in trace.names]
    handles += attach(model, [name for name in trace.names.values() if name], trace.outputs)
    tensor = next(model.parameters())
    samples = torch.zeros((2, *input_shape), device=tensor.device, dtype=tensor.dtype)
    try:
        with torch.no_grad():
            model.eval()
            trace.result = (run or model)(samples)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return trace


class _Skip(nn.Module):
    """The identity, whatever else it is given."""

    def forward(self, maps: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return maps


def classifier_name(model: nn.Module, input_shape: Sequence[int]) -> str:
    """Name of the linear layer that delivers the logits.

    >>> classifier_name(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3), nn.Dropout()), (6,))
    '2'

    Raises:
        InputError: the last layer with weights is not linear, or changes the number of its outputs.
    """
    classes = output_size(model, input_shape)
    layers = dict(model.named_modules())
    started = [name for name in _trace(model, input_shape).started if name]
    weighted = [name for name in started if list(layers[name].parameters(recurse=False))]
    last = layers[weighted[-1]] if weighted else model
    if not isinstance(last, nn.Linear) or last.out_features != classes:
        raise InputError(
            f"{type(model).__name__} does not end in a linear layer, so its pooled features cannot be found"
        )
    return weighted[-1]


def without_classifier(backbone: nn.Module, input_shape: Sequence[int]) -> tuple[nn.Module, int]:
    """Take the classifier off, in place.

    Returns:
        the backbone, which now delivers its pooled features [N, D], and D.

    Raises:
        InputError: the last layer with weights is not linear.
    """
    name = classifier_name(backbone, input_shape)
    backbone.set_submodule(name, nn.Identity())
    return backbone, output_size(backbone, input_shape)


def deepest_maps(model: nn.Module, input_shape: Sequence[int]) -> str:
    """Name of the layer whose output is pooled for the classifier.

    That is the layer whose output timm's `forward_features` hands out; for networks without that, the last
    layer with weights that delivers maps or tokens.

    Raises:
        InputError: no layer delivers maps.
    """
    shapes = [shape for shape in tappable_layers(model, input_shape) if shape.format != "NC"]
    stem = getattr(model, "forward_features", None)
    if callable(stem):
        trace = _trace(model, input_shape, stem)
        names = [shape.name for shape in shapes if trace.outputs.outputs.get(shape.name) is trace.result]
    else:
        layers = dict(model.named_modules())
        names = [shape.name for shape in shapes if next(layers[shape.name].parameters(), None) is not None]
    if not names:
        raise InputError(f"no layer of {type(model).__name__} delivers maps for an auxiliary classifier")
    return names[-1]


def cut_after(backbone: nn.Module, tap: str, input_shape: Sequence[int]) -> nn.Module:
    """Replace, in place, all layers that start after `tap` by the identity; what is left is a stem.

    Raises:
        InputError: the layer does not exist or is not reached, or the rest of the network needs the shapes of
            the layers that were taken out.
    """
    find_layer(backbone, tap)
    started = _trace(backbone, input_shape).started
    if tap not in started:
        raise InputError(f"layer {tap!r} takes no part in the forward pass, so nothing can be cut there")
    inside = tuple(name for name in started if name == tap or name.startswith(f"{tap}."))
    last = max(started.index(name) for name in inside)
    before = set(started[: last + 1])
    after = {name for name in started if name not in before}
    for name in after:
        parts = name.split(".")
        # The outermost layer that starts after the tap goes as a whole, with those inside it.
        if not after.intersection(".".join(parts[:depth]) for depth in range(1, len(parts))):
            backbone.set_submodule(name, _Skip())
    try:
        probe_taps(backbone, [tap], input_shape)
    except (InputError, TypeError, AttributeError, IndexError) as error:
        if isinstance(error, InputError) and error.__cause__ is None:
            raise
        raise InputError(
            f"{type(backbone).__name__} cannot be cut after {tap!r}: what follows needs its own layers"
        ) from None
    return backbone
