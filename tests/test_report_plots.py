"""The charts of a report as files."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from ssal.report import write_report

from .made_runs import made_run, names_of


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return made_run(tmp_path / "run", [*names_of(4)[:3], '<script>"&'])


def test_charts_are_files_of_their_own(run: Path) -> None:
    page = write_report(run).read_text(encoding="utf-8")
    files = sorted((run / "plots").iterdir())
    assert len(files) == page.count('class="chart"') > 5
    assert {"accuracy.svg", "loss.svg", "reliability-0.svg"} <= {file.name for file in files}
    for file in files:
        text = file.read_text(encoding="utf-8")
        root = ElementTree.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg" and "var(" not in text
        assert root.attrib["aria-label"] and len(list(root.iter())) > 3


def test_old_charts_go_and_other_files_stay(run: Path) -> None:
    (run / "plots").mkdir()
    for name in ("older.svg", "mine.txt"):
        (run / "plots" / name).write_text("x")
    write_report(run)
    assert not (run / "plots" / "older.svg").exists() and (run / "plots" / "mine.txt").exists()


def test_a_report_elsewhere_leaves_the_run_as_it_is(run: Path, tmp_path: Path) -> None:
    write_report(run, tmp_path / "page.html")
    assert not (run / "plots").exists()
