"""The `--model` option of verbs that load a run whose backbone somebody's function makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def backbone_factory(name: str | None) -> Callable[..., nn.Module] | None:
    """The function behind `name`, as `ssal.load` takes it; None for none."""
    if name is None:
        return None
    from ssal.backbones import backbone_maker

    return backbone_maker(name)
