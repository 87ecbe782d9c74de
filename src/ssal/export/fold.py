"""Batch norms become part of the convolutions before them: fewer operations, the same function."""

from __future__ import annotations

from torch import nn
from torch.export import ExportedProgram
from torch.fx import Node
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CONVOLUTIONS = ("aten.conv2d.default", "aten.convolution.default")
_NORMS = ("aten.batch_norm.default", "aten._native_batch_norm_legit_no_training.default")


def fold_batch_norms(network: nn.Module, program: ExportedProgram) -> int:
    """Fold each batch norm that follows a convolution into it, in place.

    Which follow is read off the traced graph: the output of the convolution must go nowhere else, and neither
    module may be used twice.

    Args:
        network: in evaluation mode.
        program: a trace of `network`.

    Returns:
        How many were folded.
    """
    names = {spec.arg.name: spec.target for spec in program.graph_signature.input_specs if spec.target}
    pairs = [
        (_owner(node.args[0], names), _owner(node, names))
        for node in program.graph.nodes
        if _is(node, _NORMS) and _is(node.args[0], _CONVOLUTIONS) and len(node.args[0].users) == 1
    ]
    modules = [name for pair in pairs for name in pair]
    folded = 0
    for convolution, norm in pairs:
        if convolution is None or norm is None or modules.count(convolution) > 1 or modules.count(norm) > 1:
            continue
        first, second = network.get_submodule(convolution), network.get_submodule(norm)
        # A subclass may do more than its parent, such as timm's norms with an activation.
        if type(first) is not nn.Conv2d or type(second) is not nn.BatchNorm2d:
            continue
        _replace(network, convolution, fuse_conv_bn_eval(first, second))
        _replace(network, norm, nn.Identity())
        folded += 1
    return folded


def _is(node: object, targets: tuple[str, ...]) -> bool:
    return isinstance(node, Node) and str(node.target) in targets


def _owner(node: object, names: dict[str, str]) -> str | None:
    """Name of the module whose weight an operation reads."""
    weight = node.args[1] if isinstance(node, Node) else None
    target = names.get(weight.name) if isinstance(weight, Node) else None
    return None if target is None else target.rpartition(".")[0]


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
