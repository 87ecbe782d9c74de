"""What of this machine helps or hinders training."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

import torch
from packaging.requirements import Requirement

from ssal.backbones import create_backbone
from ssal.machine import available_cores, processor
from ssal.model import SSALModel
from ssal.training import step_seconds

_EXTRAS = {"datasets": "hf", "tensorboard": "tb", "wandb": "wandb"}


@dataclass(frozen=True)
class Finding:
    """One line of `ssal doctor`."""

    level: Literal["ok", "note", "fault"]
    text: str


def examine() -> list[Finding]:
    """Check versions, processor, precision, memory, disk and optional packages."""
    return [*_versions(), *_machine(), _precision(), *_storage(), *_optional()]


def _versions() -> Iterator[Finding]:
    yield Finding("ok", f"ssal {version('ssal')}, Python {platform.python_version()}")
    for line in requires("ssal") or []:
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            have = version(wanted.name)
        except PackageNotFoundError:
            yield Finding("fault", f"{wanted.name} is missing: pip install '{wanted.name}{wanted.specifier}'")
            continue
        if wanted.specifier.contains(have, prereleases=True):
            yield Finding("ok", f"{wanted.name} {have}")
        else:
            remedy = f"pip install '{wanted.name}{wanted.specifier}'"
            yield Finding("fault", f"{wanted.name} {have} is not {wanted.specifier}: {remedy}")


def _machine() -> Iterator[Finding]:
    cores, threads = available_cores(), torch.get_num_threads()
    yield Finding("ok", f"{processor()}, {cores} cores, {threads} threads")
    if threads > cores:
        yield Finding("note", f"more threads than cores; set OMP_NUM_THREADS={cores}")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield Finding("ok", f"GPU {index}: {properties.name}, {properties.total_memory / 1e9:.0f} GB")
    if not torch.cuda.is_available():
        yield Finding("note", "no GPU; training runs on the CPU, so start with --width 16")


def _precision() -> Finding:
    network = create_backbone("resnet18_cifar", 10, width=16)
    model = SSALModel(network, [], (3, 32, 32))
    single, half = (step_seconds(model, 32, precision) for precision in ("32", "bf16"))
    ratio = single / half
    advice = "auto will use it" if ratio > 1.05 else "auto will stay with single precision"
    return Finding("ok", f"bfloat16 is {ratio:.2f} times as fast as single precision here; {advice}")


def _storage() -> Iterator[Finding]:
    try:
        with tempfile.NamedTemporaryFile(dir=Path.cwd()):
            pass
    except OSError as error:
        yield Finding("note", f"this folder cannot be written to ({error.strerror}); give --out")
    shared = Path("/dev/shm")
    if sys.platform == "linux" and shared.exists():
        stat = os.statvfs(shared)
        free = stat.f_bavail * stat.f_frsize / 1e9
        if free < 0.5:
            yield Finding("note", f"{free:.2f} GB of shared memory; loaders may need --workers 0")


def _optional() -> Iterator[Finding]:
    for package, extra in _EXTRAS.items():
        if importlib.util.find_spec(package) is None:
            yield Finding("note", f"{package} is not installed; if wanted: pip install 'ssal[{extra}]'")
        else:
            yield Finding("ok", f"{package} {version(package)}")
