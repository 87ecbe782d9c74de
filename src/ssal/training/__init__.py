"""Training, evaluation and resuming; the only part that knows Lightning."""

from ssal.training.epoch import EpochRow
from ssal.training.evaluate import Collected, collect_outputs, default_device, iterate_outputs
from ssal.training.fit import Fitted, fit
from ssal.training.gathered import GatheredGroups
from ssal.training.host import keep_freed_memory
from ssal.training.keeper import SaveEvery
from ssal.training.loggers import check_loggers, make_loggers
from ssal.training.module import LoaderFactory
from ssal.training.objective import JointLoss, KeptObjective, Objective, Step
from ssal.training.plan import Precision, TrainingPlan
from ssal.training.probe import choose_precision, step_ratio, step_seconds, step_times
from ssal.training.processes import lost_worker
from ssal.training.state import Found, find_checkpoint
from ssal.training.threads import paying_threads, same_threads

__all__ = [
    "Collected",
    "EpochRow",
    "Fitted",
    "Found",
    "GatheredGroups",
    "JointLoss",
    "KeptObjective",
    "LoaderFactory",
    "Objective",
    "Precision",
    "SaveEvery",
    "Step",
    "TrainingPlan",
    "check_loggers",
    "choose_precision",
    "collect_outputs",
    "default_device",
    "find_checkpoint",
    "fit",
    "iterate_outputs",
    "keep_freed_memory",
    "lost_worker",
    "make_loggers",
    "paying_threads",
    "same_threads",
    "step_ratio",
    "step_seconds",
    "step_times",
]
