"""How good predictions are: right, calibrated, and aware of their own errors."""

from ssal.metrics.calibration import Reliability, expected_calibration_error, reliability
from ssal.metrics.classification import (
    brier_score,
    negative_log_likelihood,
    summarise,
    top_k_accuracy,
)
from ssal.metrics.confidence import area_under_risk_coverage, error_detection_auroc, risk_coverage
from ssal.metrics.paired import Gain, area_gain, calibration_gain, gain_over_runs, mean_gain
from ssal.metrics.severity import mistake_severity

__all__ = [
    "Gain",
    "Reliability",
    "area_gain",
    "area_under_risk_coverage",
    "brier_score",
    "calibration_gain",
    "error_detection_auroc",
    "expected_calibration_error",
    "gain_over_runs",
    "mean_gain",
    "mistake_severity",
    "negative_log_likelihood",
    "reliability",
    "risk_coverage",
    "summarise",
    "top_k_accuracy",
]
