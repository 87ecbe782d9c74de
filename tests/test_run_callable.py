"""Runs whose backbone is made by somebody's function."""

from pathlib import Path

import numpy as np
import pytest
from torch import nn

import ssal
from ssal.backbones import backbone_maker
from ssal.errors import InputError, RunError
from ssal.run import describe_layers, evaluate_run

MAKER = f"{__name__}:small"


def small(num_classes: int, in_chans: int = 3, width: int = 4) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(in_chans, width, 3, stride=2, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, num_classes),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ssal.train(
        "digits", model=MAKER, width=6, groups=(2, "all"), taps=("2", "2"), epochs=1,
        explanation_images=0, out=tmp_path_factory.mktemp("made") / "run", echo=lambda line: None,
    ).path  # fmt: skip


def test_the_function_is_told_what_it_was_told_in_training(run: Path) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    for maker in (small, backbone_maker(MAKER)):
        predictor = ssal.load(run, backbone=maker)
        assert predictor.predict(pixels).class_name in map(str, range(10))
        assert predictor.saved.backbone.width == 6
    assert (run / "report.html").exists()


def test_such_a_run_is_measured_again_if_its_function_is_named(run: Path) -> None:
    assert "baseline" in evaluate_run(run, backbone=small)
    with pytest.raises(RunError, match="pass it as backbone=… or --model"):
        evaluate_run(run)


def test_layers_say_first_what_is_wrong_with_a_name() -> None:
    with pytest.raises(InputError, match="no module 'no_package'"):
        describe_layers("no_package:make", 10, 3, None, None, 3)
    with pytest.raises(InputError, match="tells no image size; give --image-size"):
        describe_layers(MAKER, 10, 3, None, None, 3)
