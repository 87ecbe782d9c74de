"""Settings of a training: YAML file < flags < `--set`, checked, all faults reported together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from ssal.config.faults import describe_faults
from ssal.config.keys import nested
from ssal.errors import InputError
from ssal.groupitems import check_item, group_parts
from ssal.safeyaml import load_yaml
from ssal.text import visible

# Settings are a few lines.
_LARGEST_FILE = 256 << 10
# How much of a value is repeated in an error.
_SHOWN = 120
# Defaults that follow the optimiser.
_LEARNING_RATE = {"sgd": 0.1, "adamw": 1e-3}
_WEIGHT_DECAY = {"sgd": 5e-4, "adamw": 0.05}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


def _split(value: object) -> object:
    """Let a comma-separated text stand for a list, as it comes from a flag."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [value] if isinstance(value, int | float) else value


def _split_layouts(value: object) -> object:
    return [part.strip() for part in value.split(";")] if isinstance(value, str) else value


def _split_groups(value: object) -> object:
    """Numbers among the parts become numbers; 'auto', 'all' and file names stay text."""
    parts = value if value == "auto" else _split(value)
    if isinstance(parts, list):
        items = cast("list[object]", parts)
        return [int(item) if isinstance(item, str) and item.isdecimal() else item for item in items]
    return parts


class BranchSettings(_Section):
    """How much the branches count.

    One number stands for all branches.
    """

    weights: Annotated[tuple[NonNegativeFloat, ...] | None, BeforeValidator(_split)] = Field(
        default=None,
        description="loss weights λ, one or one for each branch; if unset 0.5, for classes of fused ones 1",
    )
    exponents: Literal["fit"] | Annotated[tuple[NonNegativeFloat, ...], BeforeValidator(_split)] = Field(
        default="fit", description="exponents η of the joint prediction: 'fit' on held-out data, or given"
    )
    largest_exponent: float = Field(
        default=3.0, gt=0, description="upper bound of fitted exponents, against overconfidence on few images"
    )
    main_weight: float = Field(default=1.0, gt=0, description="loss weight λ_0 of the main classifier")


class DistillationSettings(_Section):
    """What the main classifier learns from all parts, itself included."""

    weight: float = Field(default=1.0, ge=0, description="weight of that loss; 0 for none")
    temperature: float = Field(default=2.0, gt=0, description="temperature of that loss")


class GatheringSettings(_Section):
    """Groups from the confusion that is seen during the same training."""

    start: float = Field(
        default=0.25, gt=0, lt=1, description="share of the training after which the branches begin"
    )
    memory: float = Field(default=1.0, gt=0, description="epochs after which a batch counts 1/e")


class OptimizerSettings(_Section):
    """Stochastic gradient descent, or Adam with decoupled weight decay."""

    name: Literal["sgd", "adamw"] = Field(
        default="sgd", description="adamw for transformers, and networks that are pretrained with it"
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of sgd; of adamw its first beta")
    nesterov: bool = Field(default=True, description="of sgd")
    weight_decay: float = Field(
        default_factory=lambda checked: _WEIGHT_DECAY[checked["name"]],
        ge=0,
        description="on weights only, not on norms and biases; 0.0005 for sgd and 0.05 for adamw if unset",
    )
    branch_weight_decay: float | None = Field(default=None, ge=0, description="for branches, if another")
    clip_norm: float | None = Field(default=None, gt=0, description="largest norm of the gradient")


class ScheduleSettings(_Section):
    """Triangular learning rate: from zero to its peak and back to zero."""

    peak: float = Field(
        default=0.2, ge=0, lt=1, description="where the peak lies, as a share of the training"
    )


class AugmentSettings(_Section):
    """Random changes of the training images."""

    shift: int | None = Field(
        default=None, ge=0, description="largest shift in pixels; as the data ask if unset"
    )
    flip: bool | None = Field(default=None, description="mirror at random; as the data ask if unset")


class CheckpointSettings(_Section):
    """How often the state is saved inside an epoch; after each epoch it is saved anyway."""

    steps: int | None = Field(default=None, ge=1, description="save after so many batches")
    minutes: float | None = Field(
        default=10.0, gt=0, description="save when so many minutes have passed; never by the clock if null"
    )


class Settings(_Section):
    """Everything that a training depends on; flags of `ssal train` have the same names."""

    data: str = Field(description="named data set, folder or Parquet file")
    data_dir: Path | None = Field(default=None, description="where the files of a named data set are")
    image_size: int | None = Field(default=None, ge=4, description="side in pixels; as the data ask if unset")
    holdout: float = Field(
        default=0.1, gt=0, lt=1, description="share of the training data kept for groups and exponents"
    )
    images_per_class: int | None = Field(
        default=None, ge=2, description="use so many training images of each class only, drawn by the seed"
    )
    data_seed: int | None = Field(
        default=None, ge=0, lt=2**31, description="seed of the images drawn and held out; `seed` if unset"
    )
    workers: int | None = Field(
        default=None, ge=0, description="processes that read files; by cores if unset"
    )
    skip_bad: bool = Field(default=False, description="leave unreadable images out instead of stopping")

    model: str = Field(default="resnet18_cifar", description="timm name or package.module:callable")
    width: int | None = Field(default=None, ge=1, description="channels of the first stage, for our networks")
    pretrained: bool = Field(default=False, description="start from timm's weights (downloads)")
    weights: Path | None = Field(
        default=None, description="start from a file of weights, or those of a run, where their keys fit"
    )

    groups: Annotated[tuple[int | str, ...], BeforeValidator(_split_groups)] | Literal["auto"] = Field(
        default="auto",
        description="numbers of groups, 'all' for the classes themselves, 'superclasses' of the data, files, "
        "'fused' for the classes read off all branches together, '20+all' for classes and the groups that "
        "they sum up to; auto: C/5+all, C/2+all, all and fused",
    )
    taps: Literal["auto"] | Annotated[tuple[str, ...], BeforeValidator(_split)] = "auto"
    criterion: Literal["join", "split"] = "join"
    method: Literal["refined", "paper", "random"] = "refined"
    confusion: Literal["soft", "hard"] = Field(
        default="soft", description="mean softmax over the training data, or counts over the held-out part"
    )
    groups_from: Literal["baseline", "training"] = Field(
        default="training",
        description="whose confusion: that of the same training so far, or of the baseline",
    )
    baseline: bool = Field(default=True, description="train the backbone alone too, as a control")
    gathering: GatheringSettings = GatheringSettings()
    layout: Annotated[tuple[str, ...], BeforeValidator(_split_layouts)] = Field(
        default=("light",), description="branch layout, one or one for each branch separated by ';'"
    )
    branch: BranchSettings = BranchSettings()
    distillation: DistillationSettings = DistillationSettings()

    epochs: int | None = Field(default=None, ge=1, description="as the data ask if unset")
    baseline_epochs: Annotated[int, Field(ge=1)] | Literal["same-time"] | None = Field(
        default=None,
        description="of the baseline; as many as of the training with branches if unset, or as many as take "
        "its time",
    )
    time_budget: float | None = Field(default=None, gt=0, description="minutes; sets the number of epochs")
    batch_size: int = Field(default=128, ge=1)
    optimizer: OptimizerSettings = OptimizerSettings()
    lr: float = Field(
        default_factory=lambda checked: _LEARNING_RATE[checked["optimizer"].name],
        gt=0,
        description="peak learning rate; 0.1 for sgd and 0.001 for adamw if unset",
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    schedule: ScheduleSettings = ScheduleSettings()
    augment: AugmentSettings = AugmentSettings()
    ema: float | None = Field(
        default=None, gt=0, lt=1, description="decay of averaged weights; none if unset"
    )

    explanation_images: int = Field(
        default=48, ge=0, description="test images that the maps are checked on at the end; none if 0"
    )
    seed: int = Field(default=0, ge=0, lt=2**31)
    checkpoint: CheckpointSettings = CheckpointSettings()
    precision: Literal["auto", "bf16", "32"] = "auto"
    devices: int = Field(default=1, ge=1)
    compile: bool = False
    logger: Annotated[tuple[Literal["csv", "tensorboard", "wandb"], ...], BeforeValidator(_split)] = ("csv",)

    @field_validator("data")
    @classmethod
    def _named_data(cls, value: str) -> str:
        if not value:
            raise ValueError("an empty name; name a data set, a folder or a Parquet file")
        return value

    @field_validator("precision", mode="before")
    @classmethod
    def _number_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) else value

    @field_validator("baseline")
    @classmethod
    def _there_for_its_groups(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and info.data.get("groups_from") == "baseline":
            raise ValueError("groups from the baseline need one; use --groups-from training")
        return value

    @field_validator("baseline_epochs")
    @classmethod
    def _there_to_be_trained(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("baseline") is False:
            raise ValueError("there is no baseline to train; leave out --no-baseline, or this")
        if value == "same-time" and info.data.get("groups_from") == "baseline":
            raise ValueError("groups from the baseline take its own time too; give a number of epochs")
        return value

    @field_validator("groups")
    @classmethod
    def _known_groups(cls, value: object) -> object:
        if isinstance(value, tuple):
            items = cast("tuple[int | str, ...]", value)
            for item in items:
                check_item(item)
            if not value:
                raise ValueError("name at least one number of groups")
            if all("fused" in group_parts(item) for item in items):
                raise ValueError("'fused' reads the other branches, so name at least one more")
        return value


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a settings file; tags, aliases and what is far too large for settings are refused.

    Raises:
        InputError: the file cannot be read, or holds no mapping of settings.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_FILE + 1)
        if len(raw) > _LARGEST_FILE:
            raise ValueError(f"larger than {_LARGEST_FILE >> 10} KB; a settings file is a few lines")
        content = load_yaml(raw.decode("utf-8-sig"))
    except OSError as error:
        raise InputError(f"cannot read settings from {path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path} is no valid YAML of settings: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(
        isinstance(key, str) for key in cast("dict[Any, Any]", content)
    ):
        raise InputError(f"{path} must hold settings as 'key: value' lines")
    return cast("dict[str, Any]", content)


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Turn `a.b=value` texts into nested settings; values are read as YAML scalars or lists.

    >>> parse_assignments(["optimizer.momentum=0.8", "epochs=3"])
    {'optimizer': {'momentum': 0.8}, 'epochs': 3}

    Raises:
        InputError: a text has no `=`, no key, or a value that is no YAML.
    """
    settings: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not all(key.split(".")):
            raise InputError(f"--set takes key=value, such as optimizer.momentum=0.9, not {assignment!r}")
        try:
            value = load_yaml(text)
        except ValueError:
            given = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
            raise InputError(f"--set {key}: {given!r} is no valid value") from None
        merge_into(settings, nested(key, value))
    return settings


def merge_into(settings: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Lay `other` over `settings`, section by section."""
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(settings.get(key), dict):
            merge_into(settings[key], cast("Mapping[str, Any]", value))
        else:
            settings[key] = dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else value


def make_settings(*layers: Mapping[str, Any]) -> Settings:
    """Check settings given in layers, later ones laid over earlier ones.

    Raises:
        InputError: keys or values are not allowed; all faults are named at once.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merge_into(merged, layer)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise InputError(describe_faults(error, Settings)) from None


def to_yaml(settings: Settings) -> str:
    """The settings as a YAML text that `read_yaml` takes."""
    values = settings.model_dump(mode="json")
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    # Only then does the dumper escape what would steer the terminal that shows the file.
    return text if visible(text) == text else yaml.safe_dump(values, sort_keys=False)
