"""Every experiment from end to end at the smallest scale, on two child processes; a minute or two."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ssal.experiments.outcome import show
from ssal.experiments.reading import list_experiments
from ssal.experiments.runner import plan_reproduction, reproduce


# One test and not one for each experiment: they share trainings, and pytest-xdist would do them twice.
@pytest.mark.timeout(900)
def test_all_experiments(tmp_path: Path) -> None:
    plans = [plan_reproduction(name, scale="smoke", out=tmp_path) for name in list_experiments()]
    said: list[str] = []
    assert reproduce(plans, workers=2, say=said.append) == {}
    distinct = {cell.digest for plan in plans for cell in plan.cells}
    assert sum(line.endswith(": done") for line in said) == len(distinct)
    said.clear()
    assert reproduce(plans, say=said.append) == {} and said == [], "finished ones are kept"
    for plan in plans:
        text = show(plan)
        assert "failed" not in text and "–" not in text.replace("'–'", ""), text
        record = json.loads((tmp_path / f"{plan.stem}.json").read_text(encoding="utf-8"))
        assert all(row["top1"] is not None and row["top1"]["count"] == 1 for row in record["rows"]), plan.name
        assert len(record["rows"]) == len(plan.experiment.rows)
        if plan.experiment.panels or plan.experiment.pictures:
            assert ElementTree.parse(tmp_path / f"{plan.stem}.svg").getroot().tag.endswith("svg")
        if plan.experiment.pictures:
            pictures = json.loads((tmp_path / f"{plan.stem}.pictures.json").read_text(encoding="utf-8"))
            before = (tmp_path / f"{plan.stem}.png").stat().st_mtime_ns
            assert pictures["examples"] and pictures["examples"][0]["parts"][0]["map"]
            show(plan)
            assert (tmp_path / f"{plan.stem}.png").stat().st_mtime_ns == before, "drawn once"


def test_interrupted_by_a_person(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ssal", "reproduce", "table1", "--scale", "smoke", "--workers", "1"]
    process = subprocess.Popen(
        [*command, "--set", "epochs=500", "--cells", "resnet18"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "baseline 1/500" in line:
            break
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = children.read_text(encoding="utf-8").split() if children.exists() else []
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in err and "Traceback" not in err
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert not list(tmp_path.glob("reproduce/trainings/*/training.json"))
