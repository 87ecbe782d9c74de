"""A model that was trained in a loop of one's own, kept like that of a run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from ssal.backbones import create_backbone
from ssal.data import Preprocess
from ssal.errors import InputError
from ssal.joint import Exponents, LinearCombination
from ssal.model import SSALModel
from ssal.run.backbone import BackboneSpec
from ssal.run.saved import MODEL_FILES, SavedModel, combination_shapes, save_model


def save(
    model: SSALModel,
    out: str | Path,
    *,
    backbone: str,
    class_names: Sequence[str],
    preprocess: Preprocess,
    width: int | None = None,
    exponents: Exponents | None = None,
    combination: LinearCombination | None = None,
) -> Path:
    """Write a model that was trained elsewhere so that `ssal.load` reads it: safetensors and JSON, no pickle.

    Args:
        model: backbone and branches.
        out: the folder; it is made where it is not there, and a model that `save` wrote before is replaced.
        backbone: how the backbone is named by timm, or `package.module:callable`. A callable is not called by
            its name on loading, since a folder must not choose which code runs: `ssal.load` is given it.
        class_names: names of the C classes, in the order of their ids.
        preprocess: how an image becomes a tensor.
        width: what the backbone was built with, where it takes one.
        exponents: of the joint prediction, see `fit_exponents`; those of the branches by default.
        combination: the linear combination, where one was fitted.

    Returns:
        The folder.

    Raises:
        InputError: names, sizes, exponents or weights do not fit the model, or the folder holds other things.
        OSError: a file cannot be written; files are replaced one by one, each whole.
    """
    folder = Path(out)
    _check_free(folder)
    names = tuple(map(str, class_names))
    _check_names(names, model.num_classes)
    shape = (preprocess.channels, *preprocess.image_size)
    if shape != model.input_shape:
        raise InputError(f"preprocess makes images of {[*shape]}, the model takes {[*model.input_shape]}")
    found = exponents or model.exponents
    _check_exponents(found, len(model.specs))
    if combination is not None:
        _check_combination(combination, model)
    _check_backbone(model, backbone, width)
    spec = BackboneSpec(
        name=backbone,
        num_classes=model.num_classes,
        in_chans=preprocess.channels,
        input_size=preprocess.image_size,
        width=width,
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder, SavedModel(model, spec, names, preprocess, found, combination), version("ssal"))
    return folder


def _check_free(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(folder)!r} is a file; a folder is wanted")
    others = sorted({path.name for path in folder.iterdir()} - MODEL_FILES) if folder.is_dir() else []
    if others:
        raise InputError(
            f"{str(folder)!r} holds {others[0]!r}, which is no part of a model; name another folder"
        )


def _check_names(names: tuple[str, ...], classes: int) -> None:
    if len(names) != classes:
        raise InputError(f"{len(names)} class names for {classes} classes")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"class names must differ from each other; {twice[0]!r} is there twice")


def _check_exponents(exponents: Exponents, branches: int) -> None:
    if len(exponents.branches) != branches:
        raise InputError(f"{len(exponents.branches)} exponents for {branches} branches")
    for value in (exponents.main, *exponents.branches):
        if not 0 <= value < math.inf:
            raise InputError(f"exponents must be numbers from 0 on, not {value}")


def _check_combination(combination: LinearCombination, model: SSALModel) -> None:
    shapes = {"weight": tuple(combination.weight.shape), "bias": tuple(combination.bias.shape)}
    for name, wanted in combination_shapes(model).items():
        if shapes[name] != wanted:
            raise InputError(
                f"the {name} of the linear combination has shape {[*shapes[name]]}, not {[*wanted]}"
            )


def _check_backbone(model: SSALModel, name: str, width: int | None) -> None:
    """Compare with what loading will build: names and shapes of weights must be the same."""
    channels, *size = model.input_shape
    built = create_backbone(
        name, model.num_classes, in_chans=channels, input_size=(size[0], size[1]), width=width
    )
    given, expected = (
        {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
        for network in (model.backbone, built)
    )
    for key in sorted(given.keys() ^ expected.keys()):
        whose, other = ("the model", repr(name)) if key in given else (repr(name), "the model")
        raise InputError(f"the backbone is not {name!r}: {whose} has a weight {key!r}, {other} has none")
    for key, wanted in expected.items():
        if given[key] != wanted:
            raise InputError(
                f"the backbone is not {name!r} as built from its name: {key!r} has shape {[*given[key]]}, "
                f"not {[*wanted]}"
            )
