"""The tables of README.md and RESULTS.md are what the files in results/ say."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def results() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results", ROOT / "tools" / "results.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["README.md", "RESULTS.md"])
def test_the_tables_are_those_of_the_files(results: ModuleType, name: str) -> None:
    page = (ROOT / name).read_text(encoding="utf-8")
    assert results.renewed(page) == page, "python tools/results.py"
    assert len(re.findall("<!-- (table|differences|reading): ", page)) == page.count("<!-- end -->") > 0


def row(label: str, times: dict[str, float | None], **more: Any) -> dict[str, Any]:
    measured = {"nll": 2.0, "ece": 1.0, "auroc": 0.8, "parameters": 7e5, "flops": 1.8e7, "seconds": 9.0}
    by_seed = {seed: measured if time is None else {**measured, "time": time} for seed, time in times.items()}
    top1 = {"mean": 40.0, "deviation": 0.5, "count": len(times)}
    return {"label": label, "by_seed": by_seed, "top1": top1, **more}


def test_rows_are_written_as_they_were_measured(
    results: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        row("baseline", {"0": 1.0, "1": 1.0}),
        row(
            "slow: JP",
            {"0": None, "1": 2.5},
            difference={"mean": -1.5, "low": -3.0, "high": 0.25, "count": 2},
        ),
        row("slower", {"1": None}),
        {"label": "waiting", "by_seed": {}, "top1": None},
    ]
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "x.json").write_text(json.dumps({"rows": rows}), encoding="utf-8")
    monkeypatch.setattr(results, "ROOT", tmp_path)
    lines = results.table("x", ["slow", "waiting"]).splitlines()
    assert len(lines) == 3
    assert lines[2] == (
        "| slow: JP | 40.00 ± 0.50 | 2 | −1.50 [−3.00, +0.25] | 2.000 | 1.0 | 0.800 | 0.70M | 18.0 | 2.50 |"
    )
    everything = results.table("x", []).splitlines()
    assert len(everything) == 5 and everything[-1].endswith("| 18.0 |  |")
    pairs = results.differences_table("x", [])
    assert pairs.splitlines()[2:] == ["| slow: JP | −1.50 [−3.00, +0.25] | 2 |"]
    with pytest.raises(ValueError, match="no row 'slow: J', 'fast'"):
        results.table("x", ["slow", "slow: J", "fast"])
    assert results.table("x", ["waiting"]) == results.differences_table("x", ["slower"]) == "*Still to come.*"
    with pytest.raises(ValueError, match="cannot be chosen: slow"):
        results.reading_table("x", ["slow"])
    page = "before\n<!-- table: x [slower] -->\nstale\n<!-- end -->\nafter\n"
    renewed = results.renewed(page)
    assert renewed.startswith("before\n<!-- table: x [slower] -->\n| ") and "stale" not in renewed
    assert renewed.endswith("\n<!-- end -->\nafter\n") and results.renewed(renewed) == renewed


def test_readings_are_means_over_their_seeds(
    results: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = {"TR": 40.0, "JP": 42.0, "repaired": 300, "broken": 100}
    first |= {"branches": [50.0, 40.0], "errors_inside_a_group": [30.0, 0.0]}
    second = {**first, "JP": 43.0, "repaired": 400, "branches": [52.0, 41.0]}
    seeds = {"0": {"rows": {"join": first, "classes": first}}, "2": {"rows": {"join": second}}}
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "r.json").write_text(json.dumps({"seeds": seeds}), encoding="utf-8")
    monkeypatch.setattr(results, "ROOT", tmp_path)
    lines = results.renewed("<!-- reading: r -->\n<!-- end -->\n").splitlines()
    assert lines[3] == "| join | 2 | 40.00 | 42.50 | 350 | 100 | 51.0, 40.5 | 30.0, 0.0 |"
    assert lines[4] == "| classes | 1 | 40.00 | 42.00 | 300 | 100 | 50.0, 40.0 | 30.0, 0.0 |"
    assert len(lines) == 6
