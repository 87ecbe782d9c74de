"""A pickle that runs code, in everything that a person can pass: it is never executed."""

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ssal.errors import SsalError

from ..test_cli import refused, ssal
from .sound import write_run


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "executed"


def test_the_payload_works(mark: Path) -> None:
    """Else nothing below would show anything."""
    pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists()


def forms(mark: Path) -> dict[str, bytes]:
    """The payload in every wrapping that a reader of pickles knows."""
    payload = Payload(mark)
    state = {"conv.weight": torch.zeros(2, 1, 3, 3), "extra": payload}
    zipped, legacy, array, arrays = (io.BytesIO() for _ in range(4))
    torch.save(state, zipped)
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    np.save(array, np.array([[payload, 1], [1, 1]], dtype=object), allow_pickle=True)
    np.savez(arrays, confusion=np.array([[payload, 1], [1, 1]], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(arrays, "a") as archive:
        archive.writestr("class_names.npy", array.getvalue())
    return {
        "bare pickle": pickle.dumps(payload),
        "bare pickle of the first protocol": pickle.dumps(payload, protocol=0),
        "PyTorch": zipped.getvalue(),
        "PyTorch, legacy": legacy.getvalue(),
        "numpy": array.getvalue(),
        "numpy archive": arrays.getvalue(),
    }


KINDS = sorted(forms(Path("x")))


@pytest.mark.parametrize("kind", KINDS)
def test_as_a_file_of_any_name(
    tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    content = forms(mark)[kind]
    for name in ("w.pt", "w.pth", "w.bin", "w.ckpt", "w.safetensors", "w.pkl", "w"):
        Path(name).write_bytes(content)
        refused(ssal("train", "digits", "--width", 4, "--weights", name, "--out", "new"), name)
    for name in ("g.json", "g.txt", "g.pkl"):
        Path(name).write_bytes(content)
        refused(ssal("train", "digits", "--groups", name, "--out", "new"), name)
        refused(ssal("groups", "show", name), name)
    for name in ("c.npz", "c.npy", "c.csv", "c.pkl"):
        Path(name).write_bytes(content)
        refused(ssal("groups", "derive", name, "-k", 2), name)
    for name in ("d.parquet", "d.pkl", "d.npz"):
        Path(name).write_bytes(content)
        refused(ssal("train", name, "--out", "new"), name)
    Path("s.yaml").write_bytes(content)
    refused(ssal("train", "digits", "--config", "s.yaml", "--out", "new"), "s.yaml")
    assert not mark.exists() and not Path("new").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_in_place_of_any_file_of_a_run(tmp_path: Path, mark: Path, kind: str) -> None:
    run = write_run(tmp_path / "run")
    (run / "image.png").write_bytes(forms(mark)[kind])
    verbs = (
        ("eval", run),
        ("predict", run, run / "image.png"),
        ("explain", run, run / "image.png", "--out", tmp_path / "explained"),
        ("groups", "show", run),
        ("groups", "derive", run, "-k", 2),
        ("train", "--resume", run),
    )
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.name != ".lock")
    for file in files:
        whole = file.read_bytes()
        file.write_bytes(forms(mark)[kind])
        for verb in verbs:
            assert ssal(*verb).returncode in (0, 1, 2), (file, verb)
        file.write_bytes(whole)
        assert not mark.exists(), file


@pytest.mark.parametrize("kind", ["bare pickle", "PyTorch", "numpy archive"])
def test_in_place_of_any_file_that_a_report_or_an_export_reads(tmp_path: Path, mark: Path, kind: str) -> None:
    run = write_run(tmp_path / "run")
    content = forms(mark)[kind]
    (run / "eval").mkdir()
    read = [*(path for path in run.rglob("*") if path.is_file()), run / "eval" / "predictions.parquet"]
    for file in sorted(read):
        whole = file.read_bytes() if file.exists() else None
        file.write_bytes(content)
        verbs = [("report", run, "--out", tmp_path / "report.html")]
        # It reads nothing else, and takes seconds.
        if file.parent.name == "model" and file.suffix != ".md":
            verbs.append(("export", run, "--format", "torch-export", "--out", tmp_path / "model.pt2"))
        for verb in verbs:
            done = ssal(*verb)
            assert done.returncode in (0, 2) and "Traceback" not in done.stderr, (file, verb, done.stderr)
        file.unlink()
        if whole is not None:
            file.write_bytes(whole)
        assert not mark.exists(), file


def test_in_a_checkpoint_of_a_run_that_goes_on(tmp_path: Path, mark: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "metrics.json").unlink()
    for kind, content in forms(mark).items():
        for file in (run / "checkpoints").iterdir():
            file.write_bytes(content)
        done = ssal("train", "--resume", run)
        assert done.returncode == 2 and "Traceback" not in done.stderr, (kind, done.stderr)
    assert not mark.exists()


def test_in_an_extension_type_of_a_parquet_file(tmp_path: Path, mark: Path) -> None:
    """What pyarrow before 14.0.1 unpickled when the file was opened."""
    payload = pickle.dumps(Payload(mark))
    field = pa.field(
        "label",
        pa.int64(),
        metadata={"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": payload},
    )
    images = pa.array([b"x"] * 4, pa.binary())
    table = pa.Table.from_arrays(
        [images, pa.array([0, 0, 1, 1])], schema=pa.schema([pa.field("image", pa.binary()), field])
    )
    pq.write_table(table, tmp_path / "d.parquet")
    refused(ssal("train", tmp_path / "d.parquet", "--out", tmp_path / "new"))
    pickled = {b"huggingface": payload, b"pandas": payload, b"ARROW:schema": payload}
    pq.write_table(table.replace_schema_metadata(pickled), tmp_path / "d.parquet")
    refused(ssal("train", tmp_path / "d.parquet", "--out", tmp_path / "new"))
    assert not mark.exists()


def test_a_model_folder_cannot_name_code(tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by the name of its backbone nor by any other text in it."""
    (tmp_path / "evil.py").write_text(f"import os\nos.mkdir({str(mark)!r})\ndef build(num_classes): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    run = write_run(tmp_path / "run")
    whole = json.loads((run / "model" / "config.json").read_text())
    for name in (
        "evil:build",
        "evil.build",
        "hf-hub:evil/model",
        "hf_hub:evil/model",
        "local-dir:evil",
        "os:mkdir",
    ):
        changed = whole | {"backbone": whole["backbone"] | {"name": name}}
        (run / "model" / "config.json").write_text(json.dumps(changed))
        refused(ssal("predict", run, run / "metrics.json"), "cannot be built")
    assert not mark.exists()


def test_weights_are_not_compressed(tmp_path: Path) -> None:
    """A small file must not unpack to a large one."""
    from ssal.weights import read_weights

    torch.save({"w": torch.zeros(1 << 20)}, tmp_path / "w.pt")
    assert read_weights(tmp_path / "w.pt")["w"].numel() == 1 << 20
    with (
        zipfile.ZipFile(tmp_path / "w.pt") as source,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    assert (tmp_path / "bomb.pt").stat().st_size < 20_000
    with pytest.raises(SsalError, match="compressed archive"):
        read_weights(tmp_path / "bomb.pt")
