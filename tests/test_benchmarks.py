"""The benchmarks' bookkeeping; what they measure is no test."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch):
    """A module of the folder of benchmarks."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name: str) -> ModuleType:
        return __import__(name)

    return load


def measuring() -> set[str]:
    return {path.stem for path in FOLDER.glob("*.py") if "Ratio(" in path.read_text(encoding="utf-8")}


def test_all_that_print_a_ratio_are_run(module) -> None:
    # The growth has a command of its own.
    assert set(module("run_all")._SCRIPTS) == measuring() - {"growth"}


def test_all_are_explained() -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert named == measuring() - {"growth"}


def test_pairs_of_a_round_are_compared(module) -> None:
    harness = module("harness")
    # A slow moment in the second round.
    figures = {"ours": [1.0, 9.0, 1.2], "theirs": [2.0, 18.0, 2.0]}
    assert harness.paired_ratio(figures, "theirs", "ours") == 2.0
    order: list[str] = []
    sides = {name: lambda name=name: order.append(name) or len(order) for name in "ab"}
    assert harness.take_turns(sides, rounds=2, warm_up=1) == {"a": [3, 6], "b": [4, 5]}
    assert "".join(order) == "baabba"


@pytest.mark.parametrize(("better", "reached"), [("at least", True), ("at most", False)])
def test_a_ratio_is_one_line_and_one_row(
    module, better: str, reached: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    module("harness").Ratio("a ÷ b", 2.0, 1.5, better, {"a": 4.0, "b": 2.0}).print()
    (line,) = capsys.readouterr().out.splitlines()
    parsed = json.loads(line)
    assert (parsed["ratio"], parsed["target"], parsed["reached"]) == (2.0, 1.5, reached)
    sign, word = ("≥", "yes") if reached else ("≤", "**no**")
    assert module("run_all").row(parsed) == f"| a ÷ b | 2 | {sign} 1.5 | {word} | a 4, b 2 |"


def test_the_same_growth_gives_the_same_pictures(module, tmp_path: Path) -> None:
    lines = {"step": [[10, 0.1], [100, 0.9], [1000, 9.0]], "groups": [[10, 0.01], [1000, 0.2]]}
    panel = {"x": "classes", "y": "seconds", "lines": lines}
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        module("growth_pictures").draw({"classes": panel, "branches": panel}, folder)
    assert sorted(path.name for path in first.iterdir()) == ["growth-branches.svg", "growth-classes.svg"]
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()
    assert len({path.read_bytes() for path in first.iterdir()}) == 2


def test_copies_are_counted(module) -> None:
    found = module("copies").by_pytorch(
        lambda: nn.Conv2d(3, 4, 3)(torch.randn(5, 8, 8, 3).permute(0, 3, 1, 2).contiguous()).sum(), 5
    )
    assert found.of_activations == 1
    assert 0 < found.copying < found.all


def test_onednn_s_log_is_read(module) -> None:
    log = """onednn_verbose,v1,primitive,info,template:operation,engine,primitive,exec_time
onednn_verbose,v1,primitive,exec,cpu,reorder,jit:blk,undef,src:f32::blocked:acdb::f0 dst:f32::blocked:abcd::f0,a:u,,24x3x8x8,0.5
onednn_verbose,v1,primitive,exec,cpu,reorder,jit:blk,undef,src:f32::blocked:acdb::f0 dst:f32::blocked:abcd::f0,a:u,,16x3x3x3,0.25
onednn_verbose,v1,primitive,exec,cpu,convolution,brg:avx2,forward_training,src:f32::blocked:acdb::f0,a:u,alg:direct,mb24_ic3,3
"""  # noqa: E501
    found = module("copies").by_onednn(log, 24)
    assert (found.copying, found.all, found.of_activations) == (0.75, 3.75, 1)
