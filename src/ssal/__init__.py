"""Image classifiers that show their evidence: self-supervised autogenous learning for PyTorch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssal.api import train, write_report
    from ssal.confusion import confusion_matrix, soft_confusion
    from ssal.errors import DataError, InputError, RunError, SsalError
    from ssal.grouping import Grouping, group_classes
    from ssal.joint import Exponents, LinearCombination, Outputs, fit_exponents, joint_log_prob, ssal_loss
    from ssal.model import Branch, SSALModel
    from ssal.run import Prediction, Predictor, Run, load, save

# The public face, by the module that has it. Imported at first use, so that the command line starts at once.
_HOMES = {
    "Branch": "ssal.model",
    "DataError": "ssal.errors",
    "Exponents": "ssal.joint",
    "Grouping": "ssal.grouping",
    "InputError": "ssal.errors",
    "LinearCombination": "ssal.joint",
    "Outputs": "ssal.joint",
    "Prediction": "ssal.run",
    "Predictor": "ssal.run",
    "Run": "ssal.run",
    "RunError": "ssal.errors",
    "SSALModel": "ssal.model",
    "SsalError": "ssal.errors",
    "confusion_matrix": "ssal.confusion",
    "fit_exponents": "ssal.joint",
    "group_classes": "ssal.grouping",
    "joint_log_prob": "ssal.joint",
    "load": "ssal.run",
    "save": "ssal.run",
    "soft_confusion": "ssal.confusion",
    "ssal_loss": "ssal.joint",
    "train": "ssal.api",
    "write_report": "ssal.api",
}

__all__ = [
    "Branch",
    "DataError",
    "Exponents",
    "Grouping",
    "InputError",
    "LinearCombination",
    "Outputs",
    "Prediction",
    "Predictor",
    "Run",
    "RunError",
    "SSALModel",
    "SsalError",
    "confusion_matrix",
    "fit_exponents",
    "group_classes",
    "joint_log_prob",
    "load",
    "save",
    "soft_confusion",
    "ssal_loss",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version(__name__)
    if name not in _HOMES:
        raise AttributeError(f"module 'ssal' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
