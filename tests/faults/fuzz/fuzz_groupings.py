"""Coverage-guided fuzzing of grouping files, confusion files and layouts.

python -m tests.faults.fuzz.fuzz_groupings -max_total_time=20

Each input changes a sound file, as a tree or as bytes, and loads it. Anything but an `SsalError` stops the
fuzzer. What loads must come back as it is when it is saved.
"""

from __future__ import annotations

import io
import sys
import tempfile
import zipfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ssal"]):
    from ssal.branches import build_branch, parse_layout
    from ssal.confusion import load_confusion, save_confusion
    from ssal.errors import SsalError
    from ssal.grouping import Grouping

import numpy as np
from scipy import sparse

from .mutate import edit_bytes, edit_json

ROOT = Path(tempfile.mkdtemp(prefix="fuzz-groupings-"))
NAMES = ("ant", "bee", "cat", "dog")
COUNTS = np.array([[9, 1, 0, 0], [2, 8, 0, 0], [0, 0, 7, 3], [1, 0, 2, 7]])
LAYOUT = "cbr 4,3,2 | cbr 4 | gap | dense 8"
MATRIX = "4.0,1.0,0.5,0\n1,5,1,0\n0.5,1,4,2\n0,1,0,1\n"


def _saved(matrix: object) -> bytes:
    path = ROOT / "sound.npz"
    save_confusion(path, matrix, NAMES)
    return path.read_bytes()


def _npy(matrix: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, matrix)
    return buffer.getvalue()


Grouping.from_labels([0, 1, 0, 1], NAMES).save(ROOT / "sound.json")
JSON = (ROOT / "sound.json").read_bytes()
DENSE, SPARSE, NPY = _saved(COUNTS), _saved(sparse.csr_array(COUNTS)), _npy(COUNTS)


def grouping_json(data: atheris.FuzzedDataProvider) -> None:
    _grouping("groups.json", edit_json(data, JSON))


def grouping_text(data: atheris.FuzzedDataProvider) -> None:
    _grouping("groups.txt", edit_bytes(data, b"0\n1\n1\n0\n2\n"))


def _grouping(name: str, content: bytes) -> None:
    (ROOT / name).write_bytes(content)
    grouping = Grouping.load(ROOT / name)
    grouping.save(ROOT / "again.json")
    assert Grouping.load(ROOT / "again.json") == grouping
    if len(grouping.labels) == len(COUNTS):
        assert 0 <= grouping.share(COUNTS) <= 1


def confusion(data: atheris.FuzzedDataProvider) -> None:
    kind, content = data.PickValueInList(
        [
            ("npz", DENSE),
            ("npz", SPARSE),
            ("npy", NPY),
            ("csv", MATRIX.encode()),
            ("csv", (",".join(NAMES) + "\n" + MATRIX).encode()),
        ]
    )
    if kind == "npz" and data.ConsumeBool():
        content = _edit_member(data, content)
    else:
        content = edit_bytes(data, content)
    path = ROOT / f"confusion.{kind}"
    path.write_bytes(content)
    matrix, names = load_confusion(path)
    save_confusion(ROOT / "again.npz", matrix, names)
    again, _ = load_confusion(ROOT / "again.npz")
    assert again.shape == matrix.shape


def _edit_member(data: atheris.FuzzedDataProvider, content: bytes) -> bytes:
    """Change an array inside the archive, so that the checksum of the archive does not hide the change."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = data.PickValueInList(sorted(members))
    members[name] = edit_bytes(data, members[name])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for key, value in members.items():
            archive.writestr(key, value)
    return buffer.getvalue()


def layout(data: atheris.FuzzedDataProvider) -> None:
    text = edit_bytes(data, LAYOUT.encode()).decode("utf-8", "replace")
    blocks = parse_layout(text)
    assert parse_layout(" | ".join(map(str, blocks))) == blocks
    if sum(max(block.numbers, default=0) for block in blocks) < 500:
        build_branch(text, (3, 4, 4), 2)


TARGETS = (grouping_json, grouping_text, confusion, confusion, layout)


def one_input(content: bytes) -> None:
    """Try one input; only errors that are meant for a person may come out."""
    data = atheris.FuzzedDataProvider(content)
    try:
        TARGETS[data.ConsumeIntInRange(0, len(TARGETS) - 1)](data)
    except SsalError as error:
        assert str(error).strip()


def main() -> None:
    """Fuzz with libFuzzer's options from the command line."""
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
