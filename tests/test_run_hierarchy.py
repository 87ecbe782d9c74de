"""Superclasses from data and files, and how severe mistakes are under them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ssal.data import Hierarchy
from ssal.data.cifar100 import SUPERCLASSES
from ssal.errors import InputError
from ssal.run.hierarchy import align_hierarchy, read_hierarchy, severity

NAMES = ("cat", "dog", "car", "bus")


def test_a_file_gives_the_superclass_of_each_class(tmp_path: Path) -> None:
    above = {"bus": "vehicle", "cat": "animal", "dog": "animal", "car": "vehicle", "extra": "thing"}
    (tmp_path / "h.json").write_text(json.dumps(above))
    found = read_hierarchy(tmp_path / "h.json", NAMES)
    assert [found.names[place] for place in found.of_class] == [above[name] for name in NAMES]
    assert found.names == ("animal", "vehicle")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"cat": "animal", "dgo": "animal"}', r"lacks the class 'dog' and 2 more.*nearest in it is 'dgo'"),
        ('{"cat": 1}', "JSON object of superclasses"),
        ('["cat"]', "JSON object of superclasses"),
        ("{}", "JSON object of superclasses"),
        ("{", "is no JSON"),
        ("\x00", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "h.json").write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_hierarchy(tmp_path / "h.json", NAMES)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: No such file"):
        read_hierarchy(tmp_path / "none.json", NAMES)


def test_classes_in_another_order_keep_their_superclasses() -> None:
    given = Hierarchy(("animal", "vehicle"), np.array([0, 0, 1, 1]))
    found = align_hierarchy(given, NAMES, ("bus", "cat"))
    assert found is not None
    assert [found.names[place] for place in found.of_class] == ["vehicle", "animal"]
    assert align_hierarchy(given, NAMES, ("bus", "plane")) is None
    assert align_hierarchy(None, NAMES, NAMES) is None
    assert align_hierarchy(given, NAMES, NAMES) is given


def test_mistakes_outside_the_superclass_count_twice() -> None:
    target = torch.tensor([0, 1, 2, 3])
    answers = {"JP": torch.tensor([0, 0, 0, 3]), "TR": target}
    ways = {way: torch.eye(4)[answer].log() for way, answer in answers.items()}
    hierarchy = Hierarchy(("animal", "vehicle"), np.array([0, 0, 1, 1]))
    assert severity(ways, target, hierarchy) == {"superclasses": 2, "JP": 1.5, "TR": None}
    assert severity(ways, target, None) is None


def test_the_superclasses_of_cifar100_tell_mistakes_apart() -> None:
    names = [name for members in SUPERCLASSES.values() for name in members]
    target = torch.arange(100)
    ways = {"JP": torch.eye(100)[(target + 1) % 100].log()}
    # Five classes in a row share a superclass: the next one is outside for every fifth.
    above = Hierarchy(tuple(SUPERCLASSES), np.arange(100) // 5)
    found = severity(ways, target, align_hierarchy(above, names, names))
    assert found == {"superclasses": 20, "JP": pytest.approx(1.2)}
