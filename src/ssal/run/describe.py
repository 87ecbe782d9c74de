"""What would be trained, and where branches can go, as text."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from itertools import islice

import timm

from ssal.backbones import create_backbone
from ssal.branches import build_branch
from ssal.config import Settings
from ssal.cost import count_flops, count_parameters
from ssal.errors import InputError
from ssal.model import SSALModel
from ssal.run.job import Job
from ssal.run.prepare import prepare
from ssal.taps import choose_taps, tappable_layers
from ssal.training import step_seconds


def _peak_memory() -> float:
    """Largest resident size of this process so far, in GB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6)


def _describe_model(name: str, model: SSALModel, job: Job) -> str:
    parameters, flops = count_parameters(model), count_flops(model, job.input_shape)
    return f"{name:9} {parameters:>12,} parameters {flops / 1e6:>10,.1f} MFLOPs"


def describe_plan(settings: Settings) -> str:
    """Data, shapes, cost, memory and estimated time of a training, after two batches of it.

    Nothing is written.

    Raises:
        InputError, DataError: as `start_training`.
    """
    notes: list[str] = []
    job = prepare(settings)
    with job.paying_threads(notes.append):
        return _describe(job.decide(notes.append), notes)


def _describe(job: Job, notes: Sequence[str]) -> str:
    loader = job.train_loader()(rank=0, world_size=1)
    batches = list(islice(iter(loader), 2))
    joint = job.make_model(job.blank_groupings())
    models = {"baseline": job.make_model(()), "joint": joint} if job.settings.baseline else {"joint": joint}
    outputs = joint(batches[0].images)
    lines = [
        f"data      {job.describe_data()}",
        f"batch     {tuple(batches[0].images.shape)}, {len(loader)} an epoch, precision {job.precision}",
        *(_describe_model(name, model, job) for name, model in models.items()),
    ]
    for tap, spec, layout, logits in zip(joint.taps, joint.specs, job.layouts, outputs.groups, strict=True):
        shape = "×".join(map(str, tap.feature))
        beside = ", and the other branches" if spec.fused else ""
        way = "read off its classes" if spec.summed else f"{shape} → {layout}{beside}"
        lines.append(f"branch    {spec.tap}: {way} → {logits.shape[1]} groups")
    steps = {
        name: step_seconds(model, len(batches[0].targets), job.precision) for name, model in models.items()
    }
    epochs = {name: (job.baseline_plan() if name == "baseline" else job.plan()).epochs for name in models}
    total = sum(seconds * epochs[name] for name, seconds in steps.items()) * len(loader)
    lines += [*job.notes, *notes]
    each = ", ".join(f"{1000 * seconds:.0f} ms a step {name}" for name, seconds in steps.items())
    counted = " and ".join(f"{count} epochs {name}" for name, count in epochs.items())
    lines.append(f"time      {each}; about {total / 60:.1f} minutes for {counted}")
    lines.append(f"memory    {_peak_memory():.2f} GB at most so far")
    return "\n".join(lines)


def _default_size(model: str) -> tuple[int, int]:
    if ":" in model:
        raise InputError(f"{model!r} tells no image size; give --image-size")
    config = timm.get_pretrained_cfg(model) if timm.is_model(model.partition(".")[0]) else None
    return (32, 32) if config is None or not config.input_size else config.input_size[1:]


def describe_layers(
    model: str,
    num_classes: int,
    channels: int,
    image_size: tuple[int, int] | None,
    width: int | None,
    depth: int,
) -> str:
    """The layers of a network where a branch can be attached, with what the default branch costs there.

    Args:
        model: timm name or `package.module:callable`.
        num_classes: C.
        channels: channels of the images.
        image_size: height and width; the network's own if None.
        width: channels of the first stage, for networks that take it.
        depth: names with more dots than this are left out.

    Raises:
        InputError: the model is unknown or cannot be built so.
    """
    known = image_size or _default_size_of(model, num_classes)
    network = create_backbone(model, num_classes, in_chans=channels, input_size=known, width=width)
    shape = (channels, *known)
    whole = count_flops(network, shape)
    taps = tappable_layers(network, shape)
    try:
        chosen = choose_taps(network, 3, shape)
    except InputError:
        chosen = ()
    lines = [
        f"{model}: {count_parameters(network):,} parameters, {whole / 1e6:,.1f} MFLOPs at "
        f"{'×'.join(map(str, shape))}",
        f"{'layer':40} {'output':>14} {'format':>7} {'branch':>8}",
    ]
    for tap in taps:
        if tap.name.count(".") > depth:
            continue
        branch = build_branch("light", tap.feature, max(2, num_classes // 2))
        share = 100 * count_flops(branch, tap.feature) / max(1, whole)
        mark = "  ← auto" if tap.name in chosen else ""
        lines.append(
            f"{tap.name:40} {'×'.join(map(str, tap.feature)):>14} {tap.format:>7} {share:>6.1f} %{mark}"
        )
    return "\n".join(lines)


def _default_size_of(model: str, num_classes: int) -> tuple[int, int]:
    if ":" in model or not timm.is_model(model.partition(".")[0]):
        create_backbone(model, num_classes)  # says what is wrong with the name, if anything is
    return _default_size(model)
