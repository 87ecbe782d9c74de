"""What all the networks here share: timm's registry entry, and the initial weights."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

import timm
from timm.models import generate_default_cfgs, register_model
from torch import nn

from ssal.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")

CIFAR100_MEAN = (0.5071, 0.4865, 0.4409)
CIFAR100_STD = (0.2673, 0.2564, 0.2762)


def cifar_cfgs(names: Iterable[str], *, first_conv: str, classifier: str) -> dict[str, Any]:
    """Return timm's default configurations for networks made for CIFAR-100.

    Args:
        names: the names to be registered.
        first_conv: dotted name of the convolution that reads the image.
        classifier: dotted name of the last linear layer.

    Returns:
        what timm looks for in a module under the name `default_cfgs`.
    """
    cfg: dict[str, Any] = {
        "input_size": (3, 32, 32),
        "num_classes": 100,
        "pool_size": None,
        "crop_pct": 1.0,
        "interpolation": "bicubic",
        "mean": CIFAR100_MEAN,
        "std": CIFAR100_STD,
        "first_conv": first_conv,
        "classifier": classifier,
        "license": "apache-2.0",
    }
    return generate_default_cfgs(dict.fromkeys(names, cfg))


def register(build: Callable[P, R]) -> Callable[P, R]:
    """Register a network with timm under the name of its function; silent when its own module is reloaded."""
    name = build.__name__
    known = timm.is_model(name) and timm.model_entrypoint(name).__module__ == build.__module__
    with warnings.catch_warnings():
        if known:
            warnings.filterwarnings("ignore", message=f"Overwriting {name} in registry")
        return register_model(build)


def check_width(width: int, step: int = 1) -> None:
    """Refuse a width that no network can have.

    Args:
        width: channels of the first stage (growth rate for DenseNet).
        step: the width must be a multiple of this.

    Raises:
        InputError: the width is not a positive multiple of `step`.
    """
    if width < 1 or width % step:
        allowed = "a positive even number" if step == 2 else "1 or more"
        raise InputError(f"width is {width}, but must be {allowed}")


def initialise_fan_out(module: nn.Module) -> None:
    """Give every convolution the weights of He et al. 2015 with `fan_out`, and every bias the value 0.

    Norms keep torch's own start, scale 1 and shift 0, and linear layers theirs for the weights.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
