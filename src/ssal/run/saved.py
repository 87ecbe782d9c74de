"""The `model/` folder of a run: weights in safetensors, everything else in JSON; no pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn

from ssal.branches import light_layout
from ssal.data import Preprocess
from ssal.errors import RunError, SsalError
from ssal.files import write_bytes, write_json, write_text
from ssal.grouping import Grouping
from ssal.joint import Exponents, LinearCombination
from ssal.model import Branch, SSALModel
from ssal.run.backbone import BackboneSpec, build_backbone
from ssal.selective import Selector, from_json, to_json

_BRANCHES = "branches."
_COMBINATION = "linear_combination."
_WEIGHTS, _DESCRIPTION, _README_FILE = "model.safetensors", "config.json", "README.md"
# What `save_model` writes for a model without a selector.
MODEL_FILES = frozenset({_WEIGHTS, _DESCRIPTION, _README_FILE})
_SELECTOR = "selective.json"

_Exponent = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _BranchEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    tap: str
    layout: str
    labels: tuple[int, ...]
    weight: float = Field(allow_inf_nan=False)
    exponent: _Exponent
    fused: bool = False
    summed: bool = False


class _Description(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    format: int
    ssal: str
    backbone: BackboneSpec
    class_names: tuple[str, ...]
    preprocess: dict[str, Any]
    main_exponent: _Exponent
    branches: tuple[_BranchEntry, ...]
    sha256: str | None = None
    checksum: str | None = None


@dataclass(frozen=True)
class SavedModel:
    """A model with everything that a prediction needs.

    Attributes:
        model: backbone and branches, in evaluation mode; the backbone alone if read without branches.
        backbone: how the backbone is built.
        class_names: names of the C classes.
        preprocess: how an image becomes a tensor.
        exponents: η_0 and η_b of the joint prediction.
        combination: the linear combination, if one was fitted.
        selector: when to answer, if it was calibrated.
    """

    model: SSALModel
    backbone: BackboneSpec
    class_names: tuple[str, ...]
    preprocess: Preprocess
    exponents: Exponents
    combination: LinearCombination | None = None
    selector: Selector | None = None


# Its head is what the Hugging Face hub and its search read.
_README = """---
library_name: ssal
pipeline_tag: image-classification
tags: [ssal, image-classification, explainability]
---

# {name} with {branches}

Trained with ssal {version} on {classes} classes.

```python
import ssal

predictor = ssal.load("this folder")
print(predictor.predict("image.png"))
```

`model.safetensors` holds the weights, `config.json` how the network is built, the class names, the groups of
classes that each branch predicts, and the exponents of the joint prediction; `selective.json`, where there is
one, how many of some calibration images were answered, and how many wrongly, at each of some thresholds. None
of them can carry code.
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
            "layout": light_layout(tap.feature, fused=spec.fused)
            if spec.layout.strip() == "light"
            else spec.layout,
            "labels": spec.grouping.labels.tolist(),
            "weight": spec.weight,
            "exponent": exponent,
            "fused": spec.fused,
            "summed": spec.summed,
        }
        for spec, tap, exponent in zip(model.specs, model.taps, saved.exponents.branches, strict=True)
    ]
    weights = serialise(state)
    description: dict[str, Any] = {
        "format": 1,
        "ssal": version,
        "backbone": saved.backbone.model_dump(mode="json"),
        "class_names": list(saved.class_names),
        "preprocess": saved.preprocess.to_dict(),
        "main_exponent": saved.exponents.main,
        "branches": branches,
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    # Groups that are read off a branch are no further one.
    own = sum(not spec.summed for spec in model.specs)
    readme = _README.format(
        name=saved.backbone.name,
        branches=f"{own} {'branch' if own == 1 else 'branches'}",
        version=version,
        classes=len(saved.class_names),
    )
    write_bytes(folder / _WEIGHTS, weights)
    write_json(folder / _DESCRIPTION, description | {"checksum": _checksum(description)})
    write_text(folder / _README_FILE, readme)
    if saved.selector is not None:
        save_selector(folder, saved.selector)


def save_selector(folder: Path, selector: Selector) -> None:
    """Write when to answer to the `model/` folder."""
    write_text(folder / _SELECTOR, to_json(selector))


def _load_selector(folder: Path) -> Selector | None:
    path = folder / _SELECTOR
    try:
        return from_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in fault["loc"])
        reason = f"{place} {fault['msg']}".strip()
        raise RunError(f"{path} is damaged or of another version of ssal: {reason}") from None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error}") from None


def _describe(folder: Path) -> _Description:
    path = folder / _DESCRIPTION
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
    except OSError as error:
        raise RunError(f"cannot read {path}: {error}") from None


def _weights(path: Path, without: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """The weights in a file but for those whose names begin as told."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if not name.startswith(without)}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise RunError(f"cannot read weights from {path}: {error}") from None


def _check_digest(path: Path, expected: str | None) -> None:
    if expected is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise RunError(f"{path} is damaged or was changed: its checksum is not that in config.json")


def _checksum(description: Mapping[str, Any]) -> str:
    """Of all entries but itself: a digit that a fault has changed is a number like any other."""
    rest = {key: value for key, value in description.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _check_description(path: Path, expected: str | None) -> None:
    if expected is not None and _checksum(json.loads(path.read_bytes())) != expected:
        raise RunError(f"{path} is damaged or was changed; to use it as it is, remove its checksum")


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
        if tensor.is_floating_point() != expected[name].is_floating_point():
            raise RunError(f"weight {name!r} in {path} has type {tensor.dtype}, not {expected[name].dtype}")


def load_model(
    folder: Path, backbone: Callable[..., nn.Module] | None = None, *, branches: bool = True
) -> SavedModel:
    """Read what `save_model` wrote.

    Args:
        folder: the `model/` folder of a run.
        backbone: function from `num_classes` to the backbone, for models whose backbone is no named network.
        branches: whether to read and build the branches, and what can only be used with them.

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
    path = folder / _WEIGHTS
    state = _weights(path) if branches else _weights(path, without=(_BRANCHES, _COMBINATION))
    entries = description.branches if branches else ()
    combination = {name: state.pop(name) for name in list(state) if name.startswith(_COMBINATION)}
    try:
        preprocess = Preprocess.from_dict(description.preprocess)
        if (preprocess.channels, *preprocess.image_size) != (spec.in_chans, *spec.input_size):
            raise RunError("its preprocessing makes other images than its backbone takes")
        specs = [_branch(entry, description.class_names) for entry in entries]
        if backbone is None:
            _check_plan(path, spec, specs, state)
        model = _build(spec, specs, backbone)
    except SsalError as error:
        raise RunError(f"the model in {folder} cannot be built: {error}") from None
    except Exception as error:
        # Sizes that a network cannot have make it fail in ways of its own.
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise RunError(f"the model in {folder} cannot be built: {reason}") from None
    _check_fit(path, model, state)
    _check_digest(path, description.sha256)
    _check_description(folder / _DESCRIPTION, description.checksum)
    model.load_state_dict(state)
    return SavedModel(
        model=model.eval(),
        backbone=spec,
        class_names=description.class_names,
        preprocess=preprocess,
        exponents=Exponents(description.main_exponent, tuple(entry.exponent for entry in entries)),
        combination=_combination(combination, model),
        selector=_load_selector(folder) if branches else None,
    )


def _build(
    spec: BackboneSpec, branches: Sequence[Branch], backbone: Callable[..., nn.Module] | None
) -> SSALModel:
    return SSALModel(build_backbone(spec, backbone), branches, (spec.in_chans, *spec.input_size))


def _check_plan(path: Path, spec: BackboneSpec, branches: Sequence[Branch], state: dict[str, Tensor]) -> None:
    """Compare shapes without memory behind them: a small file must not make a network of any size."""
    try:
        with torch.device("meta"):
            planned = _build(spec, branches, None)
    except SsalError:
        raise
    except Exception:
        # Not every network can be planned; building it tells what is wrong, if anything is.
        return
    _check_fit(path, planned, state)


def _branch(entry: _BranchEntry, class_names: Sequence[str]) -> Branch:
    grouping = Grouping.from_labels(entry.labels, class_names=class_names)
    return Branch(entry.tap, grouping, entry.layout, entry.weight, entry.exponent, entry.fused, entry.summed)


def combination_shapes(model: SSALModel) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of a linear combination of all logits of a model."""
    classes = model.num_classes
    features = classes + sum(spec.grouping.num_groups for spec in model.specs)
    return {"weight": (classes, features), "bias": (classes,)}


def _combination(state: dict[str, Tensor], model: SSALModel) -> LinearCombination | None:
    if not state:
        return None
    parts = {name.removeprefix(_COMBINATION): tensor for name, tensor in state.items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in parts.items() if tensor.is_floating_point()}
    if shapes != combination_shapes(model):
        raise RunError("the linear combination saved with the model is for other classes or branches")
    return LinearCombination(parts["weight"], parts["bias"])
