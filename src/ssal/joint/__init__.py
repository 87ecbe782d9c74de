"""Joint training and prediction: pure functions of the logits of the main classifier and the branches."""

from ssal.joint.exponents import fit_exponents, joint_nll
from ssal.joint.linear import MOST_COEFFICIENTS, LinearCombination
from ssal.joint.loss import distillation_loss, ssal_loss
from ssal.joint.outputs import Exponents, Outputs, label_map
from ssal.joint.prediction import joint_log_prob

__all__ = [
    "MOST_COEFFICIENTS",
    "Exponents",
    "LinearCombination",
    "Outputs",
    "distillation_loss",
    "fit_exponents",
    "joint_log_prob",
    "joint_nll",
    "label_map",
    "ssal_loss",
]
