"""The methods that the tables compare: what each one builds, and what it needs for that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from torch import nn

from ssal.errors import InputError, unknown_name
from ssal.experiments.rivals import (
    AuxiliaryLoss,
    AuxiliaryNetwork,
    CoarseConsistency,
    ComplementEntropy,
    ConcatenatedFeatures,
    ConcatenatedOutputs,
    Corruption,
    HierarchicalNetwork,
    HydraNetwork,
    MimickingLoss,
)
from ssal.grouping import Grouping
from ssal.model import Branch, GroupedNetwork
from ssal.run.job import Job
from ssal.training import Objective

Option = int | float | str
Recipe = tuple[GroupedNetwork, tuple[Objective, ...]]
_NO_OPTIONS: Mapping[str, Option] = MappingProxyType({})


@dataclass(frozen=True)
class Method:
    """One method of the tables.

    Attributes:
        title: what it is, in one line.
        reference: where it comes from.
        make: builds network and objectives from a job, groupings and all options.
        needs_groups: whether it looks at which classes share a group. If not, only the numbers of groups
            count, and `job.blank_groupings()` will do: no confusion has to be measured.
        prediction: which prediction is the method's own: of the main classifier, or the joint one.
        defaults: its options with the values that they have if not given.
    """

    title: str
    reference: str
    make: Callable[[Job, tuple[Grouping, ...], Mapping[str, Option]], Recipe]
    needs_groups: bool = False
    prediction: Literal["main", "joint"] = "main"
    defaults: Mapping[str, Option] = field(default_factory=lambda: _NO_OPTIONS)

    def build(
        self, job: Job, groupings: tuple[Grouping, ...], options: Mapping[str, Option] = _NO_OPTIONS
    ) -> Recipe:
        """Build an untrained network and what each batch of its training lowers, for `ssal.training.fit`.

        Args:
            job: says the backbone, the taps and layouts, and the seed that the weights start from.
            groupings: one for each tap of the job.
            options: values for some of `defaults`.

        Raises:
            InputError: an option is unknown or of another type, or a part does not fit the backbone.
        """
        return self.make(job, groupings, {**self.defaults, **self._checked(options)})

    def _checked(self, options: Mapping[str, Option]) -> dict[str, Option]:
        checked: dict[str, Option] = {}
        for name, value in options.items():
            if not self.defaults:
                raise InputError(f"this method takes no options, but {name!r} was given")
            if name not in self.defaults:
                raise unknown_name("option", name, list(self.defaults))
            kind = type(self.defaults[name])
            allowed = (int, float) if kind is float else (kind,)
            if not isinstance(value, allowed) or isinstance(value, bool):
                raise InputError(f"option {name!r} must be of type {kind.__name__}, got {value!r}")
            checked[name] = kind(value)
        return checked


def _backbone(job: Job) -> nn.Module:
    job.seed_everything()
    return job.make_backbone()[0]


def _check_plain(job: Job) -> None:
    if any(head.summed or head.item == "fused" for head in job.heads):
        raise InputError(
            "this method has no fused branches, and no groups that are read off classes; "
            "name numbers of groups, 'all', 'superclasses' or files"
        )


def _identity(job: Job) -> tuple[Grouping, ...]:
    _check_plain(job)
    names = job.data.class_names
    return tuple(Grouping.identity(len(names), class_names=names) for _ in job.taps)


def _ssal(job: Job, groupings: tuple[Grouping, ...], options: Mapping[str, Option]) -> Recipe:
    return job.make_model(groupings), (job.objective(),)


def _gapcat(job: Job, groupings: tuple[Grouping, ...], options: Mapping[str, Option]) -> Recipe:
    network = ConcatenatedFeatures(_backbone(job), _branches(job, groupings), job.input_shape)
    return network, (job.joint_loss(),)


def _catfc(job: Job, groupings: tuple[Grouping, ...], options: Mapping[str, Option]) -> Recipe:
    branches = [replace(branch, weight=0.0) for branch in _branches(job, groupings)]
    return _joined(job, branches, options)


def _catfc_groups(job: Job, groupings: tuple[Grouping, ...], options: Mapping[str, Option]) -> Recipe:
    return _joined(job, _branches(job, groupings), options)


def _joined(job: Job, branches: Sequence[Branch], options: Mapping[str, Option]) -> Recipe:
    units = int(options["units"])
    return ConcatenatedOutputs(_backbone(job), branches, job.input_shape, units), (job.joint_loss(),)


def _branches(job: Job, groupings: tuple[Grouping, ...]) -> list[Branch]:
    _check_plain(job)
    parts = zip(job.taps, groupings, job.layouts, job.weights, strict=True)
    return [Branch(*part) for part in parts]


def _dsl(job: Job, groupings: tuple[Grouping, ...], options: Mapping[str, Option]) -> Recipe:
    """SSAL with each class a group of its own; cross-entropy in the place of the hinge losses of 2015."""
    return job.make_model(_identity(job)), (job.joint_loss(),)


def _cot(job: Job, groupings: tuple[Grouping, ...], options: Mapping[str, Option]) -> Recipe:
    return job.make_model(()), (job.joint_loss(), ComplementEntropy())


def _dhm(job: Job, groupings: tuple[Grouping, ...], options: Mapping[str, Option]) -> Recipe:
    weight, temperature = float(options["weight"]), float(options["temperature"])
    loss = MimickingLoss(weight, temperature, job.settings.label_smoothing)
    return job.make_model(_identity(job)), (loss,)


def _auxiliary(job: Job, groupings: tuple[Grouping, ...], options: Mapping[str, Option]) -> Recipe:
    steps = job.plan().epochs * len(job.train_loader()(rank=0, world_size=job.settings.devices))
    loss = AuxiliaryLoss(
        Corruption(job.preprocess.mean, job.preprocess.std),
        attraction_start=round(float(options["attraction_start"]) * steps),
        label_weight=float(options["label_weight"]),
        distillation_weight=float(options["distillation_weight"]),
        attraction_weight=float(options["attraction_weight"]),
        label_smoothing=job.settings.label_smoothing,
    )
    return AuxiliaryNetwork(_backbone(job), job.input_shape), (loss,)


def _hdcnn(job: Job, groupings: tuple[Grouping, ...], options: Mapping[str, Option]) -> Recipe:
    _check_plain(job)
    grouping, share = groupings[0], float(options["share"])
    network = HierarchicalNetwork(_backbone(job), job.taps[-1], grouping, job.input_shape, share)
    return network, (CoarseConsistency(job.joint_loss(), float(options["consistency"])),)


def _hydranet(job: Job, groupings: tuple[Grouping, ...], options: Mapping[str, Option]) -> Recipe:
    _check_plain(job)
    grouping, share, picked = groupings[0], float(options["share"]), int(options["picked"])
    network = HydraNetwork(_backbone(job), job.taps[-1], grouping, job.input_shape, share, picked)
    return network, (job.joint_loss(),)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "ssal": Method(
            "branches that predict groups of classes, joint probability",
            "Palacio et al., ICPR 2020",
            _ssal,
            needs_groups=True,
            prediction="joint",
        ),
        "gapcat": Method(
            "GapCatNoSSAL: features of the branches and of the main network, one classifier",
            "Palacio et al., ICPR 2020, Table 2",
            _gapcat,
        ),
        "catfc": Method(
            "CatFCNoSSAL: outputs of the branches and of the main network, two linear layers",
            "Palacio et al., ICPR 2020, Table 2",
            _catfc,
            defaults={"units": 2048},
        ),
        "catfc-groups": Method(
            "CatFC with the group loss on its branches",
            "Palacio et al., ICPR 2020, Figure 5",
            _catfc_groups,
            needs_groups=True,
            defaults={"units": 2048},
        ),
        "dsl": Method(
            "deep supervision: branches that predict the classes",
            "Lee et al., AISTATS 2015",
            _dsl,
        ),
        "cot": Method(
            "complement objective training: a second step evens out the wrong classes",
            "Chen et al., ICLR 2019",
            _cot,
        ),
        "dhm": Method(
            "dynamic hierarchical mimicking: branches that predict the classes and learn from each other",
            "Li and Chen, CVPR 2020",
            _dhm,
            defaults={"weight": 1.0, "temperature": 1.0},
        ),
        "auxiliary": Method(
            "auxiliary training: classifiers of corrupted copies share the body",
            "Zhang et al., CVPR 2020",
            _auxiliary,
            defaults={
                "label_weight": 0.05,
                "distillation_weight": 0.05,
                "attraction_weight": 1.0,
                "attraction_start": 6 / 7,
            },
        ),
        "hdcnn": Method(
            "HD-CNN: a coarse classifier weighs one expert per group",
            "Yan et al., ICCV 2015",
            _hdcnn,
            needs_groups=True,
            defaults={"share": 0.25, "consistency": 20.0},
        ),
        "hydranet": Method(
            "HydraNet: a gate picks some of the branches made for groups",
            "Mullapudi et al., CVPR 2018",
            _hydranet,
            needs_groups=True,
            defaults={"share": 0.25, "picked": 4},
        ),
    }
)


def find_method(name: str) -> Method:
    """Return the method called `name`.

    >>> find_method("dhm").reference
    'Li and Chen, CVPR 2020'

    Raises:
        InputError: there is none; the nearest names are shown.
    """
    if name not in METHODS:
        raise unknown_name("method", name, list(METHODS))
    return METHODS[name]
