"""Archives are not unpacked: one line says so, and nothing is written anywhere."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ..test_cli import refused, ssal
from .sound import write_run


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("train/cat/1.png", b"x")
        archive.writestr("../../outside.txt", b"outside")
        archive.writestr("/tmp/outside.txt", b"outside")
        archive.writestr("bomb.png", bytes(10_000_000))


def _tar(mode: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with tarfile.open(path, f"w:{mode}") as archive:
            for name, kind, target in (
                ("train/cat/1.png", tarfile.REGTYPE, ""),
                ("../../outside.txt", tarfile.REGTYPE, ""),
                ("link", tarfile.SYMTYPE, "/etc/passwd"),
                ("device", tarfile.CHRTYPE, ""),
            ):
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = kind, target
                archive.addfile(entry, io.BytesIO(b""))

    return write


ARCHIVES = {
    "photos.zip": _zip,
    "photos.tar": _tar(""),
    "photos.tar.gz": _tar("gz"),
    "photos.tgz": _tar("gz"),
    "photos.tar.xz": _tar("xz"),
    "photos.7z": lambda path: path.write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(100)),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_as_data_as_image_as_weights_as_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run, work = write_run(tmp_path / "run"), tmp_path / "a" / "b"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    ARCHIVES[name](work / name)
    before = sorted(tmp_path.rglob("*"))
    refused(ssal("train", name), name, "an archive must be unpacked to a folder first")
    refused(ssal("train", "digits", "--data-dir", name, "--out", "new"), name)
    refused(ssal("train", "digits", "--weights", name, "--out", "new"), name)
    refused(ssal("train", "digits", "--groups", name, "--out", "new"), name)
    refused(ssal("eval", name), name)
    refused(ssal("predict", name, name), name)
    refused(ssal("groups", "show", name), name)
    refused(ssal("groups", "derive", name, "-k", 2), name)
    predicted = ssal("predict", run, name)
    assert predicted.returncode == 1 and "not in one of the formats" in predicted.stdout
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/tmp/outside.txt").exists()


def test_an_archive_under_the_name_of_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    for name in (
        "a.parquet",
        "w.pt",
        "w.safetensors",
        "g.json",
        "g.txt",
        "c.npz",
        "c.npy",
        "c.csv",
        "s.yaml",
    ):
        _zip(tmp_path / name)
    refused(ssal("train", "a.parquet"), "a.parquet")
    refused(ssal("train", "digits", "--weights", "w.pt", "--out", "new"), "w.pt", "compressed archive")
    refused(ssal("train", "digits", "--weights", "w.safetensors", "--out", "new"), "w.safetensors")
    refused(ssal("train", "digits", "--groups", "g.json"), "g.json")
    refused(ssal("train", "digits", "--groups", "g.txt"), "g.txt")
    refused(ssal("train", "digits", "--config", "s.yaml"), "s.yaml")
    for name in ("c.npz", "c.npy", "c.csv"):
        refused(ssal("groups", "derive", name, "-k", 2), name)
