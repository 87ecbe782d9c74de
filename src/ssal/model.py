"""`SSALModel`: a backbone, the layers it is tapped at, and a branch on each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ssal.branches import BranchNet, SummedGroups, build_branch
from ssal.errors import InputError
from ssal.grouping import Grouping
from ssal.joint import Exponents, Outputs, joint_log_prob, label_map
from ssal.taps import TapShape, TapStore, attach, output_size, probe_taps, to_maps
from ssal.text import place_and_task, told_apart


@dataclass(frozen=True)
class Branch:
    """What one branch reads, what it predicts, and how much it counts.

    Attributes:
        tap: dotted name of the layer of the backbone that is read.
        grouping: the map class → group that the branch predicts.
        layout: layout text, see `ssal.branches.parse_layout`, or `light`.
        weight: λ, weight of its loss.
        exponent: η, exponent of its probability in the joint prediction.
        fused: whether its last layer reads, beside its own vector, those of all branches that are not fused,
            as the classifier of GapCatNoSSAL does (§4.3).
        summed: whether it has no layers of its own: its groups are read off the classes of the last branch
            before it that has some, at the same tap, whose probabilities are summed over each group.
    """

    tap: str
    grouping: Grouping
    layout: str = "light"
    weight: float = 0.5
    exponent: float = 1.0
    fused: bool = False
    summed: bool = False

    def __post_init__(self) -> None:
        for name, value in (("weight", self.weight), ("exponent", self.exponent)):
            if not 0 <= value < math.inf:
                raise InputError(f"the {name} of a branch must be a number from 0 on, not {value}")


class GroupedNetwork(nn.Module):
    """A network whose output is `Outputs`: logits of the classes, and of groups of classes.

    What the trainer, the joint prediction and the measures need to know of a network. `SSALModel` is one;
    another one implements `forward` from images [N, *input_shape] to `Outputs`, with one tensor of group
    logits for each of its `specs`.

    Attributes:
        specs: what each part that predicts groups reads and predicts, and how much it counts.
        num_classes: C.
        input_shape: shape of one sample.
        branches: modules with a weight decay of their own, see `ssal.training.TrainingPlan`.
    """

    def __init__(self, specs: Sequence[Branch], num_classes: int, input_shape: Sequence[int]) -> None:
        super().__init__()
        self.specs = tuple(specs)
        check_groupings([spec.grouping for spec in self.specs], num_classes)
        self.num_classes = num_classes
        self.input_shape = tuple(input_shape)
        self.branches = nn.ModuleList()
        for index, spec in enumerate(self.specs):
            self.register_buffer(f"labels{index}", label_map(spec.grouping), persistent=False)

    @property
    def branch_names(self) -> tuple[str, ...]:
        """A name for each branch: what it reads, with what it tells apart where several have the same."""
        return told_apart(
            place_and_task(spec.tap, spec.fused, spec.grouping.num_groups, self.num_classes)
            for spec in self.specs
        )

    @property
    def labels(self) -> tuple[Tensor, ...]:
        """The maps class → group [C] of the branches, on the device of the model."""
        return tuple(self.get_buffer(f"labels{index}") for index in range(len(self.specs)))

    def regroup(self, groupings: Sequence[Grouping]) -> None:
        """Let the branches predict other groups, each of them as many as before.

        Raises:
            InputError: there are not as many groupings, groups or classes as before.
        """
        check_groupings(groupings, self.num_classes)
        before, after = (
            [spec.grouping.num_groups for spec in self.specs],
            [each.num_groups for each in groupings],
        )
        if before != after:
            raise InputError(f"branches for {before} groups cannot predict {after}")
        self.specs = tuple(
            replace(spec, grouping=grouping) for spec, grouping in zip(self.specs, groupings, strict=True)
        )
        for labels, grouping in zip(self.labels, groupings, strict=True):
            labels.copy_(label_map(grouping))

    @property
    def exponents(self) -> Exponents:
        """η_0 = 1 and the exponents that the branches were given."""
        return Exponents(1.0, tuple(branch.exponent for branch in self.specs))

    def log_prob(self, images: Tensor, exponents: Exponents | None = None) -> Tensor:
        """Joint log-probabilities [N, C] of images, by the given or else the model's own exponents."""
        main, branches = exponents or self.exponents
        return joint_log_prob(self(images), self.labels, branches, main)


class SSALModel(GroupedNetwork):
    """A classifier with branches; without any, it is the backbone with its logits as `Outputs`.

    The backbone is used as it is: its weights stay under `backbone.` with their own names, so that
    `model.backbone.state_dict()` loads strictly into the stock model. Its taps are read by forward hooks;
    `release` takes them off.

    Attributes:
        reads: for each branch, the numbers of the branches whose vectors its head is given, its own first;
            none for a summed one, which has no head.

    >>> from torch import zeros
    >>> net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 4))
    >>> branch = Branch("1", Grouping.from_labels([0, 0, 1, 1]), layout="dense 8")
    >>> outputs = SSALModel(net, [branch], input_shape=(6,))(zeros(5, 6))
    >>> [tuple(logits.shape) for logits in (outputs.main, *outputs.groups)]
    [(5, 4), (5, 2)]

    Args:
        backbone: any module from [N, *input_shape] to logits [N, C].
        branches: the branches; two may read the same layer.
        input_shape: shape of one sample, used to find out what the taps deliver.

    Raises:
        InputError: a tap does not exist or cannot be read, a layout does not fit it, a grouping is for
            another number of classes than the backbone has, or a fused or summed branch finds none to read.
    """

    def __init__(
        self, backbone: nn.Module, branches: Sequence[Branch], input_shape: Sequence[int] = (3, 32, 32)
    ) -> None:
        super().__init__(branches, output_size(backbone, input_shape), input_shape)
        self.taps = probe_taps(backbone, [branch.tap for branch in branches], input_shape)
        self.backbone = backbone
        self.branches = _build_branches(self.specs, self.taps)
        self.reads = tuple(_read_by(self.specs, number) for number in range(len(self.specs)))
        self.to(next(iter(backbone.parameters())).device)
        self._store = TapStore()
        self._handles: list[Any] = attach(backbone, sorted({branch.tap for branch in branches}), self._store)

    def forward(self, images: Tensor) -> Outputs:
        """Logits of the main classifier and of all branches.

        Args:
            images: [N, *input_shape].
        """
        features = self._store.outputs
        features.clear()
        main = self.backbone(images)
        vectors = {
            index: branch.body(to_maps(features[tap.name], tap))
            for index, (branch, tap) in enumerate(zip(self.branches, self.taps, strict=True))
            if isinstance(branch, BranchNet)
        }
        features.clear()
        groups: list[Tensor] = []
        classes = main
        for index, (branch, spec) in enumerate(zip(self.branches, self.specs, strict=True)):
            if isinstance(branch, BranchNet):
                read = [vectors[number] for number in self.reads[index]]
                classes = branch.head(torch.cat(read, dim=1) if spec.fused else read[0])
                groups.append(classes)
            else:
                groups.append(branch(classes, self.get_buffer(f"labels{index}"), spec.grouping.num_groups))
        return Outputs(main, tuple(groups))

    def release(self) -> nn.Module:
        """Take the hooks off and hand back the backbone; the model itself can no longer be run."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        return self.backbone


def _build_branches(specs: Sequence[Branch], taps: Sequence[TapShape]) -> nn.ModuleList:
    """The branches in their order; those that are fused with the others need to know their sizes first."""
    built: dict[int, nn.Module] = {}
    others = 0
    for index, (spec, tap) in enumerate(zip(specs, taps, strict=True)):
        if spec.summed:
            _check_summed(specs[:index], spec)
            built[index] = SummedGroups()
        elif not spec.fused:
            net = build_branch(spec.layout, tap.feature, spec.grouping.num_groups)
            others += net.head.in_features
            built[index] = net
    for index, (spec, tap) in enumerate(zip(specs, taps, strict=True)):
        if index not in built:
            if not others:
                raise InputError(f"the fused branch at {spec.tap!r} needs other branches to read")
            built[index] = build_branch(spec.layout, tap.feature, spec.grouping.num_groups, others)
    return nn.ModuleList(built[index] for index in range(len(specs)))


def _read_by(specs: Sequence[Branch], number: int) -> tuple[int, ...]:
    """What the head of a branch is given: its own vector, and where it is fused those of all that are not."""
    if specs[number].summed:
        return ()
    others = [index for index, spec in enumerate(specs) if not (spec.fused or spec.summed)]
    return (number, *(others if specs[number].fused else ()))


def _check_summed(before: Sequence[Branch], spec: Branch) -> None:
    read = next((branch for branch in reversed(before) if not branch.summed), None)
    classes = list(range(len(spec.grouping.labels)))
    if read is None or read.tap != spec.tap or read.grouping.labels.tolist() != classes:
        raise InputError(
            f"the summed branch at {spec.tap!r} must follow one there that learns the classes themselves"
        )


def check_groupings(groupings: Sequence[Grouping], num_classes: int) -> None:
    """Check that all groupings are for `num_classes` classes.

    Raises:
        InputError: one is not.
    """
    for index, grouping in enumerate(groupings):
        if len(grouping.labels) != num_classes:
            raise InputError(f"grouping {index + 1} is for {len(grouping.labels)} classes, not {num_classes}")
