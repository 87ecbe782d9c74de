"""From the bytes of a fuzzer to changes of a file that was sound: of its tree, or of its bytes."""

from __future__ import annotations

import copy
import json
from typing import Any

import atheris

# What parsers stumble over: limits, other types, characters that steer or cannot be encoded.
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 10**6, 2**31, 2**63, 2**64, -(2**63), 10**30, 10**400, 0.0, -0.0,
    0.5, 1e308, -1e-320, float("nan"), float("inf"), "", "a", "\0", "a\0b", "..", "/", "auto", "all",
    "fit", "light", "9" * 5000, "\x1b[31m", "\u202e", "\ufeff", "é", "caf\udce9", "\ud800", "=1+1", "x" *
    5000, "1,2", "a.b=1", "layer1", "pool", "conv", "os:getcwd", "hf:x", "gap", "cbr 1 | gap",
    "dense 65536 | dense 65536", "nan", [], {}, [[]], [None], {"": None}, {"a": {"b": {}}}, [0, 1],
    [0, 0, 1, 1],
    [[0, 1], [2, 3]], [1.5], ["a", "b"], {"tensor": "000000", "channels_last": True}, {"dict": [[1, 2]]},
    {"dict": [[{"list": []}, 1]]}, {"list": None}, {"tuple": [{}]}, {"dict": [1]}, {"dict": 5}, {"tensor":
    [], "channels_last": None},
)  # fmt: skip


def _places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(tree, dict):
        for key, value in tree.items():
            found += _places(value, (*path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            found += _places(value, (*path, index))
    return found


def _value(data: atheris.FuzzedDataProvider, tree: Any, old: Any) -> Any:
    match data.ConsumeIntInRange(0, 9):
        case 0:
            return data.ConsumeInt(8)
        case 1:
            return data.ConsumeFloat()
        case 2:
            return data.ConsumeUnicode(12)
        case 3:
            # Something from elsewhere in the tree: of the right kind, in the wrong place.
            return copy.deepcopy(_at(tree, data.PickValueInList(_places(tree))))
        case 4 if isinstance(old, int | float) and abs(old) < 1e300:
            return old + data.PickValueInList([1, -1, 0.5, 1e-9, -old, old])
        case 5 | 6 | 7 | 8:
            # Of the same kind, so that it passes the first checks.
            kind = int | float if isinstance(old, int | float) else type(old)
            return copy.deepcopy(data.PickValueInList([odd for odd in ODD if isinstance(odd, kind)]))
        case _:
            return copy.deepcopy(data.PickValueInList(list(ODD)))


def _at(tree: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def edit_tree(data: atheris.FuzzedDataProvider, tree: Any) -> Any:
    """Change up to three places of a tree of dicts and lists: replace, delete, add, repeat, nest deep."""
    tree = copy.deepcopy(tree)
    for _ in range(data.ConsumeIntInRange(1, 3)):
        path = data.PickValueInList(_places(tree))
        new = _value(data, tree, _at(tree, path))
        if not path:
            if data.ConsumeIntInRange(0, 9) == 0:
                tree = new
            continue
        owner, key = _at(tree, path[:-1]), path[-1]
        match data.ConsumeIntInRange(0, 7):
            case 0:
                del owner[key]
            case 1 if isinstance(owner, dict):
                owner[str(new)[:50]] = owner[key]
            case 1:
                owner.append(new)
            case 2 if isinstance(owner, list):
                owner += copy.deepcopy(owner[: data.ConsumeIntInRange(0, 50)])
            case 3:
                for _ in range(data.ConsumeIntInRange(1, 300)):
                    new = [new] if data.ConsumeBool() else {"dict": [["a", new]]}
                owner[key] = new
            case _:
                owner[key] = new
    return tree


def edit_bytes(data: atheris.FuzzedDataProvider, content: bytes) -> bytes:
    """Overwrite, cut out, insert or cut off some bytes."""
    changed = bytearray(content)
    for _ in range(data.ConsumeIntInRange(1, 4)):
        start = data.ConsumeIntInRange(0, len(changed))
        match data.ConsumeIntInRange(0, 4):
            case 0:
                del changed[start:]
            case 1:
                del changed[start : start + data.ConsumeIntInRange(1, 64)]
            case 2:
                changed[start:start] = data.ConsumeBytes(16)
            case 3:
                changed[start:start] = changed[start : start + 64] * data.ConsumeIntInRange(1, 40)
            case _:
                new = data.ConsumeBytes(8)
                changed[start : start + len(new)] = new
    return bytes(changed)


def as_json(tree: Any) -> bytes:
    """A tree as JSON, with whatever JSON's grammar does not know (NaN, lone surrogates)."""
    return json.dumps(tree, ensure_ascii=False).encode("utf-8", "surrogatepass")


def edit_json(data: atheris.FuzzedDataProvider, content: bytes) -> bytes:
    """Change a JSON file as a tree, or as bytes."""
    if data.ConsumeIntInRange(0, 3) == 0:
        return edit_bytes(data, content)
    return as_json(edit_tree(data, json.loads(content)))
