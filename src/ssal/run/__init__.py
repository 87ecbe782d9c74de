"""A run: settings in, a directory of results out, predictions from it."""

from ssal.run.again import evaluate_run
from ssal.run.describe import describe_layers, describe_plan
from ssal.run.pipeline import Run, resume_training, start_training, train
from ssal.run.predictor import GroupPrediction, Prediction, Predictor, load
from ssal.run.rows import write_predictions
from ssal.run.standalone import save

__all__ = [
    "GroupPrediction",
    "Prediction",
    "Predictor",
    "Run",
    "describe_layers",
    "describe_plan",
    "evaluate_run",
    "load",
    "resume_training",
    "save",
    "start_training",
    "train",
    "write_predictions",
]
