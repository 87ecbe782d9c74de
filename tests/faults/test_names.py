"""Class and file names that mean mischief, in everything that a person or a program reads afterwards."""

import csv
import io
import json
import os
import unicodedata
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

import ssal as library
from ssal.cli.output import complain, say
from ssal.config import make_settings, read_yaml
from ssal.data import open_data
from ssal.evidence.figure import draw_evidence
from ssal.run.rows import as_record, print_predictions
from ssal.text import encodable, visible

from ..test_cli import ssal

HOSTILE = (
    "<script>alert(1)</script>",
    "\x1b[31mred\x1b]0;title\x07",
    "\u009b2Jwipe",
    "rtl \u202egnp.exe",
    "\u2066isolated\u2069 \u200f\u061c",
    "[red]bold[/red][link=file:///etc/passwd]",
    '=HYPERLINK("http://192.0.2.1","click")',
    "+1+cmd|' /C calc'!A0",
    "@SUM(1)",
    "-2+3",
    "＝1+1",
    "two\nlines: ssal: all is well",
    "\r\tcarriage",
    "n" * 3000,
    "$\\frac{x}{$ %s {0} ${HOME} `id`",
    "line\u2028separator\u2029 zero\u200bwidth \ufeff",
    "\U000e0041\ue000 private",
    "--></style><!-- &amp; \"'",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝")
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
QUICK = (
    "--model",
    "resnet18_cifar",
    "--width",
    4,
    "--epochs",
    1,
    "--precision",
    "32",
    "--taps",
    "layer2,layer3",
)


def harmful(text: str) -> set[str]:
    """Characters that steer a terminal, reorder text or hide."""
    return {character for character in text if unicodedata.category(character) in HIDDEN} - {"\n"}


def picture(level: int, number: int) -> Image.Image:
    noise = np.random.default_rng([level, number]).normal(12 * level + 8, 5, (8, 8))
    return Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Path]:
    """A run on classes of these names, what the terminal showed, and a folder of images."""
    root = tmp_path_factory.mktemp("names")
    images, labels = [], []
    for label, name in enumerate(HOSTILE):
        for number in range(5):
            buffer = io.BytesIO()
            picture(label, number).save(buffer, "PNG")
            images.append({"bytes": buffer.getvalue(), "path": None})
            labels.append(name)
    data = root / "<b>\x1b[31m\u202edata" / "all.parquet"
    data.parent.mkdir()
    pq.write_table(pa.table({"image": images, "label": labels}), data)
    done = ssal("train", data, *QUICK, "--groups", "4,all", "--out", root / "run")
    assert done.returncode == 0, done.stderr
    folder = root / "images"
    folder.mkdir()
    for number, name in enumerate(HOSTILE):
        base = os.fsencode(name.replace("/", "∕")[:120])
        picture(number, 9).save(Path(os.fsdecode(os.fsencode(folder) + b"/" + base + b".png")))
    picture(0, 9).save(Path(os.fsdecode(os.fsencode(folder) + b"/not utf-8 \xff\xe9.png")))
    Path(os.fsdecode(os.fsencode(folder) + b"/broken \xfe\x1b[2J\n.png")).write_bytes(b"no image")
    return root / "run", done.stdout, folder


def test_the_terminal_and_the_log_show_plain_lines(trained: tuple[Path, str, Path]) -> None:
    run, shown, folder = trained
    assert not harmful(shown)
    assert not harmful((run / "train.log").read_text(encoding="utf-8"))
    groups = ssal("groups", "show", run)
    assert groups.returncode == 0 and not harmful(groups.stdout)
    # A name with line breaks must not look like lines of the program's own.
    assert len(groups.stdout.splitlines()) == (1 + 4) + 1
    derived = ssal("groups", "derive", run, "-k", 3, "--out", run.parent / "three.json")
    assert not harmful(derived.stdout) and len(derived.stdout.splitlines()) == 1 + 3 + 1
    measured = ssal("eval", run)
    assert measured.returncode == 0 and not harmful(measured.stdout)
    predicted = ssal("predict", run, folder)
    assert predicted.returncode == 1 and not harmful(predicted.stdout + predicted.stderr)


def test_sentences_take_as_many_lines_as_they_say(trained: tuple[Path, str, Path]) -> None:
    run, _, folder = trained
    said: list[str] = []
    files = sorted(folder.iterdir())
    print_predictions(library.load(run), files, said.append, as_text=True)
    assert len(said) == len(files)
    assert not harmful("".join(said))
    assert sum(text.count("\n") for text in said) == 2 * (len(files) - 1)


def test_the_files_of_a_run_hold_the_names_and_nothing_harmful(trained: tuple[Path, str, Path]) -> None:
    run, _, _ = trained
    description = json.loads((run / "model" / "config.json").read_text(encoding="utf-8"))
    assert sorted(description["class_names"]) == sorted(HOSTILE)
    assert set(pq.read_table(run / "eval" / "predictions.parquet")["target"].to_pylist()) == set(HOSTILE)
    assert library.Grouping.load(run / "groups" / "layer2.json").class_names == tuple(sorted(HOSTILE))
    for path in run.rglob("*"):
        if path.suffix in (".json", ".md", ".yaml", ".csv", ".log", ".txt"):
            text = path.read_text(encoding="utf-8")
            assert not harmful(text), path
            assert path.suffix == ".json" or not any(name in text for name in HOSTILE), path
    assert yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["data"].endswith("all.parquet")


def test_tables_hold_no_formula_and_json_is_exact(trained: tuple[Path, str, Path], tmp_path: Path) -> None:
    run, _, folder = trained
    assert ssal("predict", run, folder, "--out", tmp_path / "rows.csv").returncode == 1
    text = (tmp_path / "rows.csv").read_text(encoding="utf-8")
    assert not harmful(text)
    rows = list(csv.reader(io.StringIO(text)))
    # One line of the file per row: no cell may look like rows.
    assert len(text.splitlines()) == len(rows) == len(list(folder.iterdir())) + 1
    assert not [cell for row in rows for cell in row if cell.startswith(FORMULA)]
    # Given alone, file names begin with what means a formula.
    alone = ssal(
        "predict", run, "=HYPERLINK.png", "--out", tmp_path / "alone.csv", cwd=_with_formula(tmp_path)
    )
    assert alone.returncode == 0
    assert (tmp_path / "alone.csv").read_text().splitlines()[1].startswith("'=HYPERLINK.png,")
    assert ssal("predict", run, folder, "--out", tmp_path / "rows.jsonl").returncode == 1
    lines = (tmp_path / "rows.jsonl").read_text(encoding="ascii").splitlines()
    records = [json.loads(line) for line in lines]
    assert not harmful("".join(lines))
    assert {record["class"] for record in records if not record["error"]} <= set(HOSTILE)
    assert {record["file"] for record in records} == {encodable(str(path)) for path in folder.iterdir()}
    for record in records:
        # Strict readers, unlike Python's, refuse what is no Unicode.
        json.dumps(record, ensure_ascii=False).encode("utf-8")


def _with_formula(folder: Path) -> Path:
    picture(1, 1).save(folder / "=HYPERLINK.png")
    return folder


def test_evidence_and_its_pictures(trained: tuple[Path, str, Path], tmp_path: Path) -> None:
    run, _, folder = trained
    for number, path in enumerate(sorted(folder.iterdir())[:3]):
        done = ssal("explain", run, path, "--out", tmp_path / str(number))
        assert not harmful(done.stdout + done.stderr), path
        if done.returncode:
            assert "cannot be read" in done.stderr
            continue
        text = (tmp_path / str(number) / "evidence.json").read_text(encoding="utf-8")
        assert not harmful(text) and json.loads(text)["class"] in HOSTILE
        for file in (tmp_path / str(number)).iterdir():
            assert file.suffix in (".json", ".png")
            if file.suffix == ".png":
                with Image.open(file) as shown:
                    assert not set(shown.info) - {"Software", "dpi"}
    predictor = library.load(run)
    image = picture(3, 3)
    drawn = draw_evidence(predictor.explain(image), predictor.preprocess.pixels(image), "svg").decode()
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(drawn).iter()}
    assert tags <= {"svg", "metadata", "RDF", "Work", "type", "date", "format", "creator", "Agent", "title",
                    "defs", "style", "g", "path", "use", "image", "clipPath", "rect"}  # fmt: skip
    assert not harmful(drawn) and "<script" not in drawn


def test_class_folders_whose_names_are_no_utf_8(tmp_path: Path) -> None:
    raw = (b"caf\xe9", b"\xff\xfe", b"plain", b"\x1b[1m")
    data = Path(os.fsdecode(os.fsencode(tmp_path) + b"/data \xfc"))
    for label, name in enumerate(raw):
        folder = os.fsencode(data) + b"/" + name
        Path(os.fsdecode(folder)).mkdir(parents=True)
        for number in range(5):
            picture(4 * label, number).save(Path(os.fsdecode(folder + b"/%d.png" % number)))
    names = open_data(data).class_names
    assert sorted(names) == sorted(("caf\\udce9", "\\udcff\\udcfe", "plain", "\x1b[1m"))
    done = ssal("train", data, *QUICK, "--groups", "2,all", "--out", tmp_path / "run")
    assert done.returncode == 0 and "/data \\udcfc: " in done.stdout, done.stderr
    assert make_settings(read_yaml(tmp_path / "run" / "config.yaml")).data == str(data)
    assert library.load(tmp_path / "run").class_names == names
    groups = ssal("groups", "show", tmp_path / "run").stdout
    assert "caf\\udce9" in groups and "\\x1b[1m" in groups


def test_a_terminal_of_another_alphabet_gets_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding in ("ascii", "latin-1", "cp1252"):
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
        monkeypatch.setattr("sys.stdout", out)
        monkeypatch.setattr("sys.stderr", err)
        say("猫 → ─ é \x1b")
        complain("猫")
        assert b"\\u732b" in out.buffer.getvalue() and b"\\x1b" in out.buffer.getvalue()
        assert err.buffer.getvalue().strip() == b"\\u732b"


def test_plain_names_stay_as_they_are() -> None:
    for name in ("cat", "Käse", "猫", "zwölf Äpfel 🍎", "a b", "x/y", "n'est-ce pas?"):
        assert visible(name) == encodable(name) == name
    record = as_record(Path("cat.png"), library.DataError("bad"))
    assert record == {"file": "cat.png", "error": "bad"}
