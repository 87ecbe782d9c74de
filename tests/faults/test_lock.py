"""Two runs in one folder: the second is refused at once; a killed one refuses nobody."""

import time
from pathlib import Path

import pytest

from .bench import Bench, Outcome, outcome, settings

PAUSE = {"where": "ssal.training.module:TrainingModule.training_step", "call": 20}


@pytest.mark.parametrize("how", ["resume", "overwrite", "same"])
def test_the_second_is_refused(
    bench: Bench, images: Path, settled: Outcome, tmp_path: Path, how: str
) -> None:
    marker = tmp_path / "here"
    first = bench.start(
        tmp_path, *settings(images), "--out", "run", fault=("pausing", PAUSE | {"marker": str(marker)})
    )
    while not marker.exists():
        assert first.wait(0.002) is None, first.output.read_text()
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    more = {
        "resume": ["train", "--resume", "run"],
        "overwrite": [*settings(images), "--out", "run", "--overwrite"],
        "same": [*settings(images), "--out", "run"],
    }[how]
    started = time.monotonic()
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "run").symlink_to(tmp_path / "run")
    second = bench.run(tmp_path / "second", *more)
    seconds = time.monotonic() - started
    assert second.status == 2, second.output
    reason = "holds a run already" if how == "same" else "another process is working in run"
    assert reason in second.output.splitlines()[-1]
    assert seconds < 2
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    if how == "resume":
        first.kill()
        done = bench.run(tmp_path, *more)
    else:
        marker.with_name("here.go").touch()
        done = first.done()
    assert done.status == 0, done.output
    assert outcome(tmp_path / "run") == settled
