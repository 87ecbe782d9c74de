"""Sentences that figures turn into: where branches do not help, they say so."""

import copy

import pytest

from ssal.run.verdict import error_detection_line, guarantee_line, verdict_lines


def gain(mean, spread=0.001):
    return {"mean": mean, "low": mean - spread, "high": mean + spread}


def promise(risk, *, possible=True, wrong=10, single=None):
    if not possible:
        return {"risk": risk, "confidence": 0.9, "images": 500, "possible": False}
    return {
        "risk": risk,
        "confidence": 0.9,
        "images": 500,
        "possible": True,
        "test_coverage": 0.8,
        "test_answered": 1000,
        "test_wrong": wrong,
        "test_risk": wrong / 1000,
        "holds": wrong <= 1000 * risk,
    }


METRICS = {
    "baseline": {"top1": 90.0},
    "JP": {"top1": 92.0},
    "repairs": {"baseline": {"repaired": 60, "caused": 20}},
    "calibration": {"JP": {"nll": 0.2}, "TR": {"nll": 0.25}, "TR_scaled": {"nll": 0.22}},
    "likelihood_gain": {"baseline": gain(0.1), "TR": gain(0.05), "TR_scaled": gain(0.02)},
    "selective": {
        "best": "JP",
        "scores": {
            "JP": {"auroc": 0.95, "aurc": 0.005},
            "main": {"auroc": 0.94, "aurc": 0.007},
            "baseline": {"auroc": 0.93, "aurc": 0.009},
        },
        "gain": {"main": gain(0.002), "baseline": gain(0.004)},
        "guarantee": [promise(0.01, possible=False), promise(0.02), promise(0.05)],
        "smallest_risk": 0.013,
    },
    "back_off": {"guarantee": [promise(0.01), promise(0.02) | {"test_coverage": 0.97}]},
    "severity": {"superclasses": 20, "JP": 1.6, "baseline": 1.7, "TR": None},
}


def changed(**changes):
    metrics = copy.deepcopy(METRICS)
    for path, value in changes.items():
        place = metrics
        *steps, last = path.split("__")
        for step in steps:
            place = place[step]
        place[last] = value
    return metrics


def test_what_is_good_is_called_so():
    lines = verdict_lines(METRICS)
    assert lines == [
        "Joint prediction is better: 92.00 % right against 90.00 % of the baseline; it repairs 60 errors and "
        "causes 20.",
        "The branches make the probabilities better: NLL 0.200 against 0.220 of the main classifier with a "
        "fitted temperature.",
        "The branches help to find errors: AUROC 0.950, area under risk-coverage 0.0050 (JP); main "
        "classifier alone 0.940, 0.0070; baseline on its own answers 0.930, 0.0090, a larger area.",
        "With at most 2 % of answers wrong (90 % confidence), 80.0 % of the test images are answered, "
        "1.00 % of these wrong; with groups where the class is unsure, 97.0 %, 1.00 % of these wrong.",
        "Of the mistakes of joint prediction, 60.0 % leave the true superclass; of the baseline's, 70.0 %.",
    ]


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"repairs__baseline": {"repaired": 40, "caused": 38}}, "causes 38, which may be chance."),
        ({"repairs__baseline": {"repaired": 20, "caused": 60}}, "Joint prediction is worse:"),
        ({"repairs__baseline": {"repaired": 0, "caused": 0}}, "makes the same errors as the baseline"),
        ({"likelihood_gain__TR_scaled": gain(-0.02)}, "make the probabilities worse"),
        ({"likelihood_gain__TR_scaled": gain(0.0)}, "do not make the probabilities better: NLL"),
        ({"selective__gain__main": gain(0.0)}, "do not help to find errors beyond chance"),
        ({"selective__gain__main": gain(-0.01)}, "make it harder to find errors"),
        ({"selective__gain__main": gain(0.0001, 0.00005)}, "help a little to find errors"),
        ({"selective__gain__baseline": gain(-0.004)}, "own answers 0.930, 0.0090, a smaller area."),
        ({"selective__gain__baseline": gain(0.0)}, "0.0090, which may be chance."),
        ({"selective__scores__main__auroc": None}, "Nothing can be said of error detection"),
        ({"selective__guarantee": [promise(0.02, wrong=22)]}, "2.20 % of these wrong: slightly more, which"),
        ({"selective__guarantee": [promise(0.02, wrong=60)]}, "6.00 % of these wrong: more than promised"),
        (
            {"selective__guarantee": [promise(risk, possible=False) for risk in (0.02, 0.1)]},
            "With 500 calibration images, the smallest error rate that can be guaranteed is 1.3 %.",
        ),
        (
            {"selective__guarantee": [promise(0.02, possible=False)], "selective__smallest_risk": None},
            "no held-out image is left to calibrate on",
        ),
        ({"back_off__guarantee": []}, "1.00 % of these wrong."),
    ],
)
def test_what_is_not_good_is_not_called_so(changes, part):
    assert any(part in line for line in verdict_lines(changed(**changes)))


def test_older_runs_are_silent_on_what_was_not_measured():
    assert verdict_lines({"JP": {"top1": 1.0}, "baseline": {"top1": 1.0}}) == []
    assert error_detection_line({}) is None and guarantee_line({}) is None
    without = changed(selective__guarantee=[], severity=None)
    del without["calibration"]["TR_scaled"], without["likelihood_gain"]["TR_scaled"]
    assert "NLL 0.200 against 0.250 of the main classifier." in verdict_lines(without)[1]
    assert len(verdict_lines(without)) == 3
