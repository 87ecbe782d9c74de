"""What the machine is said to be."""

import multiprocessing
import os
import platform
from pathlib import Path

import pytest
import torch

from ssal.machine import available_cores, processor

LINUX = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
flags\t\t: fpu avx512_bf16

processor\t: 1
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
"""


def described(folder: Path, text: str) -> str:
    path = folder / "cpuinfo"
    path.write_text(text, encoding="utf-8")
    name, instructions = processor(path).rsplit(", ", 1)
    assert instructions == torch.backends.cpu.get_cpu_capability()
    return name


def test_a_processor_is_told_from_others_of_its_name(tmp_path: Path) -> None:
    assert described(tmp_path, LINUX) == "AMD EPYC, family 25, model 17"
    assert described(tmp_path, LINUX.replace(": 17", ": 1")) == "AMD EPYC, family 25, model 1"


def test_numbers_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    assert described(tmp_path, "model name\t: Neoverse-N1 \nBogoMIPS\t: 50.00\n") == "Neoverse-N1"


@pytest.mark.parametrize("text", [None, "", "processor\t: 0\nCPU part\t: 0xd0c\n", "model name\t: \n"])
def test_without_a_name_python_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    if text is None:
        assert processor(tmp_path / "nothing").startswith("arm64, ")
    else:
        assert described(tmp_path, text) == "arm64"


def _cores_on_one(answer: "multiprocessing.Queue[int]") -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    answer.put(available_cores())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_cores_that_the_process_may_not_use_do_not_count() -> None:
    spawning = multiprocessing.get_context("spawn")
    answer = spawning.Queue()
    child = spawning.Process(target=_cores_on_one, args=(answer,))
    child.start()
    assert answer.get(timeout=120) == 1
    child.join()
