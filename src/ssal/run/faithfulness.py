"""Whether the maps of a run are true to its model, on images of its test data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ssal.config import Settings, make_settings, read_yaml
from ssal.data import DataBundle, FileIndex, ImageSet, Preprocess, eval_loader, open_data
from ssal.directory import RunDirectory
from ssal.errors import InputError, RunError
from ssal.evidence.faithfulness import (
    Against,
    ExplanationChecks,
    as_record,
    check_explanations,
    compare_checks,
)
from ssal.files import write_json
from ssal.run.saved import SavedModel, load_model
from ssal.text import encodable
from ssal.training import Precision, default_device

FILE = "explanations.json"
_BATCH = 64


@dataclass(frozen=True)
class CheckOptions:
    """How thorough the checks are; see `ssal.evidence.faithfulness.check_explanations`.

    Attributes:
        images: how many test images, drawn at random; all if there are fewer.
        baseline: what stands in for a removed pixel, `blur` or `mean`.
        steps: of a curve.
        pairs: pairs of random maps for each image.
        weight_draws: how many times random weights are drawn.
        seed: of everything random.
    """

    images: int = 100
    baseline: str = "blur"
    steps: int = 16
    pairs: int = 2
    weight_draws: int = 2
    seed: int = 0


# For the end of a training: a third of the time.
QUICK = CheckOptions(images=48, pairs=1, weight_draws=1)


def _draw(test: ImageSet, preprocess: Preprocess, options: CheckOptions, workers: int | None) -> Tensor:
    """Preprocessed images [N, C, H, W]."""
    if options.images < 2 or len(test) < 2:
        given = f"{options.images} of {len(test)} test images"
        raise InputError(f"the checks need two images at least, not {given}")
    if options.seed < 0:
        raise InputError(f"seed must be 0 at least, got {options.seed}")
    count = min(options.images, len(test))
    chosen = np.random.default_rng(options.seed).choice(len(test), count, replace=False)
    loader = eval_loader(test.select(chosen), preprocess, batch_size=_BATCH, workers=workers)
    return torch.cat([batch.images for batch in loader])


def check_model(
    saved: SavedModel,
    test: ImageSet,
    options: CheckOptions = QUICK,
    *,
    precision: Precision = "32",
    workers: int | None = None,
) -> ExplanationChecks:
    """Check the maps of a trained model.

    Args:
        saved: the model.
        test: images that it was not trained on, of which some are drawn.
        options: how thorough.
        precision: of the forward passes over mixtures of image and baseline.
        workers: processes that decode files.

    Raises:
        InputError: an option is not allowed.
        DataError: an image cannot be read, or the network gives numbers that are not finite.
    """
    device = default_device()
    images = _draw(test, saved.preprocess, options, workers).to(device)
    return check_explanations(
        saved.model.to(device),
        images,
        saved.exponents,
        baseline=options.baseline,
        steps=options.steps,
        pairs=options.pairs,
        weight_draws=options.weight_draws,
        precision=precision,
        seed=options.seed,
    )


def write_checks(checks: ExplanationChecks, folder: Path) -> Path:
    """Write the checks to `explanations.json` in `folder`, and return its path."""
    path = folder / FILE
    write_json(path, as_record(checks))
    return path


@dataclass(frozen=True)
class _Opened:
    path: Path
    settings: Settings
    saved: SavedModel

    @property
    def precision(self) -> Precision:
        return "bf16" if self.settings.precision == "bf16" else "32"

    def data(self, data_dir: Path | None) -> DataBundle:
        settings, preprocess = self.settings, self.saved.preprocess
        return open_data(
            settings.data,
            data_dir=data_dir or settings.data_dir,
            image_size=preprocess.image_size,
            channels=preprocess.channels,
            interpolation=preprocess.interpolation,
            skip_bad=settings.skip_bad,
            index=FileIndex.load(RunDirectory(self.path).index),
        )


def _open(path: Path, backbone: Callable[..., nn.Module] | None) -> _Opened:
    directory = RunDirectory(path)
    if directory.is_empty() or not directory.model.is_dir():
        raise RunError(f"no finished run in {path}")
    settings = make_settings(read_yaml(directory.config))
    return _Opened(path, settings, load_model(directory.model, backbone))


def _check_same_test(this: _Opened, other: _Opened) -> None:
    for name, mine, theirs in (
        ("data", this.settings.data, other.settings.data),
        ("image size", this.saved.preprocess.image_size, other.saved.preprocess.image_size),
        ("number of classes", len(this.saved.class_names), len(other.saved.class_names)),
    ):
        if mine != theirs:
            raise RunError(
                f"{this.path} and {other.path} cannot be compared: their {name} differ: {mine} and {theirs}"
            )


def check_run(
    path: Path,
    options: CheckOptions | None = None,
    *,
    against: Path | None = None,
    out: Path | None = None,
    data_dir: Path | None = None,
    backbone: Callable[..., nn.Module] | None = None,
) -> tuple[ExplanationChecks, Path]:
    """Check the maps of a finished run on its test data, and write `eval/explanations.json`.

    Args:
        path: the run directory.
        options: how thorough.
        against: another run on the same data, such as one with random groups, to compare with.
        out: folder for the file; `eval` in the run if None.
        data_dir: where the files of named data are; as in the run if None.
        backbone: function from `num_classes` to the backbone, for models whose backbone is no named network.

    Returns:
        The checks, and the path of the file.

    Raises:
        RunError: a run is not finished, its files are damaged, or the two do not belong together.
        InputError: an option is not allowed.
        DataError: an image cannot be read, or the network gives numbers that are not finite.
    """
    wanted = options or CheckOptions()
    runs = [_open(folder, backbone) for folder in (path, against) if folder is not None]
    if len(runs) == 2:
        _check_same_test(*runs)
    test = runs[0].data(data_dir).test
    found = [
        check_model(
            run.saved,
            test,
            # Of the other run, the maps are all that is compared.
            wanted if run is runs[0] else replace(wanted, weight_draws=0),
            precision=run.precision,
            workers=run.settings.workers,
        )
        for run in runs
    ]
    checks = found[0]
    if len(runs) == 2:
        other = runs[1]
        compared = compare_checks(checks, found[1])
        if not compared:
            raise RunError(f"{path} and {other.path} have no part with maps in common")
        checks = replace(checks, against=Against(encodable(str(other.path)), other.settings.method, compared))
    return checks, write_checks(checks, out or path / "eval")
