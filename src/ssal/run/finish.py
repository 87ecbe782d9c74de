"""The end of a run: what is fitted to held-out data, then one look at the test data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from ssal.cost import count_flops, count_parameters
from ssal.data import Hierarchy
from ssal.evidence.faithfulness import findings
from ssal.files import write_bytes
from ssal.joint import MOST_COEFFICIENTS, LinearCombination, Outputs, fit_exponents, joint_log_prob
from ssal.model import SSALModel
from ssal.run.calibration import calibration, likelihood_gains, repairs, unfitted_ways
from ssal.run.faithfulness import QUICK, check_model, write_checks
from ssal.run.hierarchy import severity
from ssal.run.results import WAYS, error_detection, group_accuracy, predictions_table, summaries
from ssal.run.saved import SavedModel, save_model, save_selector
from ssal.run.selection import back_off, selective
from ssal.run.stages import Workplace, training_seconds
from ssal.selective import Sample, fit_selector
from ssal.training import Collected, collect_outputs


def log_probabilities(outputs: Outputs, saved: SavedModel) -> dict[str, Tensor]:
    """Log-probabilities of the classes by each way of prediction of a trained model."""
    labels = [label.cpu() for label in saved.model.labels]
    ways = {
        "TR": torch.log_softmax(outputs.main, dim=1),
        "JP": joint_log_prob(outputs, labels, saved.exponents.branches, saved.exponents.main),
    }
    return ways if saved.combination is None else ways | {"LC": saved.combination.log_prob(outputs)}


def as_sample(seen: Collected, saved: SavedModel) -> Sample:
    """Outputs for labelled images with their joint log-probabilities."""
    labels = tuple(label.cpu() for label in saved.model.labels)
    joint = joint_log_prob(seen.outputs, labels, saved.exponents.branches, saved.exponents.main)
    return Sample(seen.outputs, joint, seen.targets, labels)


def _none_of(seen: Collected) -> Collected:
    nothing = Outputs(seen.outputs.main[:0], tuple(group[:0] for group in seen.outputs.groups))
    return Collected(nothing, seen.targets[:0], seen.indices[:0])


def _together(first: Outputs, second: Outputs) -> Outputs:
    groups = zip(first.groups, second.groups, strict=True)
    return Outputs(torch.cat([first.main, second.main]), tuple(torch.cat(pair) for pair in groups))


def _fit_combination(place: Workplace, outputs: Outputs, targets: Tensor) -> LinearCombination | None:
    count = LinearCombination.count_coefficients(outputs)
    if count > MOST_COEFFICIENTS:
        place.log(f"no linear combination (LC): it would have {count:,} coefficients, too many to fit")
        return None
    return LinearCombination.fit(outputs, targets)


def fit_prediction(place: Workplace, model: SSALModel) -> SavedModel:
    """Fit exponents, linear combination and thresholds to the held-out images, and save the model with them.

    The linear combination takes the calibration part too: no score that a threshold is set on depends on it.
    """
    job, asked = place.job, place.job.settings.branch
    seen = collect_outputs(model, job.eval_loader(job.heldout)(rank=0, world_size=1))
    kept = (
        collect_outputs(model, job.eval_loader(job.calibration)(rank=0, world_size=1))
        if len(job.calibration)
        else _none_of(seen)
    )
    labels = [label.cpu() for label in model.labels]
    with place.timed("exponents"):
        exponents = (
            fit_exponents(seen.outputs, seen.targets, labels, asked.largest_exponent)
            if asked.exponents == "fit"
            else model.exponents
        )
    with place.timed("linear_combination"):
        combination = _fit_combination(
            place, _together(seen.outputs, kept.outputs), torch.cat([seen.targets, kept.targets])
        )
    saved = SavedModel(model, job.backbone, job.data.class_names, job.preprocess, exponents, combination)
    with place.timed("selector"):
        samples = [as_sample(part, saved) for part in (seen, kept)]
        saved = replace(saved, selector=fit_selector(samples[0], samples[1], asked.largest_exponent))
    save_model(place.directory.model, saved, version("ssal"))
    return saved


def measure(
    seen: Collected, saved: SavedModel, baseline: Collected | None, hierarchy: Hierarchy | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Accuracy, calibration and what abstaining brings on one data set, with the log-probabilities behind it.

    Args:
        seen: outputs of the trained model.
        saved: the model, with what was fitted for its prediction.
        baseline: outputs of the baseline for the same images, if there is one.
        hierarchy: superclasses of the classes, if there are any.

    Returns:
        What `metrics.json` holds but costs, and log-probabilities [N, C] of each way.
    """
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
    sample, selector = as_sample(seen, saved), saved.selector
    compared = ways | unfitted_ways(
        seen.outputs, sample.labels, None if selector is None else selector.exponent_alone
    )
    metrics["calibration"] = calibration(compared, seen.targets)
    metrics["likelihood_gain"] = likelihood_gains(compared, seen.targets)
    metrics["repairs"] = repairs(ways, seen.targets)
    metrics["selective"] = selective(sample, ways, selector)
    metrics["back_off"] = back_off(sample, selector)
    metrics["severity"] = severity(ways, seen.targets, hierarchy)
    return metrics, ways


def costs(
    saved: SavedModel, seconds: Mapping[str, float], ways: Container[str] = WAYS, before: Sequence[str] = ()
) -> dict[str, Any]:
    """Parameters, FLOPs and seconds of some ways; joint ones include what their groups cost.

    Args:
        saved: the trained model.
        seconds: of each stage; what is missing took none.
        ways: the ways that there are.
        before: stages that the groups need.
    """
    model, combination = saved.model, saved.combination
    bare = count_parameters(model.backbone)
    whole = count_parameters(model)
    extra = 0 if combination is None else combination.weight.numel() + combination.bias.numel()
    plain_flops = count_flops(model.backbone, model.input_shape)
    joint_flops = count_flops(model, model.input_shape)
    taken = defaultdict(float, seconds)
    joint = taken["joint"] + sum(taken[stage] for stage in before)
    found = {
        "params": {"baseline": bare, "TR": bare, "JP": whole, "LC": whole + extra},
        "flops": {"baseline": plain_flops, "TR": plain_flops, "JP": joint_flops, "LC": joint_flops},
        "seconds": {
            "baseline": taken["baseline"],
            "TR": joint,
            "JP": joint + taken["exponents"],
            "LC": joint + taken["linear_combination"],
        },
    }
    kept = {name: {way: cost for way, cost in each.items() if way in ways} for name, each in found.items()}
    return {**kept, "seconds": {**kept["seconds"], "stages": dict(seconds)}}


def test(place: Workplace, baseline: SSALModel | None, saved: SavedModel) -> dict[str, Any]:
    """Measure every way once on the test data, and write the predictions."""
    job = place.job
    loader = job.eval_loader(job.data.test)(rank=0, world_size=1)
    with place.timed("test"):
        plain = None if baseline is None else collect_outputs(baseline, loader)
        seen = collect_outputs(saved.model, loader)
    metrics, ways = measure(seen, saved, plain, job.data.hierarchy)
    if saved.selector is not None:
        save_selector(place.directory.model, saved.selector.tested(as_sample(seen, saved)))
    table = predictions_table(
        seen.indices, seen.targets, ways, seen.outputs, saved.model, job.data.class_names
    )
    write_bytes(place.directory.predictions, table)
    before = ("baseline", "confusion", "grouping") if job.settings.groups_from == "baseline" else ()
    return metrics | costs(saved, training_seconds(place), ways, before)


def check_maps(place: Workplace, saved: SavedModel) -> None:
    """Check on a few test images whether the maps are true, and say what was found.

    A check that fails costs nothing but itself.
    """
    job, folder = place.job, place.directory.predictions.parent
    if not job.settings.explanation_images:
        return
    options = replace(QUICK, images=job.settings.explanation_images)
    try:
        with place.timed("explanations"):
            checks = check_model(
                saved, job.data.test, options, precision=job.precision, workers=job.settings.workers
            )
    except Exception as error:
        # Of any kind: a network that maps cannot be made of has been trained all the same.
        place.log(f"the maps were not checked: {' '.join(str(error).split())[:200]}")
        return
    write_checks(checks, folder)
    # The first sentence compares with random maps; the report has them all.
    said, *others = findings(checks)
    place.log(said)
    for sentence in others:
        place.log.note(sentence)
