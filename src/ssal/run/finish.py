"""The end of a run: exponents and linear combination on held-out data, then one look at the test data."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from ssal.cost import count_flops, count_parameters
from ssal.files import write_bytes
from ssal.joint import LinearCombination, Outputs, fit_exponents, joint_log_prob
from ssal.model import SSALModel
from ssal.run.results import error_detection, group_accuracy, predictions_table, summaries
from ssal.run.saved import SavedModel, save_model
from ssal.run.stages import Workplace, training_seconds
from ssal.training import Collected, collect_outputs


def log_probabilities(outputs: Outputs, saved: SavedModel) -> dict[str, Tensor]:
    """Log-probabilities of the classes by each way of prediction of a trained model."""
    labels = [label.cpu() for label in saved.model.labels]
    ways = {
        "TR": torch.log_softmax(outputs.main, dim=1),
        "JP": joint_log_prob(outputs, labels, saved.exponents.branches, saved.exponents.main),
    }
    return ways if saved.combination is None else ways | {"LC": saved.combination.log_prob(outputs)}


def fit_prediction(place: Workplace, model: SSALModel) -> SavedModel:
    """Fit exponents and linear combination on the held-out part, and save the model with them."""
    job = place.job
    seen = collect_outputs(model, job.eval_loader(job.heldout)(rank=0, world_size=1))
    labels = [label.cpu() for label in model.labels]
    with place.timed("exponents"):
        asked = job.settings.branch
        exponents = (
            fit_exponents(seen.outputs, seen.targets, labels, asked.largest_exponent)
            if asked.exponents == "fit"
            else model.exponents
        )
    with place.timed("linear_combination"):
        combination = LinearCombination.fit(seen.outputs, seen.targets)
    saved = SavedModel(model, job.backbone, job.data.class_names, job.preprocess, exponents, combination)
    save_model(place.directory.model, saved, version("ssal"))
    return saved


def measure(
    seen: Collected, saved: SavedModel, baseline: Collected | None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Accuracy and calibration of each way on one data set, with the log-probabilities behind them."""
    ways = log_probabilities(seen.outputs, saved)
    if baseline is not None:
        ways = {"baseline": torch.log_softmax(baseline.outputs.main, dim=1)} | ways
    right = group_accuracy(seen.outputs, seen.targets, saved.model)
    metrics: dict[str, Any] = dict(summaries(ways, seen.targets))
    metrics["branches"] = [
        {
            "tap": spec.tap,
            "num_groups": spec.grouping.num_groups,
            "top1": top1,
            "weight": spec.weight,
            "exponent": exponent,
        }
        for spec, top1, exponent in zip(saved.model.specs, right, saved.exponents.branches, strict=True)
    ]
    metrics["main_exponent"] = saved.exponents.main
    metrics["error_detection"] = error_detection(ways, seen.targets)
    return metrics, ways


def costs(
    model: SSALModel, combination: LinearCombination | None, seconds: Mapping[str, float]
) -> dict[str, Any]:
    """Parameters, FLOPs and seconds of each way; joint ways include what their groups cost."""
    bare = count_parameters(model.backbone)
    whole = count_parameters(model)
    extra = 0 if combination is None else combination.weight.numel() + combination.bias.numel()
    plain_flops = count_flops(model.backbone, model.input_shape)
    joint_flops = count_flops(model, model.input_shape)
    joint = seconds["baseline"] + seconds["confusion"] + seconds["grouping"] + seconds["joint"]
    return {
        "params": {"baseline": bare, "TR": bare, "JP": whole, "LC": whole + extra},
        "flops": {"baseline": plain_flops, "TR": plain_flops, "JP": joint_flops, "LC": joint_flops},
        "seconds": {
            "baseline": seconds["baseline"],
            "TR": joint,
            "JP": joint + seconds["exponents"],
            "LC": joint + seconds["linear_combination"],
            "stages": dict(seconds),
        },
    }


def test(place: Workplace, baseline: SSALModel, saved: SavedModel) -> dict[str, Any]:
    """Measure every way once on the test data, and write the predictions."""
    job = place.job
    loader = job.eval_loader(job.data.test)(rank=0, world_size=1)
    with place.timed("test"):
        plain = collect_outputs(baseline, loader)
        seen = collect_outputs(saved.model, loader)
    metrics, ways = measure(seen, saved, plain)
    table = predictions_table(
        seen.indices, seen.targets, ways, seen.outputs, saved.model, job.data.class_names
    )
    write_bytes(place.directory.predictions, table)
    return metrics | costs(saved.model, saved.combination, training_seconds(place))
