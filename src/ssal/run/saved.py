"""The `model/` folder of a run: weights in safetensors, everything else in JSON; no pickle."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor, nn

from ssal.backbones import create_backbone
from ssal.branches import light_layout
from ssal.data import Preprocess
from ssal.errors import RunError, SsalError
from ssal.files import write_bytes, write_json, write_text
from ssal.grouping import Grouping
from ssal.joint import Exponents, LinearCombination
from ssal.model import Branch, SSALModel

_COMBINATION = "linear_combination."


class BackboneSpec(BaseModel):
    """How to build the backbone."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    num_classes: int
    in_chans: int
    input_size: tuple[int, int]
    width: int | None = None


class _BranchEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    tap: str
    layout: str
    labels: tuple[int, ...]
    weight: float
    exponent: float


class _Description(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    format: int
    ssal: str
    backbone: BackboneSpec
    class_names: tuple[str, ...]
    preprocess: dict[str, Any]
    main_exponent: float
    branches: tuple[_BranchEntry, ...]


@dataclass(frozen=True)
class SavedModel:
    """A model with everything that a prediction needs.

    Attributes:
        model: backbone and branches, in evaluation mode.
        backbone: how the backbone is built.
        class_names: names of the C classes.
        preprocess: how an image becomes a tensor.
        exponents: η_0 and η_b of the joint prediction.
        combination: the linear combination, if one was fitted.
    """

    model: SSALModel
    backbone: BackboneSpec
    class_names: tuple[str, ...]
    preprocess: Preprocess
    exponents: Exponents
    combination: LinearCombination | None = None


_README = """# {name} with {branches} branches

Trained with ssal {version} on {classes} classes.

```python
import ssal

predictor = ssal.load("this folder")
print(predictor.predict("image.png"))
```

`model.safetensors` holds the weights, `config.json` how the network is built, the class names, the groups of
classes that each branch predicts, and the exponents of the joint prediction. Neither can carry code.
"""


def save_model(folder: Path, saved: SavedModel, version: str) -> None:
    """Write weights, description and a short README to `folder`.

    Raises:
        OSError: a file cannot be written; files are replaced one by one, each whole.
    """
    model = saved.model
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    if saved.combination is not None:
        state[_COMBINATION + "weight"] = saved.combination.weight.contiguous()
        state[_COMBINATION + "bias"] = saved.combination.bias.contiguous()
    branches = [
        {
            "tap": spec.tap,
            # The text, not the name: what `light` stands for may change.
            "layout": light_layout(tap.feature) if spec.layout.strip() == "light" else spec.layout,
            "labels": spec.grouping.labels.tolist(),
            "weight": spec.weight,
            "exponent": exponent,
        }
        for spec, tap, exponent in zip(model.specs, model.taps, saved.exponents.branches, strict=True)
    ]
    description = {
        "format": 1,
        "ssal": version,
        "backbone": saved.backbone.model_dump(mode="json"),
        "class_names": list(saved.class_names),
        "preprocess": saved.preprocess.to_dict(),
        "main_exponent": saved.exponents.main,
        "branches": branches,
    }
    readme = _README.format(
        name=saved.backbone.name, branches=len(branches), version=version, classes=len(saved.class_names)
    )
    write_bytes(folder / "model.safetensors", serialise(state))
    write_json(folder / "config.json", description)
    write_text(folder / "README.md", readme)


def _describe(folder: Path) -> _Description:
    path = folder / "config.json"
    try:
        return _Description.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise RunError(f"no model in {folder}: {path.name} is missing") from None
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in fault["loc"])
        raise RunError(
            f"{path} is no description of a model: {place} {fault['msg']}".replace("  ", " ")
        ) from None
    except (OSError, json.JSONDecodeError) as error:
        raise RunError(f"cannot read {path}: {error}") from None


def _weights(folder: Path) -> dict[str, Tensor]:
    path = folder / "model.safetensors"
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunError(f"cannot read weights from {path}: {error}") from None


def _check_fit(path: Path, model: nn.Module, state: dict[str, Tensor]) -> None:
    expected = model.state_dict()
    for name in sorted(expected.keys() ^ state.keys()):
        where = "missing from" if name in expected else "not expected in"
        raise RunError(f"weight {name!r} is {where} {path}: it belongs to another network")
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape:
            raise RunError(
                f"weight {name!r} in {path} has shape {tuple(tensor.shape)}, "
                f"the network needs {tuple(expected[name].shape)}"
            )


def build_backbone(spec: BackboneSpec, factory: Callable[..., nn.Module] | None = None) -> nn.Module:
    """Build the backbone that `spec` describes, without weights.

    Raises:
        RunError: it is made by a function, which was not passed as `factory`.
    """
    if factory is not None:
        return factory(num_classes=spec.num_classes)
    if ":" in spec.name:
        # A model folder that was passed around must not choose which code is imported.
        raise RunError(
            f"the backbone is made by {spec.name!r}; to allow it, pass it as backbone=… or --model"
        )
    return create_backbone(
        spec.name, spec.num_classes, in_chans=spec.in_chans, input_size=spec.input_size, width=spec.width
    )


def load_model(folder: Path, backbone: Callable[..., nn.Module] | None = None) -> SavedModel:
    """Read what `save_model` wrote.

    Args:
        folder: the `model/` folder of a run.
        backbone: function from `num_classes` to the backbone, for models whose backbone is no named network.

    Raises:
        RunError: a file is missing or damaged, or the weights are those of another network.
    """
    description = _describe(folder)
    if description.format != 1:
        raise RunError(f"{folder} has format {description.format}; this version of ssal reads format 1")
    spec = description.backbone
    if len(description.class_names) != spec.num_classes:
        raise RunError(
            f"{folder} names {len(description.class_names)} classes for {spec.num_classes} outputs"
        )
    state = _weights(folder)
    combination = {name: state.pop(name) for name in list(state) if name.startswith(_COMBINATION)}
    try:
        preprocess = Preprocess.from_dict(description.preprocess)
        branches = [_branch(entry, description.class_names) for entry in description.branches]
        model = SSALModel(build_backbone(spec, backbone), branches, (spec.in_chans, *spec.input_size))
    except SsalError as error:
        raise RunError(f"the model in {folder} cannot be built: {error}") from None
    _check_fit(folder / "model.safetensors", model, state)
    model.load_state_dict(state)
    return SavedModel(
        model=model.eval(),
        backbone=spec,
        class_names=description.class_names,
        preprocess=preprocess,
        exponents=Exponents(
            description.main_exponent, tuple(entry.exponent for entry in description.branches)
        ),
        combination=_combination(combination, len(description.class_names)),
    )


def _branch(entry: _BranchEntry, class_names: Sequence[str]) -> Branch:
    grouping = Grouping.from_labels(entry.labels, class_names=class_names)
    return Branch(entry.tap, grouping, entry.layout, entry.weight, entry.exponent)


def _combination(state: dict[str, Tensor], classes: int) -> LinearCombination | None:
    if not state:
        return None
    parts = {name.removeprefix(_COMBINATION): tensor for name, tensor in state.items()}
    if (
        set(parts) != {"weight", "bias"}
        or parts["bias"].shape != (classes,)
        or len(parts["weight"]) != classes
    ):
        raise RunError("the linear combination saved with the model is for other classes")
    return LinearCombination(parts["weight"], parts["bias"])
