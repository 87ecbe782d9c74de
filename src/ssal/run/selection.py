"""What it brings to refuse an answer, or to answer with a group: figures for `metrics.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ssal.metrics import area_gain, area_under_risk_coverage, error_detection_auroc, risk_coverage
from ssal.run.calibration import as_dict
from ssal.selective import (
    BRANCH_SCORES,
    CONFIDENCE,
    Calibrated,
    Guarantee,
    Outcome,
    Sample,
    Selector,
    find_spans,
    nested_answers,
    share_kept,
    threshold_sequence,
)
from ssal.selective.tally import Spans

RISKS = (0.01, 0.02, 0.05, 0.1)
_POINTS = 100

# A confidence [N], with whether the answers that it speaks of are right [N], and whose answers they are.
_Judged = tuple[NDArray[np.float64], NDArray[np.bool_], str]


def _judged_scores(
    sample: Sample, ways: Mapping[str, Tensor], selector: Selector | None
) -> dict[str, _Judged]:
    """All scores; those of the baseline and of TR speak of their own answers, the others of the joint one."""
    found: dict[str, _Judged] = {}
    for way in ("baseline", "TR"):
        if way in ways:
            best = ways[way].max(dim=1)
            right = (best.indices == sample.target).numpy()
            found[way] = (best.values.double().numpy(), right, way)
    scores = sample.scores(None if selector is None else selector.combination)
    return found | {name: (score, sample.correct, "JP") for name, score in scores.items()}


def _curve(score: NDArray[np.float64], right: NDArray[np.bool_]) -> dict[str, list[float]]:
    coverage, risk = risk_coverage(score, right)
    places = np.unique(-(-np.arange(1, _POINTS + 1) * score.size // _POINTS) - 1)
    places = places[places >= 0]
    return {"coverage": coverage[places].tolist(), "risk": risk[places].tolist()}


def _auroc(score: NDArray[np.float64], right: NDArray[np.bool_]) -> float | None:
    value = error_detection_auroc(score, right)
    return None if np.isnan(value) else value


def selective(sample: Sample, ways: Mapping[str, Tensor], selector: Selector | None) -> dict[str, Any]:
    """How well each score tells right from wrong, and what can be promised for answers of one class.

    Args:
        sample: outputs for N labelled images.
        ways: log-probabilities [N, C] of each way of prediction.
        selector: fitted with the model; without it nothing is promised.

    Returns:
        `scores`, `best`, `gain`, `guarantee` and `smallest_risk`; see docs/calibration.md.
    """
    judged = _judged_scores(sample, ways, selector)
    best = BRANCH_SCORES[0] if selector is None else selector.score
    ours = judged[best][:2]
    result: dict[str, Any] = {
        "scores": {
            name: {
                "of": whose,
                "auroc": _auroc(score, right),
                "aurc": area_under_risk_coverage(score, right),
                "risk_coverage": _curve(score, right),
            }
            for name, (score, right, whose) in judged.items()
        },
        "best": best,
        "gain": {
            name: as_dict(area_gain(ours, judged[name][:2]))
            for name in ("baseline", "TR", "main")
            if name in judged
        },
        "guarantee": [],
        "smallest_risk": None,
    }
    if selector is not None:
        spans = selector.spans(sample)[0]
        result["guarantee"] = _promises(selector.classes, spans, selector.score)
        result["smallest_risk"] = _smallest(selector.classes)
    return result


def back_off(sample: Sample, selector: Selector | None) -> dict[str, Any]:
    """What answers of a class or a group bring, at thresholds of the joint probability.

    Args:
        sample: outputs for N labelled images.
        selector: fitted with the model; without it nothing is promised.

    Returns:
        `curve`, `guarantee` and `smallest_risk`; see docs/calibration.md.
    """
    answers = nested_answers(sample.joint, sample.labels)
    right = answers.right(sample.target, sample.labels)
    thresholds = threshold_sequence(answers.scores, _POINTS)
    tally = find_spans(answers, right, thresholds).tally()
    points = [Outcome.at(tally, index) for index in range(len(thresholds))]
    result: dict[str, Any] = {
        "curve": [
            {"threshold": _natural("JP", threshold), **_outcome(point)}
            for threshold, point in zip(thresholds, points, strict=True)
            if point.answered
        ],
        "guarantee": [],
        "smallest_risk": None,
    }
    if selector is not None:
        result["guarantee"] = _promises(selector.groups, selector.spans(sample)[1], "JP")
        result["smallest_risk"] = _smallest(selector.groups)
    return result


def _natural(score: str, threshold: float) -> float | None:
    """A threshold as a probability where the score is one; None where everything is answered."""
    if not np.isfinite(threshold):
        return None
    return 1 + threshold if score in ("JP", "main") else threshold


def _outcome(outcome: Outcome) -> dict[str, float | None]:
    return {
        "coverage": outcome.coverage,
        "risk": outcome.risk if outcome.answered else None,
        "size": outcome.size if outcome.answered else None,
        "single": outcome.single / outcome.images if outcome.images else 0.0,
    }


def _smallest(calibrated: Calibrated) -> float | None:
    return calibrated.smallest_risk() if calibrated.calibration.images else None


def _promises(calibrated: Calibrated, spans: Spans, score: str) -> list[dict[str, Any]]:
    tested = calibrated.tested(spans.tally())
    images = calibrated.calibration.images
    return [
        {
            "risk": risk,
            "confidence": CONFIDENCE,
            "images": images,
            **_promise(tested.find(risk) if images else None, score),
            "kept_in_resplits": share_kept(spans, images, calibrated.start, risk) if images else None,
        }
        for risk in RISKS
    ]


def _promise(guarantee: Guarantee | None, score: str) -> dict[str, Any]:
    """What is promised and what came of it; nothing is answered where nothing can be promised."""
    if guarantee is None or guarantee.test is None:
        names = ("threshold", "size", "test_risk", "test_size", "test_answered", "test_wrong", "holds")
        shares = ("coverage", "single", "test_coverage", "test_single")
        return {"possible": False, **dict.fromkeys(shares, 0.0), **dict.fromkeys(names)}
    made, test = _outcome(guarantee.calibration), _outcome(guarantee.test)
    return {
        "possible": True,
        "threshold": _natural(score, guarantee.threshold),
        "coverage": made["coverage"],
        "single": made["single"],
        "size": made["size"],
        **{f"test_{name}": value for name, value in test.items()},
        "test_answered": guarantee.test.answered,
        "test_wrong": guarantee.test.wrong,
        "holds": guarantee.holds,
    }
