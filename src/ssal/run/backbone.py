"""How the backbone of a model is built, as plain values that can be kept beside its weights."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from ssal.backbones import create_backbone, named_arguments
from ssal.errors import RunError


class BackboneSpec(BaseModel):
    """How to build the backbone."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    num_classes: int = Field(ge=1)
    in_chans: int
    input_size: tuple[int, int]
    width: int | None = Field(default=None, ge=1)


def build_backbone(spec: BackboneSpec, factory: Callable[..., nn.Module] | None = None) -> nn.Module:
    """Build the backbone that `spec` describes, without weights.

    A factory is told what it was told in the training: `num_classes`, and the channels (`in_chans`), the size
    (`img_size`) and the `width` as far as its signature names them.

    Raises:
        RunError: it is made by a function, which was not passed as `factory`.
    """
    if factory is not None:
        told = {"in_chans": spec.in_chans, "img_size": spec.input_size, "width": spec.width}
        return factory(num_classes=spec.num_classes, **named_arguments(factory, told))
    if ":" in spec.name:
        # A model folder that was passed around must not choose which code is imported.
        raise RunError(
            f"the backbone is made by {spec.name!r}; to allow it, pass it as backbone=… or --model"
        )
    return create_backbone(
        spec.name, spec.num_classes, in_chans=spec.in_chans, input_size=spec.input_size, width=spec.width
    )
