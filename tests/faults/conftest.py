from collections.abc import Iterator
from pathlib import Path

import pytest

from .bench import Bench, Outcome, make_images, outcome, settings


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_images(tmp_path_factory.mktemp("faults") / "images")


@pytest.fixture(scope="session")
def settled_run(bench: Bench, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbs."""
    folder = tmp_path_factory.mktemp("settled")
    done = bench.run(folder, *settings(images), "--out", "run")
    assert done.status == 0, done.output
    return folder / "run"


@pytest.fixture(scope="session")
def settled(settled_run: Path) -> Outcome:
    """What a run leaves that nothing disturbs."""
    return outcome(settled_run)


@pytest.fixture(scope="session")
def settled_by_baseline(bench: Bench, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Likewise of a run whose groups come from its baseline."""
    folder = tmp_path_factory.mktemp("settled by baseline")
    done = bench.run(folder, *settings(images, groups_from="baseline"), "--out", "run")
    assert done.status == 0, done.output
    return outcome(folder / "run")


@pytest.fixture(scope="session")
def settled_by_two(bench: Bench, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Likewise of a data-parallel run, where batch norm makes it another one."""
    folder = tmp_path_factory.mktemp("settled by two")
    done = bench.run(folder, *settings(images, devices=2), "--out", "run")
    assert done.status == 0, done.output
    return outcome(folder / "run")
