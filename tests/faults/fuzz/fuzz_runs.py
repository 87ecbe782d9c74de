"""Coverage-guided fuzzing of everything that is read from a run directory.

python -m tests.faults.fuzz.fuzz_runs -max_total_time=20

Each input changes one file of a sound run, as a tree or as bytes, and loads it. Anything but an `SsalError`
stops the fuzzer. A model that loads must also predict, and settings that are accepted must come back from
their own YAML.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["ssal", "yaml"]):
    import yaml

    from ssal.checkpoint import load_state
    from ssal.config import make_settings, parse_assignments, read_yaml, to_yaml
    from ssal.directory import RunDirectory
    from ssal.errors import SsalError
    from ssal.report.reading import read_record
    from ssal.run import log, results, saved, stages
    from ssal.run.hierarchy import read_hierarchy
    from ssal.run.predictor import Predictor
    from ssal.run.resume import load_beginnings, settings_to_go_on
    from ssal.training import EpochRow, find_checkpoint

import hashlib
import json
import struct

import numpy as np
import torch

from ..sound import NAMES, sound_run
from .mutate import as_json, edit_bytes, edit_json, edit_tree

torch.set_num_threads(1)
SOUND = sound_run()
ROOT = Path(tempfile.mkdtemp(prefix="fuzz-runs-"))
for _name, _content in SOUND.items():
    (ROOT / _name).parent.mkdir(parents=True, exist_ok=True)
    (ROOT / _name).write_bytes(_content)
BEGINNINGS = load_beginnings(ROOT / "checkpoints" / "beginnings.ckpt")
ROW = EpochRow("joint", 2, 2, 0.1, 1.0, 1.0, 50.0, 50.0, (50.0,), 1.0, 100.0)


def put(name: str, content: bytes) -> Path:
    """Lay a changed file into the run."""
    path = ROOT / name
    path.write_bytes(content)
    return path


def settings_file(data: atheris.FuzzedDataProvider) -> None:
    name = "config.yaml"
    if data.ConsumeBool():
        tree = edit_tree(data, yaml.safe_load(SOUND[name]))
        content = as_json(tree) if data.ConsumeBool() else _as_yaml(tree)
    else:
        content = edit_bytes(data, SOUND[name])
    made = make_settings(read_yaml(put(name, content)))
    assert make_settings(read_yaml(put(name, to_yaml(made).encode()))) == made
    settings_to_go_on(RunDirectory(ROOT), BEGINNINGS, [{"epochs": 9}])


def _as_yaml(tree: Any) -> bytes:
    try:
        return yaml.safe_dump(tree).encode("utf-8", "backslashreplace")
    except RecursionError:
        # Its dumper goes less deep than what is to be tried; nearly all JSON is YAML.
        return as_json(tree)


def assignments(data: atheris.FuzzedDataProvider) -> None:
    keys = ("optimizer.momentum", "lr", "groups", "layout", "augment", "branch.weights", "taps", "data")
    texts = [
        f"{data.PickValueInList(list(keys))}={data.ConsumeUnicode(24)}"
        for _ in range(data.ConsumeIntInRange(1, 3))
    ]
    make_settings({"data": "digits"}, parse_assignments([*texts, data.ConsumeUnicodeNoSurrogates(12)]))


def model(data: atheris.FuzzedDataProvider) -> None:
    weights, config = SOUND["model/model.safetensors"], SOUND["model/config.json"]
    if data.ConsumeIntInRange(0, 3) == 0:
        weights = _edit_safetensors(data, weights)
        if data.ConsumeBool():
            # A wrong checksum must not keep the rest of the loader from being tried.
            tree = json.loads(config) | {"sha256": hashlib.sha256(weights).hexdigest()}
            del tree["checksum"]
            config = json.dumps(tree).encode()
    else:
        tree = json.loads(config)
        if data.ConsumeIntInRange(0, 9):
            # Else the checksum would keep the rest of the loader from being tried.
            del tree["checksum"]
        config = edit_json(data, json.dumps(tree).encode())
    put("model/model.safetensors", weights)
    put("model/config.json", config)
    predictor = Predictor(saved.load_model(ROOT / "model"), "joint", "cpu")
    predictor.predict(np.zeros((4, 4), np.uint8))


def selector(data: atheris.FuzzedDataProvider) -> None:
    (SOUND_MODEL / "selective.json").write_bytes(edit_json(data, SOUND["model/selective.json"]))
    predictor = Predictor(saved.load_model(SOUND_MODEL), "joint", "cpu")
    predictor.predict(np.zeros((4, 4), np.uint8))
    (SOUND_MODEL / "selective.json").write_bytes(SOUND["model/selective.json"])


def hierarchy(data: atheris.FuzzedDataProvider) -> None:
    names = dict.fromkeys(NAMES[:2], "insect") | dict.fromkeys(NAMES[2:], "mammal")
    read_hierarchy(put("hierarchy.json", edit_json(data, json.dumps(names).encode())), NAMES)


def report(data: atheris.FuzzedDataProvider) -> None:
    name = data.PickValueInList(
        ["env.json", "metrics.json", "metrics.csv", "model/config.json", "confusion.npz"]
    )
    put(name, edit_json(data, SOUND[name]) if name.endswith("json") else edit_bytes(data, SOUND[name]))
    put("config.yaml", SOUND["config.yaml"])
    try:
        read_record(ROOT)
    finally:
        put(name, SOUND[name])


def _edit_safetensors(data: atheris.FuzzedDataProvider, content: bytes) -> bytes:
    (length,) = struct.unpack("<Q", content[:8])
    header, body = content[8 : 8 + length], content[8 + length :]
    match data.ConsumeIntInRange(0, 7):
        case 0:
            return edit_bytes(data, content)
        case 1 | 2:
            header = as_json(edit_tree(data, json.loads(header)))
        case _:
            # Of the same size, else the header alone says that it is damaged.
            body = edit_bytes(data, body)[: len(body)].ljust(len(body), b"\x7f")
    return struct.pack("<Q", len(header)) + header + body


def state_file(data: atheris.FuzzedDataProvider) -> None:
    name = data.PickValueInList(
        [f"checkpoints/{name}.ckpt" for name in ("last", "baseline", "seconds", "beginnings")]
    )
    content = SOUND[name]
    (length,) = struct.unpack("<Q", content[:8])
    if data.ConsumeIntInRange(0, 4) == 0:
        path = put(name, _edit_safetensors(data, content))
    else:
        header = json.loads(content[8 : 8 + length])
        tree = as_json(edit_tree(data, json.loads(header["__metadata__"]["tree"]))).decode("utf-8", "replace")
        header["__metadata__"] |= {"tree": tree, "sha256": _sign(ROOT / name, tree)}
        text = json.dumps(header).encode()
        path = put(name, struct.pack("<Q", len(text)) + text + content[8 + length :])
    try:
        load_state(path)
        match Path(name).stem:
            case "last":
                found = find_checkpoint(ROOT / "checkpoints")
                assert found is not None and found.stage and found.epoch + found.batch >= 0
            case "baseline":
                stages.read_baseline(path, saved.load_model(SOUND_MODEL).model)
            case "beginnings":
                settings_to_go_on(RunDirectory(ROOT), load_beginnings(path), [{"epochs": 9}])
            case _:
                pass
    finally:
        put(name, content)


def _sign(path: Path, tree: str) -> str:
    """The checksum that `ssal` itself would write: damage is found by it, malice is not."""
    from safetensors.torch import load

    from ssal.checkpoint import _digest

    name = str(path.relative_to(ROOT))
    return _digest(tree, load(SOUND[name]))


def rows(data: atheris.FuzzedDataProvider) -> None:
    path = put("metrics.csv", edit_bytes(data, SOUND["metrics.csv"]))
    log.read_rows(path)
    log.stage_seconds(path, "joint")
    log.add_row(path, ROW)
    log.read_rows(path)


def metrics(data: atheris.FuzzedDataProvider) -> None:
    results.format_table(results.read_metrics(put("metrics.json", edit_json(data, SOUND["metrics.json"]))))


TARGETS = (
    settings_file,
    assignments,
    model,
    model,
    selector,
    state_file,
    state_file,
    rows,
    metrics,
    hierarchy,
    report,
)
SOUND_MODEL = ROOT / "sound"
SOUND_MODEL.mkdir()
for _name in ("config.json", "model.safetensors", "selective.json"):
    (SOUND_MODEL / _name).write_bytes(SOUND[f"model/{_name}"])


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
