import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from ssal.checkpoint import load_state, save_state
from ssal.errors import RunError

STATE = {
    "weights": {"a": torch.randn(3, 4), "b": torch.zeros(0), "half": torch.ones(2, dtype=torch.bfloat16)},
    "optimizer": {0: (torch.tensor(5), [1, 2.5, None, True]), "name": "sgd"},
    "shared": [torch.arange(6)[::2]],
}


def same(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return type(left) is type(right) and all(map(same, left, right))
    return left == right and type(left) is type(right)


def test_states_come_back_as_they_were(tmp_path: Path) -> None:
    save_state(tmp_path / "deep" / "state.ckpt", STATE)
    assert same(load_state(tmp_path / "deep" / "state.ckpt"), STATE)
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["state.ckpt"]


plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**50), 2**50)
    | st.text(max_size=5)
    | st.floats(allow_nan=False)
)
trees = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
)


def test_memory_format_is_kept(tmp_path: Path) -> None:
    image = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    save_state(tmp_path / "state.ckpt", [image, image.contiguous()])
    first, second = load_state(tmp_path / "state.ckpt")
    assert first.stride() == image.stride() and second.is_contiguous()
    assert torch.equal(first, image)


@given(trees)
def test_any_plain_tree_comes_back(tmp_path_factory: pytest.TempPathFactory, tree: Any) -> None:
    path = tmp_path_factory.mktemp("tree") / "state.ckpt"
    save_state(path, tree)
    assert same(load_state(path), tree)


def test_other_objects_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not set"):
        save_state(tmp_path / "state.ckpt", {"bad": {1, 2}})
    assert not list(tmp_path.iterdir())


def test_damage_is_never_loaded_silently(tmp_path: Path) -> None:
    path = tmp_path / "state.ckpt"
    save_state(path, STATE)
    whole = path.read_bytes()
    for cut in range(0, len(whole), max(1, len(whole) // 64)):
        path.write_bytes(whole[:cut])
        with pytest.raises(RunError):
            load_state(path)
    chooser = random.Random(0)
    refused = 0
    for _ in range(300):
        place, bit = chooser.randrange(len(whole)), chooser.randrange(8)
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        try:
            assert same(load_state(path), STATE)
        except RunError:
            refused += 1
    assert refused > 250


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no state file at"):
        load_state(tmp_path / "none.ckpt")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.ckpt")
    with pytest.raises(RunError, match="no state file of ssal"):
        load_state(tmp_path / "other.ckpt")


def test_a_pickle_is_not_executed(tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(1)}, tmp_path / "pickle.ckpt")
    with pytest.raises(RunError, match="damaged or no state file"):
        load_state(tmp_path / "pickle.ckpt")
