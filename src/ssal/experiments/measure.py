"""Ways of prediction, measured on stored outputs: no network is run here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ssal.errors import InputError
from ssal.experiments.store import Part
from ssal.joint import LinearCombination, Outputs, fit_exponents, joint_log_prob
from ssal.metrics import summarise, top_k_accuracy
from ssal.run.calibration import calibration
from ssal.run.results import agreement, error_detection

# Fitted exponents are bounded as in `ssal train`: with few images the likelihood rises for ever.
LARGEST_EXPONENT = 3.0
WAYS = ("main", "JP1", "JP", "LC")


def held_out(parts: Mapping[str, Part]) -> Part:
    """Everything that weights were not fitted to and that is not test data, one after the other."""
    kept = [parts[name] for name in ("heldout", "calibration") if name in parts]
    main = torch.cat([part.outputs.main for part in kept])
    groups = tuple(torch.cat(logits) for logits in zip(*(part.outputs.groups for part in kept), strict=True))
    return Part(Outputs(main, groups), torch.cat([part.targets for part in kept]))


def standard_ways(
    parts: Mapping[str, Part], labels: Sequence[Tensor]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Log-probabilities [N, C] of the test samples by each way, and the exponents fitted on held-out data.

    Args:
        parts: outputs of one network on held-out and test data.
        labels: the map class → group [C] of each branch.

    Returns:
        `main`, and for a network with branches `JP1` (η = 1), `JP` (fitted exponents), and `LC` where each
        class has a held-out sample; then the fitted exponents.
    """
    test = parts["test"].outputs
    ways = {"main": torch.log_softmax(test.main, dim=1)}
    if not labels:
        return ways, {}
    seen = held_out(parts)
    fitted = fit_exponents(seen.outputs, seen.targets, labels, LARGEST_EXPONENT)
    ways["JP1"] = joint_log_prob(test, labels, [1.0] * len(labels))
    ways["JP"] = joint_log_prob(test, labels, fitted.branches, fitted.main)
    if len(seen.targets.unique()) == test.main.shape[1]:
        ways["LC"] = LinearCombination.fit(seen.outputs, seen.targets).log_prob(test)
    return ways, {"main": fitted.main, "branches": list(fitted.branches)}


def standard_metrics(parts: Mapping[str, Part], labels: Sequence[Tensor]) -> dict[str, Any]:
    """What is measured of every network, on the test samples.

    Returns:
        Top-1, top-5, NLL and ECE of each standard way under `ways`; accuracies of the branches; fitted
        exponents; `calibration` and `error_detection` as in the `metrics.json` of a run; and by the number of
        branches that agree with the joint prediction, how many samples there are and how many are right.
    """
    ways, exponents = standard_ways(parts, labels)
    test = parts["test"]
    return {
        "ways": {way: summarise(scores, test.targets) for way, scores in ways.items()},
        "branches": [branch_accuracy(test, labels, number) for number in range(len(labels))],
        "exponents": exponents,
        "calibration": calibration(ways, test.targets),
        "error_detection": error_detection(ways, test.targets),
        "agreement": _by_agreement(test, labels, ways["JP"].argmax(dim=1)) if labels else [],
    }


def _by_agreement(test: Part, labels: Sequence[Tensor], winners: Tensor) -> list[dict[str, int]]:
    counts, right = agreement(test.outputs, winners, labels), winners == test.targets
    chosen = (counts == number for number in range(len(labels) + 1))
    return [{"samples": int(level.sum()), "right": int((level & right).sum())} for level in chosen]


def branch_accuracy(test: Part, labels: Sequence[Tensor], branch: int) -> float:
    """Share of samples whose group a branch predicts, in percent."""
    return top_k_accuracy(test.outputs.groups[branch], labels[branch][test.targets])


def joint_metrics(test: Part, labels: Sequence[Tensor], exponents: Sequence[float]) -> dict[str, float]:
    """Measure the joint probability with given exponents, one for all branches or one for each.

    Raises:
        InputError: there are neither one nor as many exponents as branches.
    """
    if len(exponents) not in (1, len(labels)):
        raise InputError(f"{len(exponents)} exponents for {len(labels)} branches; give one, or one for each")
    spread = tuple(exponents) * (len(labels) if len(exponents) == 1 else 1)
    return _with_auroc(joint_log_prob(test.outputs, labels, spread), test.targets)


def ensemble_metrics(tests: Sequence[Part]) -> dict[str, float]:
    """Measure the mean of the class probabilities of several networks' main classifiers."""
    stacked = torch.stack([torch.log_softmax(test.outputs.main, dim=1) for test in tests])
    mean = torch.logsumexp(stacked, dim=0) - torch.log(torch.tensor(float(len(tests))))
    return _with_auroc(mean, tests[0].targets)


def _with_auroc(scores: Tensor, targets: Tensor) -> dict[str, float]:
    """The numbers of every prediction, and the AUROC with which its largest probability finds errors."""
    found = error_detection({"": scores}, targets)[""]
    return summarise(scores, targets) | ({} if found is None else {"auroc": found})
