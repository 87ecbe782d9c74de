"""Training, evaluation and resuming; the only part that knows Lightning."""

from ssal.training.evaluate import Collected, collect_outputs, default_device, iterate_outputs
from ssal.training.fit import Fitted, fit
from ssal.training.host import keep_freed_memory
from ssal.training.loggers import check_loggers, make_loggers
from ssal.training.module import EpochRow, LoaderFactory
from ssal.training.objective import JointLoss, Objective, Step
from ssal.training.plan import Precision, TrainingPlan
from ssal.training.probe import choose_precision, step_seconds
from ssal.training.state import saved_stage

__all__ = [
    "Collected",
    "EpochRow",
    "Fitted",
    "JointLoss",
    "LoaderFactory",
    "Objective",
    "Precision",
    "Step",
    "TrainingPlan",
    "check_loggers",
    "choose_precision",
    "collect_outputs",
    "default_device",
    "fit",
    "iterate_outputs",
    "keep_freed_memory",
    "make_loggers",
    "saved_stage",
    "step_seconds",
]
