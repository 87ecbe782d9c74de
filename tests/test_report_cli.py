"""`ssal report`, the report at the end of a training, and the same from Python."""

import contextlib
import io
import sys
from pathlib import Path

import pytest

import ssal
from ssal import api
from ssal.cli import main

from .made_runs import made_run, names_of

BAD_INPUT = 2
TINY = ("--width", "4", "--epochs", "1", "--groups", "2,5", "--precision", "32")


def run_cli(*arguments: object) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    argv, sys.argv = sys.argv, ["ssal", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        sys.argv = argv
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    return [made_run(folder / f"g{seed}", names_of(4), seed=seed) for seed in range(2)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("trained") / "digits"
    code, out, err = run_cli("train", "digits", *TINY, "--out", path)
    assert code == 0, err
    return path, out


def test_a_training_ends_with_its_report(trained: tuple[Path, str]) -> None:
    path, out = trained
    assert out.strip().splitlines()[-1] == f"report: {path / 'report.html'}"
    text = (path / "report.html").read_text()
    assert text.startswith("<!doctype html>") and "data:image/webp" in text
    assert "Left out" not in text and "Without images" not in text
    for section in ("results", "changes", "groups", "confusion", "agreement", "trust", "training", "again"):
        assert f'id="{section}"' in text


def test_the_report_of_a_real_run_is_made_again_bit_by_bit(trained: tuple[Path, str]) -> None:
    path, _ = trained
    before = (path / "report.html").read_bytes()
    assert run_cli("report", path) == (0, f"report: {path / 'report.html'}\n", "")
    assert (path / "report.html").read_bytes() == before


def test_resuming_a_finished_run_makes_the_report_that_is_missing(trained: tuple[Path, str]) -> None:
    path, _ = trained
    kept = (path / "report.html").stat().st_mtime_ns
    code, out, _ = run_cli("train", "--resume", path)
    assert code == 0 and "report:" not in out and (path / "report.html").stat().st_mtime_ns == kept
    (path / "report.html").unlink()
    code, out, _ = run_cli("train", "--resume", path)
    assert code == 0 and f"report: {path / 'report.html'}" in out and (path / "report.html").exists()


def test_a_failing_report_is_one_line_and_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object, **__: object) -> Path:
        raise ZeroDivisionError("in the\nmiddle")

    monkeypatch.setattr(api, "write_report_of_one", fail)
    code, out, err = run_cli("train", "digits", *TINY, "--out", tmp_path / "run")
    assert code == 0 and err == ""
    path = tmp_path / "run"
    said = f"the run is finished, but its report failed: in the middle; try again: ssal report {path}"
    assert out.strip().splitlines()[-1] == said
    assert (path / "metrics.json").exists() and not (path / "report.html").exists()


def test_the_report_of_a_training_from_python(tmp_path: Path) -> None:
    said: list[str] = []
    settings = {"model": f"{__name__}:tiny", "epochs": 1, "groups": (2,), "taps": ("0",), "precision": "32"}
    run = ssal.train("digits", out=tmp_path / "run", echo=said.append, **settings)
    assert said[-1] == f"report: {run.path / 'report.html'}"
    # The backbone is made by a function, which the training was told: the report may call it too.
    assert "Without images" not in (run.path / "report.html").read_text()
    code, _, _ = run_cli("report", run.path, "--out", tmp_path / "without.html")
    assert code == 0 and "to allow it, pass it" in (tmp_path / "without.html").read_text()


def tiny(num_classes: int, **_: object) -> object:
    from torch import nn

    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, num_classes))


def test_several_runs_give_one_comparison(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "new" / "both.html"
    assert run_cli("report", *runs, "--out", out) == (0, f"report: {out}\n", "")
    assert "2 runs" in out.read_text()
    with contextlib.chdir(tmp_path):
        assert ssal.write_report(runs[0], str(runs[1])) == Path("compare.html")
        assert Path("compare.html").read_bytes() == out.read_bytes()
    assert ssal.write_report(runs[0]) == runs[0] / "report.html"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["nowhere"], ["no run directory at nowhere"]),
        (["{a}", "{a}"], ["is given twice"]),
        (["{a}", "--out", "x.pdf"], [".html or .htm, not 'x.pdf'"]),
        (["{unfinished}"], ["is not finished: metrics.json is missing", "ssal train --resume"]),
        (["{damaged}"], ["cannot read", "metrics.json"]),
        (["{a}", "{damaged}"], ["cannot read", "metrics.json"]),
    ],
)
def test_bad_input_gets_one_line_and_status_2(
    runs: list[Path], tmp_path: Path, arguments: list[str], parts: list[str]
) -> None:
    for name, content in (("unfinished", None), ("damaged", "{")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("data: digits\n")
        if content is not None:
            (tmp_path / name / "metrics.json").write_text(content)
    places = {"a": runs[0], "unfinished": tmp_path / "unfinished", "damaged": tmp_path / "damaged"}
    code, out, err = run_cli("report", *(argument.format_map(places) for argument in arguments))
    assert code == BAD_INPUT and out == "" and len(err.splitlines()) == 1
    assert all(part in err for part in parts), err


def test_help_has_examples() -> None:
    code, out, _ = run_cli("report", "--help")
    assert code == 0 and out.index("Examples:") < out.index("--out") and "ssal report runs/glyphs-1" in out
