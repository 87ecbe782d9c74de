"""Settings that are no settings: refused in one line, within a second of work."""

import time
from pathlib import Path

import pytest

from ssal.config import make_settings, parse_assignments, read_yaml
from ssal.errors import InputError

from ..test_cli import refused, ssal

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} [{', '.join([f'*{chr(97 + level)}'] * 9)}]\n"
    for level in range(9)
)
HOSTILE = {
    "python object": "lr: !!python/object/apply:os.system ['touch executed']",
    "python name": "lr: !!python/name:os.system",
    "python module": "lr: !!python/object/new:os.system [touch executed]",
    "plain tag": "lr: !!int '3'",
    "own tag": "lr: !secret 3",
    "billion laughs": LAUGHS,
    "recursive": "lr: &a [*a]",
    "merge of an alias": "optimizer: &a {momentum: 0.5}\nschedule: {<<: *a}",
    "ten megabytes": "epochs: 1\n" * 1_000_000,
    "ten megabytes of text": "data: '" + "x" * 10_000_000 + "'",
    "as large as is read": "a: 1\n" * 52_000,
    "long list": "taps: [" + "1," * 120_000 + "1]",
    "deep lists": "lr: " + "[" * 100_000,
    "deep lists, closed": "lr: " + "[" * 5000 + "]" * 5000,
    "deep mappings": "lr: " + "{a: " * 20_000,
    "deep blocks": "".join(" " * level + "a:\n" for level in range(500)),
    "deep sequences": "- " * 100_000,
    "many documents": "---\na: 1\n" * 10_000,
    "many anchors": "".join(f"a{number}: &x{number} 1\n" for number in range(15_000)),
    "no end of a text": "lr: '" + "\n" * 200_000,
    "long key": "k" * 200_000 + ": 1",
    "long line": "lr: " + "x " * 100_000,
    "directives": "%A b\n" * 40_000,
    "impossible date": "lr: 2024-99-99",
    "number of 100,000 digits": "lr: " + "9" * 100_000,
    "control characters": "lr: \x07",
    "no UTF-8": b"lr: \xff",
    "UTF-16": "lr: 1".encode("utf-16"),
    "NUL": b"\0" * 1000,
    "list": "- 1\n- 2",
    "number": "3",
    "key that is a list": "[1, 2]: 3",
    "key that is a number": "1: 2",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_within_a_second_of_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    content = HOSTILE[name]
    path = tmp_path / "settings.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    started = time.process_time()
    done = ssal("train", "digits", "--config", path)
    seconds = time.process_time() - started
    print(f"{name}: {seconds:.2f} s")
    assert seconds < 1
    refused(done)
    assert len(done.stderr) < 600
    assert [file.name for file in tmp_path.iterdir()] == ["settings.yaml"]


@pytest.mark.parametrize(
    "value", ["!!python/name:os.system", "!!int 3", "&a [*a]", "[" * 5000, "2024-99-99", "{1: 2", "9" * 5000]
)
def test_assignments_are_read_as_carefully(value: str) -> None:
    started = time.process_time()
    with pytest.raises(InputError, match="lr") as caught:
        make_settings({"data": "digits"}, parse_assignments([f"lr={value}"]))
    assert time.process_time() - started < 1
    assert len(str(caught.value)) < 300


def test_a_file_of_remarks_holds_no_settings(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("#" * 200_000)
    assert read_yaml(tmp_path / "settings.yaml") == {}
