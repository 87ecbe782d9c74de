"""How bad the mistakes are, where a hierarchy of the classes says which are near."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ssal.errors import DataError, InputError
from ssal.metrics.inputs import as_integers, check_ids


def mistake_severity(predictions: object, targets: object, hierarchy: object) -> float:
    """Mean height of the lowest common ancestor of the true and the predicted class, over the mistakes.

    (Bertinetto et al. 2020.) A class has height 0, its superclass height 1, and so on; the root lies above
    the last level. With one level of superclasses a mistake inside the true superclass counts 1 and any other
    counts 2: the severity less 1 is then the share of mistakes that leave the superclass.

    Args:
        predictions: [N] class ids.
        targets: [N] class ids.
        hierarchy: [C] superclass of each class, or [L, C] for L levels, from fine to coarse.

    Returns:
        From 1 to L + 1; NaN if there is no mistake.

    Raises:
        DataError: the shapes do not fit, or an id is no class of the hierarchy.
        InputError: a level of the hierarchy splits a group of the level below it.

    >>> mistake_severity([1, 3, 2], [0, 0, 2], hierarchy=[0, 0, 1, 1])
    1.5
    """
    levels = np.atleast_2d(as_integers(hierarchy, "hierarchy"))
    for lower, upper in pairwise(levels):
        pairs = np.unique(np.stack([lower, upper]), axis=1)
        if pairs.shape[1] != np.unique(lower).size:
            raise InputError(
                "a level of the hierarchy splits a group of the level below; order: fine to coarse"
            )
    predicted, true = as_integers(predictions, "predictions"), as_integers(targets, "targets")
    if predicted.shape != true.shape or predicted.ndim != 1:
        raise DataError(f"predictions of shape {list(predicted.shape)}, but targets of {list(true.shape)}")
    for name, ids in (("predictions", predicted), ("targets", true)):
        check_ids(ids, name, levels.shape[1])
    wrong = predicted != true
    if not wrong.any():
        return float("nan")
    heights = 1 + (levels[:, predicted[wrong]] != levels[:, true[wrong]]).sum(axis=0)
    return float(heights.mean())
