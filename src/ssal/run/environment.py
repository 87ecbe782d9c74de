"""What a run says of its machine and its libraries."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ssal.directory import RunDirectory
from ssal.files import write_json
from ssal.machine import available_cores, processor

_LIBRARIES = ("ssal", "torch", "torchvision", "timm", "lightning", "numpy", "scipy", "scikit-learn")


def describe_environment(**extra: Any) -> dict[str, Any]:
    """Versions, machine and command of this process, as plain values."""
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _LIBRARIES},
        "system": platform.platform(terse=True),
        "machine": platform.machine(),
        "processor": processor(),
        "cpus": available_cores(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        **extra,
    }


def write_environment(directory: RunDirectory, **extra: Any) -> None:
    """Write `env.json`."""
    write_json(directory.env, describe_environment(**extra))
