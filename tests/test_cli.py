"""The command line as a person uses it; what a fresh process adds is tested in one."""

import contextlib
import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssal.cli import main
from ssal.directory import RunDirectory
from ssal.errors import InputError
from ssal.grouping import Grouping

BAD_INPUT = 2


def in_a_process(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ssal", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "100"},
        check=False,
    )


def ssal(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The same in this process, which has the libraries loaded already."""
    words = ["ssal", *map(str, arguments)]
    before, out, err = Path.cwd(), io.StringIO(), io.StringIO()
    argv, sys.argv = sys.argv, words
    os.chdir(cwd or before)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        os.chdir(before)
        sys.argv = argv
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    done = in_a_process(
        *("train", "digits", "--width", 8, "--epochs", 3, "--groups", "2,5", "--precision", "32"), cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert "baseline 3/3" in done.stdout and "joint 3/3" in done.stdout
    assert "JP" in done.stdout and "run: runs/digits-1" in done.stdout
    assert done.stderr == ""
    return folder / "runs" / "digits-1"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.zeros((16, 16), np.uint8)
    pixels[2:14, 7:9] = 255
    Image.fromarray(pixels).save(tmp_path / "one.png")
    return tmp_path / "one.png"


def refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """Exit status 2 and one line, no traceback."""
    assert done.returncode == BAD_INPUT, (done.stdout, done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("ssal: ")
    for part in parts:
        assert part in done.stderr


def test_help_comes_at_once_with_examples_first() -> None:
    started = time.perf_counter()
    done = in_a_process("--help")
    seconds = time.perf_counter() - started
    assert done.returncode == 0
    assert done.stdout.index("Examples") < done.stdout.index("--version")
    assert "ssal train glyphs" in done.stdout
    # The promise is under a second; a busy machine gets some more, torch alone would take longer still.
    assert seconds < 3
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, ssal.cli; print('torch' in sys.modules, 'numpy' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("occupied", ["run", "lock"])
def test_an_occupied_folder_is_refused_before_torch_is_loaded(tmp_path: Path, occupied: str) -> None:
    """Within two seconds, then, on any machine."""
    folder = RunDirectory(tmp_path / "run")
    if occupied == "run":
        folder.path.mkdir()
        folder.config.touch()
    code = (
        "import sys, ssal.cli, pytest\n"
        f"sys.argv = ['ssal', 'train', 'glyphs', '--out', {str(folder.path)!r}]\n"
        "with pytest.raises(SystemExit) as end: ssal.cli.main()\n"
        "print(end.value.code, 'torch' in sys.modules)"
    )
    with folder.locked() if occupied == "lock" else contextlib.nullcontext():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]
    assert {"run": "holds a run already", "lock": "another process is working"}[occupied] in done.stderr


@pytest.mark.parametrize("verb", ["train", "eval", "predict", "explain", "groups", "layers", "doctor"])
def test_every_verb_has_examples(verb: str) -> None:
    done = ssal(verb, "--help")
    assert done.returncode == 0
    assert "Examples:" in done.stdout and f"ssal {verb}" in done.stdout


def test_without_a_verb_the_help_is_shown() -> None:
    done = ssal()
    assert done.returncode == BAD_INPUT and "Examples:" in done.stderr


def test_settings_are_shown_by_their_rank(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("data: digits\nepochs: 3\nlr: 0.5\n")
    done = ssal(
        "train",
        "--config",
        tmp_path / "s.yaml",
        "--lr",
        0.2,
        "--set",
        "optimizer.momentum=0.8",
        "--print-config",
    )
    assert done.returncode == 0
    for line in ("epochs: 3", "lr: 0.2", "momentum: 0.8", "data: digits"):
        assert line in done.stdout
    assert list(tmp_path.iterdir()) == [tmp_path / "s.yaml"]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["train"], ["name the data"]),
        (["predict"], ["missing argument 'run'", "see ssal predict --help"]),
        (["predict", "r", "i.png", "--abstian", "0.1"], ["no such option: --abstian", "--abstain"]),
        (["predict", "r", "i.png", "--abstain", "few"], ["invalid value for '--abstain'", "(given: 'few')"]),
        (["train", "digits", "--criterion", "joim"], ["given: 'joim'", "did you mean 'join'?"]),
        (["train", "digits", "--out", ""], ["an argument is empty"]),
        (["predict", "r", ""], ["an argument is empty"]),
        (["train", "digits", "--out="], ["--out= is empty"]),
        (["predct"], ["no such command 'predct'", "see ssal --help"]),
        (["train", "digit"], ["unknown data set 'digit'", "digits"]),
        (["train", "digits", "--model", "resnet18_cfar"], ["unknown model", "resnet18_cifar"]),
        (["train", "digits", "--taps", "layr1,layer2,layer3"], ["unknown layer 'layr1'", "layer1"]),
        (["train", "digits", "--groups", "1,2,3"], ["1 groups asked for", "2 to 5"]),
        (["train", "digits", "--groups", "2,3,6"], ["6 groups asked for", "2 to 5"]),
        (["train", "digits", "--set", "optimzer.momentum=1"], ["unknown setting 'optimzer", "optimizer"]),
        (["train", "digits", "--lr", "0"], ["lr: input should be greater than 0"]),
        (["train", "digits", "--logger", "wandb"], ["pip install 'ssal[wandb]'"]),
        (["train", "--resume", "nowhere"], ["no run in nowhere"]),
        (["train", "--resume", "nowhere", "--dry-run"], ["not allowed beside it: --dry-run"]),
        (["train", "/no/such/folder"], ["/no/such/folder"]),
        (["eval", "nowhere"], ["no finished run in nowhere"]),
        (["predict", "nowhere", "x.png"], ["no file or folder at x.png"]),
        (["layers", "resnet5"], ["unknown model 'resnet5'", "resnet50"]),
        (["groups", "derive", "none.npz", "-k", "3"], ["none.npz"]),
        (["groups", "show", "none.json"], ["none.json"]),
    ],
)
def test_bad_input_gets_one_line_and_status_2(tmp_path: Path, arguments: list[str], parts: list[str]) -> None:
    refused(ssal(*arguments, cwd=tmp_path), *parts)
    assert not list(tmp_path.iterdir())


def test_tracebacks_only_on_request(tmp_path: Path) -> None:
    done = in_a_process("train", "digit", cwd=tmp_path)
    refused(done, "did you mean 'digits'")
    with pytest.raises(InputError, match="did you mean 'digits'"):
        ssal("train", "digit", "--debug", cwd=tmp_path)


def test_a_run_is_refused_resumed_and_overwritten(run: Path) -> None:
    folder = run.parent.parent
    refused(ssal("train", "digits", "--out", run, cwd=folder), "holds a run already", "--resume")
    done = ssal("train", "--resume", run)
    assert done.returncode == 0 and "finished already" in done.stdout and "JP" in done.stdout


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    done = ssal("train", "digits", "--width", 8, "--groups", "2,5", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for part in ("images to train on", "MFLOPs", "branch", "ms a step", "GB"):
        assert part in done.stdout
    assert not list(tmp_path.iterdir())


def test_eval_prints_the_table(run: Path) -> None:
    done = ssal("eval", run)
    assert done.returncode == 0, done.stderr
    top1 = json.loads((run / "metrics.json").read_text())["JP"]["top1"]
    assert f"{top1:.2f}" in done.stdout


def test_predictions_as_json_lines_and_csv(run: Path, picture: Path) -> None:
    done = ssal("predict", run, picture)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["file"] == str(picture) and record["error"] is None
    assert len(record["top5"]) == 5 and len(record["groups"]) == 2
    assert record["class"] == record["top5"][0][0]

    out = picture.parent / "out.csv"
    assert ssal("predict", run, picture, "--out", out).returncode == 0
    with out.open() as file:
        (row,) = csv.DictReader(file)
    assert row["class"] == record["class"] and float(row["top1_probability"]) == record["probability"]
    assert row["branch2_agrees"] in ("true", "false")

    refused(ssal("predict", run, picture, "--out", picture.parent / "out.xls"), ".csv or .jsonl")
    refused(ssal("predict", run, picture, "--mode", "jont"), "unknown mode 'jont'")


def test_unreadable_images_get_rows_and_do_not_stop_the_rest(run: Path, picture: Path) -> None:
    (picture.parent / "=bad.png").write_bytes(b"no image")
    out = picture.parent / "out.csv"
    done = ssal("predict", run, picture.parent, "--out", out)
    assert done.returncode == 1
    assert "1 of 2 images could not be read" in done.stderr
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["error"]) for row in rows] == [True, False]

    done = ssal("predict", run, "=bad.png", "--out", "rows.csv", cwd=picture.parent)
    assert done.returncode == 1
    with (picture.parent / "rows.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["file"] == "'=bad.png"


def test_groups_are_derived_shown_and_compared(run: Path, tmp_path: Path) -> None:
    done = ssal("groups", "derive", run, "-k", 5, "--out", tmp_path / "five.json")
    assert done.returncode == 0, done.stderr
    assert "5 groups hold" in done.stdout and (tmp_path / "five.json").exists()
    shown = ssal("groups", "show", run)
    assert "layer3: 5 groups of 2 classes" in shown.stdout
    Grouping.identity(10).save(tmp_path / "all.json")
    assert "the 10 classes themselves" in ssal("groups", "show", tmp_path / "all.json").stdout
    compared = ssal(
        "groups", "compare", run / "groups" / "layer3.json", tmp_path / "five.json", "--confusion", run
    )
    assert "1.000" in compared.stdout and compared.stdout.count("share of the confusion") == 2
    refused(ssal("groups", "derive", run, "-k", 6), "6", "2")
    refused(ssal("groups", "derive", run, "-k", 3, "--criterion", "joim"), "join")


def test_a_bad_confusion_matrix_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "wide.npy", np.zeros((3, 4)))
    refused(ssal("groups", "derive", tmp_path / "wide.npy", "-k", 2), "square")
    negative = np.eye(4)
    negative[1, 2] = -1
    np.save(tmp_path / "negative.npy", negative)
    refused(ssal("groups", "derive", tmp_path / "negative.npy", "-k", 2), "-1")
    negative[1, 2] = np.nan
    np.save(tmp_path / "nan.npy", negative)
    refused(ssal("groups", "derive", tmp_path / "nan.npy", "-k", 2), "nan")


def test_layers_lists_what_can_be_tapped() -> None:
    done = ssal("layers", "resnet18_cifar", "--width", 16)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("layer2 "))
    assert "32×16×16" in line and "auto" in line and "%" in line


def test_doctor_finds_this_machine_fit() -> None:
    done = ssal("doctor")
    assert done.returncode == 0, done.stdout
    assert "bfloat16" in done.stdout and "fault" not in done.stdout


def test_a_finished_run_is_shown_whoever_holds_its_folder(tmp_path: Path) -> None:
    """Going on with it writes nothing, so that nothing has to be refused."""
    folder = RunDirectory(tmp_path / "run")
    with folder.locked():
        folder.config.write_text("data: digits\n")
        assert "another process is working" in ssal("train", "--resume", folder.path).stderr
        folder.metrics.write_text("{}")
        assert "another process" not in ssal("train", "--resume", folder.path).stderr
