"""What the branches of a run tell apart, one head each, with their taps, layouts and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from torch import nn

from ssal.errors import InputError
from ssal.groupitems import group_parts
from ssal.taps import choose_taps, deepest_tap, probe_taps

_T = TypeVar("_T")

# What all that a branch learns counts for, and the classes that are read off all branches together: theirs
# is the best prediction, and it comes from a head that nothing else teaches.
_WEIGHT, _FUSED_WEIGHT = 0.5, 1.0


@dataclass(frozen=True)
class Head:
    """One output of a branch.

    Attributes:
        branch: number of the branch, from 0.
        item: what it tells apart: a number of groups, a name or a file.
        summed: whether it is read off the classes of its branch.
    """

    branch: int
    item: int | str
    summed: bool = False


def heads_of(groups: Sequence[int | str]) -> tuple[Head, ...]:
    """The outputs of all branches, those of the classes before those that are read off them.

    >>> [(head.branch, head.item, head.summed) for head in heads_of(["20+all", 50])]
    [(0, 'all', False), (0, 20, True), (1, 50, False)]
    """
    return tuple(
        Head(branch, part, summed=number > 0)
        for branch, item in enumerate(groups)
        for number, part in enumerate(group_parts(item))
    )


def one_each(name: str, values: Sequence[_T], count: int) -> tuple[_T, ...]:
    """Spread one value over `count` branches, or check that there is one for each.

    Raises:
        InputError: there are neither one nor `count` values.
    """
    if len(values) not in (1, count):
        raise InputError(f"{len(values)} values for {name}, but {count} branches; give one, or {count}")
    return tuple(values) * (count if len(values) == 1 else 1)


def one_for_each_head(name: str, values: Sequence[_T], heads: Sequence[Head]) -> tuple[_T, ...]:
    """Spread values over the outputs of all branches: one for all, one for each branch, or one for each.

    Raises:
        InputError: the number of values is none of these.
    """
    if len(values) == len(heads):
        return tuple(values)
    branches = 1 + heads[-1].branch
    if len(heads) > branches and len(values) not in (1, branches):
        raise InputError(
            f"{len(values)} values for {name}, but {branches} branches, which tell {len(heads)} things "
            f"apart; give one, {branches}, or {len(heads)}"
        )
    spread = one_each(name, values, branches)
    return tuple(spread[head.branch] for head in heads)


def weights_of(weights: Sequence[float] | None, heads: Sequence[Head]) -> tuple[float, ...]:
    """The loss weight λ of each head, see `one_for_each_head`; where none are given, the defaults.

    >>> weights_of(None, heads_of(["all", 50, "fused"]))
    (0.5, 0.5, 1.0)

    Raises:
        InputError: the number of weights does not fit.
    """
    if weights is None:
        return tuple(_FUSED_WEIGHT if head.item == "fused" else _WEIGHT for head in heads)
    return one_for_each_head("branch.weights", weights, heads)


def layouts_of(given: tuple[str, ...], heads: tuple[Head, ...]) -> tuple[str, ...]:
    """One layout per head; one that is given for all is not for branches that read the others."""
    layouts = one_for_each_head("layout", given, heads)
    if len(given) > 1:
        return layouts
    fused = fused_branches(heads)
    return tuple(
        "light" if head.branch in fused else layout for head, layout in zip(heads, layouts, strict=True)
    )


def fused_branches(heads: tuple[Head, ...]) -> set[int]:
    """Numbers of the branches that read the others."""
    return {head.branch for head in heads if head.item == "fused"}


def taps_of(
    network: nn.Module,
    input_shape: Sequence[int],
    given: tuple[str, ...] | Literal["auto"],
    heads: tuple[Head, ...],
) -> tuple[str, ...]:
    """One layer per head, as given, or chosen; those of fused branches may be left out.

    Raises:
        InputError: there are too few layers, a layer cannot be read, or there are not as many as branches.
    """
    fused, count = fused_branches(heads), 1 + heads[-1].branch
    own = count - len(fused)
    taps = choose_taps(network, own, input_shape) if given == "auto" else given
    if len(taps) not in (count, own):
        without = f", or {own} without that of the fused one" if fused else ""
        raise InputError(f"{len(taps)} taps for {count} groupings; there must be as many{without}")
    probe_taps(network, taps, input_shape)
    if len(taps) < count:
        deepest, named = deepest_tap(network, input_shape), iter(taps)
        taps = tuple(deepest if branch in fused else next(named) for branch in range(count))
    return tuple(taps[head.branch] for head in heads)
