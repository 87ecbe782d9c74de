"""Order, failures and deaths of child processes, with a stand-in that trains nothing."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ssal.config import make_settings
from ssal.errors import RunError
from ssal.experiments import pool
from ssal.experiments.plan import Cell
from ssal.experiments.pool import run_cells
from ssal.experiments.store import Store
from ssal.experiments.training import Training

STAND_IN = Path(__file__).with_name("experiment_worker.py")


def cell(deed: str, seed: int = 0, after: Cell | None = None) -> Cell:
    settings = make_settings({"data": "digits", "model": deed, "seed": seed})
    training = Training(settings, "ssal" if after else "baseline")
    return Cell(deed, seed, replace(training, groups_from=after.digest if after else None))


class Run:
    def __init__(self, folder: Path) -> None:
        self.store, self.log = Store(folder / "out"), folder / "log"
        self.log.touch()
        self.said: list[str] = []

    def __call__(self, *cells: Cell, workers: int = 2) -> dict[str, str]:
        def report(cell: Cell, line: str) -> None:
            self.said.append(f"{cell.name} {cell.seed}: {line}")

        command = (sys.executable, str(STAND_IN), str(self.log))
        return run_cells(cells, self.store, workers, report, command)

    @property
    def deeds(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_all_are_done_once_and_kept(run: Run) -> None:
    cells = [cell("one"), cell("two"), cell("one", seed=1), cell("one")]
    assert run(*cells) == {}
    assert sorted(run.deeds) == ["one 0", "one 1", "two 0"]
    assert all(run.store.is_done(one.training) for one in cells)
    assert run(*cells) == {}
    assert len(run.deeds) == 3, "nothing is done again"


def test_a_baseline_comes_before_those_that_need_it(run: Run) -> None:
    first = cell("base")
    run(cell("branches", after=first), first, cell("other"), workers=3)
    assert run.deeds.index("base 0") < run.deeds.index("branches 0")
    said = run.said
    assert said.index("base 0: done") < said.index("branches 0: started")


def test_one_that_takes_the_time_of_another_comes_after_it(run: Run) -> None:
    first = cell("branches")
    second = cell("same")
    second = replace(second, training=replace(second.training, same_time_as=first.digest))
    run(second, first, workers=2)
    assert run.said.index("branches 0: done") < run.said.index("same 0: started")


def test_one_that_fails_stops_only_those_that_need_it(run: Run) -> None:
    base = cell("fails")
    lost, fine = cell("branches", after=base), cell("fine")
    failed = run(base, lost, fine)
    assert failed[base.digest] == "no such thing"
    assert "baseline" in failed[lost.digest]
    assert set(failed) == {base.digest, lost.digest}
    assert run.store.is_done(fine.training) and not run.store.is_done(lost.training)
    assert run.store.error(base.digest) == "no such thing"
    assert any(line.startswith("branches 0: failed") for line in run.said)
    run(base, lost, fine)
    assert run.deeds.count("fails 0") == 2, "tried again at the next start"
    assert run.deeds.count("fine 0") == 1


def test_one_that_is_killed_is_marked_and_repeated(run: Run) -> None:
    dies, fine = cell("dies"), cell("fine")
    failed = run(dies, fine, workers=1)
    assert "SIGKILL" in failed[dies.digest]
    assert run.store.error(dies.digest) == failed[dies.digest]
    assert run.store.is_done(fine.training), "another process takes over"
    run(dies, fine, workers=1)
    assert run.deeds.count("dies 0") == 2


def test_one_that_another_process_does_is_asked_for_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_BUSY_SECONDS", 0.1)
    busy = cell("busy")
    assert run(busy) == {}
    assert run.deeds == ["busy 0", "busy 0"]
    assert run.store.is_done(busy.training)


def test_children_end_with_the_parent_loop(run: Run) -> None:
    def interrupt(cell: Cell, line: str) -> None:
        raise KeyboardInterrupt

    command = (sys.executable, str(STAND_IN), str(run.log))
    with pytest.raises(KeyboardInterrupt):
        run_cells([cell("slow")], run.store, 1, interrupt, command)


def test_a_child_that_cannot_start_is_an_error(run: Run) -> None:
    with pytest.raises(RunError, match=r"cannot start.*status 3: out of order"):
        run_cells(
            [cell("one")],
            run.store,
            1,
            lambda cell, line: None,
            (sys.executable, "-c", "import sys; print('out of order', file=sys.stderr); sys.exit(3)"),
        )
