"""A name to a network: timm's, ours, or a function in somebody else's package."""

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import timm
from torch import nn

from ssal.errors import InputError, unknown_name

_PACKAGE = __name__.rpartition(".")[0]
_NAME = r"[^\W\d]\w*"
_PATH_TO_CALLABLE = re.compile(rf"(?P<module>{_NAME}(\.{_NAME})*):(?P<attribute>{_NAME}(\.{_NAME})*)")


def list_backbones() -> list[str]:
    """Return the names of the networks that this package registers with timm, sorted.

    >>> [name for name in list_backbones() if "wrn" in name]
    ['se_wrn16_8', 'wrn16_2', 'wrn28_10']
    """
    return [
        name
        for name in timm.list_models()
        if timm.model_entrypoint(name).__module__.startswith(f"{_PACKAGE}.")
    ]


def create_backbone(
    name: str,
    num_classes: int,
    in_chans: int = 3,
    input_size: tuple[int, int] | None = None,
    width: int | None = None,
    pretrained: bool = False,
) -> nn.Module:
    """Build the network of a name.

    A network of timm's is asked for `input_size` only where it fixes its input (vision transformers and the
    like). A callable gets `num_classes`, and the other arguments as far as its signature names them
    (`in_chans`, `img_size`, `width`, `pretrained`); `**kwargs` alone does not count as naming.

    Args:
        name: a name of timm's, with or without a tag of weights, one of `list_backbones()`, or
            `package.module:callable`.
        num_classes: C, the number of logits; 0 for a network without classifier.
        in_chans: channels of the images.
        input_size: height and width of the images in pixels.
        width: channels of the first stage, for networks that take it; their default if None.
        pretrained: load the published weights, which timm downloads where it does not have them yet.

    Returns:
        a network that takes [N, in_chans, H, W] to [N, C], in training mode.

    Raises:
        InputError: the name is unknown, the callable cannot be used, a number is out of range, or the network
            takes no `width` or has no weights, or they cannot be downloaded.

    >>> create_backbone("resnet18_cifar", num_classes=10, width=16).num_features
    128
    """
    if num_classes < 0 or in_chans < 1:
        raise InputError(
            f"num_classes is {num_classes} and in_chans {in_chans}, but must be at least 0 and 1 respectively"
        )
    if ":" in name:
        asked = {
            "in_chans": in_chans,
            "img_size": input_size,
            "width": width,
            "pretrained": pretrained or None,
        }
        return _from_callable(name, num_classes, asked)
    architecture = _check_timm_name(name, width, pretrained)
    cfg = timm.get_pretrained_cfg(architecture)
    fixed_size = cfg is not None and cfg.fixed_input_size
    try:
        return timm.create_model(
            name,
            pretrained=pretrained,
            num_classes=num_classes,
            in_chans=in_chans,
            img_size=input_size if fixed_size else None,
            width=width,
        )
    except OSError as error:
        if not pretrained:
            raise
        raise InputError(
            f"the published weights of {name!r} are not on this machine and cannot be downloaded "
            f"({type(error).__name__}); without a connection, name a file of them with --weights"
        ) from error


def _check_timm_name(name: str, width: int | None, pretrained: bool) -> str:
    """Return the architecture of a name that timm knows, or raise the error that says what is wrong."""
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise unknown_name("model", architecture, timm.list_models())
    # Empty for a name that timm has retired: it then finds the successor, and its weights, by itself.
    tagged = timm.list_models(architecture, include_tags=True)
    if tag and tagged and name not in tagged:
        raise unknown_name("pretrained model", name, tagged)
    if pretrained and tagged and not timm.is_model_pretrained(name):
        raise InputError(f"model {name!r} has no published weights, but pretrained ones were asked for")
    if width is not None and "width" not in inspect.signature(timm.model_entrypoint(name)).parameters:
        raise InputError(f"model {name!r} takes no width; these do: {', '.join(list_backbones())}")
    return architecture


def backbone_maker(name: str) -> Callable[..., nn.Module]:
    """`create_backbone` of a name, as a function like those that somebody's `package.module:callable` is."""

    def make(
        num_classes: int,
        in_chans: int = 3,
        img_size: tuple[int, int] | None = None,
        width: int | None = None,
    ) -> nn.Module:
        return create_backbone(name, num_classes, in_chans, img_size, width)

    return make


def _parameters(build: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(build).parameters
    except ValueError:  # some callables written in C do not tell their signature
        return {}


def named_arguments(build: Callable[..., object], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Those of some arguments that are given and that the signature of a callable names."""
    parameters = _parameters(build)
    return {key: value for key, value in asked.items() if value is not None and key in parameters}


def _from_callable(path: str, num_classes: int, asked: dict[str, Any]) -> nn.Module:
    """Call `package.module:callable` with `num_classes` and what else it names, and check what it returns."""
    build = _find_callable(path)
    parameters = _parameters(build)
    if "num_classes" not in parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise InputError(
            f"model {path!r} takes no argument 'num_classes', which is how it is told the classes"
        )
    refused = [key for key in ("width", "pretrained") if asked[key] is not None and key not in parameters]
    if refused:
        raise InputError(f"model {path!r} takes no argument {refused[0]!r}, but {refused[0]} was asked for")
    network = build(num_classes=num_classes, **named_arguments(build, asked))
    if not isinstance(network, nn.Module):
        raise InputError(f"model {path!r} returned no torch.nn.Module, but {type(network).__name__}")
    return network


def _find_callable(path: str) -> Callable[..., object]:
    match = _PATH_TO_CALLABLE.fullmatch(path)
    if match is None:
        raise InputError(
            f"model {path!r} is neither a name known to timm nor of the form 'package.module:callable'"
        )
    module = match["module"]
    try:
        found: object = importlib.import_module(module)
    except ModuleNotFoundError as error:
        # Only for the module asked for: one that it imports and lacks is another fault, left to be seen.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise InputError(
            f"model {path!r}: no module {error.name!r} on the import path; install it or set PYTHONPATH"
        ) from error
    for attribute in match["attribute"].split("."):
        if not hasattr(found, attribute):
            public = [
                key for key, value in vars(found).items() if callable(value) and not key.startswith("_")
            ]
            raise unknown_name(f"callable in {module!r}", attribute, public)
        found = getattr(found, attribute)
    if not callable(found):
        raise InputError(f"model {path!r} cannot be called: its type is {type(found).__name__}")
    return found
