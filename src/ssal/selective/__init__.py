"""Answers with a promise: when to give a class, when a group of classes, and when none."""

from ssal.selective.answers import ABSTAINED, Answers, class_answers, nested_answers
from ssal.selective.bounds import error_bound, error_control_threshold
from ssal.selective.calibrated import Calibrated, Guarantee, Outcome
from ssal.selective.guarantee import CONFIDENCE, choose_threshold, share_kept
from ssal.selective.scores import confidence_scores, score_words, show_score
from ssal.selective.selector import BRANCH_SCORES, Sample, Selector, fit_selector
from ssal.selective.stored import from_json, to_json
from ssal.selective.tally import Tally, find_spans, threshold_sequence

__all__ = [
    "ABSTAINED",
    "BRANCH_SCORES",
    "CONFIDENCE",
    "Answers",
    "Calibrated",
    "Guarantee",
    "Outcome",
    "Sample",
    "Selector",
    "Tally",
    "choose_threshold",
    "class_answers",
    "confidence_scores",
    "error_bound",
    "error_control_threshold",
    "find_spans",
    "fit_selector",
    "from_json",
    "nested_answers",
    "score_words",
    "share_kept",
    "show_score",
    "threshold_sequence",
    "to_json",
]
