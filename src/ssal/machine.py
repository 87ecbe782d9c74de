"""What this machine is: its processor, and how much of it this process may use."""

import os
import platform
import re
from contextlib import suppress
from pathlib import Path

import torch

_CPUINFO = Path("/proc/cpuinfo")
_FIELD = re.compile(r"^(model name|cpu family|model)[ \t]*:[ \t]*(\S.*)$", re.MULTILINE)


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor(cpuinfo: Path = _CPUINFO) -> str:
    """Return its name, and the instructions that PyTorch uses of it: why times of two machines differ.

    In a virtual machine the name may be that of a family alone: the numbers behind it are given too.

    Args:
        cpuinfo: Where Linux describes it; elsewhere, or where it has no name there, Python is asked.
    """
    name = platform.processor() or platform.machine()
    with suppress(OSError):
        found = dict(_FIELD.findall(cpuinfo.read_text(encoding="utf-8", errors="replace")))
        if "model name" in found:
            numbers = [f"{key.split()[-1]} {found[key]}" for key in ("cpu family", "model") if key in found]
            name = ", ".join([found["model name"].strip(), *numbers])
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"
