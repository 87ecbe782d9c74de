"""The test images that the report shows, if the data set can still be opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ssal.config import make_settings
from ssal.data import FileIndex, ImageSet, open_data
from ssal.errors import SsalError
from ssal.evidence import Evidence
from ssal.report.reading import Record
from ssal.run.predictor import Predictor, load

BackboneFactory = Callable[..., nn.Module]


@dataclass(frozen=True, eq=False)
class Gallery:
    """The test images as the network sees them.

    Attributes:
        images: the test data; None if they cannot be opened.
        predictor: the trained model; None if it cannot be loaded.
        reason: why one of them is missing.
    """

    images: ImageSet | None
    predictor: Predictor | None
    reason: str | None = None

    def pixels(self, index: int) -> NDArray[np.uint8] | None:
        """What the network sees of a test sample, uint8 [H, W, C]; None if it cannot be read."""
        if self.images is None or self.predictor is None:
            return None
        try:
            return self.predictor.preprocess.pixels(self.images.image(index))
        except (SsalError, OSError):
            return None

    def explain(self, index: int) -> Evidence | None:
        """The evidence of the prediction of a test sample; None if there is none."""
        if self.images is None or self.predictor is None:
            return None
        try:
            # The whole image: what `pixels` gives is cropped already.
            return self.predictor.explain(self.images.image(index))
        except (SsalError, OSError):
            return None


def open_images(record: Record, backbone: BackboneFactory | None = None) -> Gallery:
    """Load the model and open the data that a run was measured on.

    Args:
        record: the run.
        backbone: function that makes the backbone, where it is no named network.
    """
    try:
        predictor = load(record.path, backbone=backbone, device="cpu")
    except SsalError as error:
        return Gallery(None, None, f"the model cannot be loaded: {error}")
    try:
        images = _open(record, predictor)
    except (SsalError, OSError, ImportError) as error:
        return Gallery(None, predictor, f"the data set cannot be opened: {error}")
    if not _same(images, record):
        return Gallery(None, predictor, "the data set is not the one that was measured any more")
    return Gallery(images, predictor)


def _open(record: Record, predictor: Predictor) -> ImageSet:
    settings = make_settings(record.settings)
    # Bad images are left out by number, which takes a look at each; otherwise a few are read, one by one.
    some: bool | None = None if settings.skip_bad else False
    return open_data(
        settings.data,
        data_dir=settings.data_dir and Path(settings.data_dir),
        image_size=predictor.preprocess.image_size,
        channels=predictor.preprocess.channels,
        interpolation=predictor.preprocess.interpolation,
        in_memory=some,
        skip_bad=settings.skip_bad,
        check_files=some,
        index=FileIndex.load(record.directory.index),
    ).test


def _same(images: ImageSet, record: Record) -> bool:
    """Whether the test data have the labels that were measured."""
    predictions = record.predictions
    if predictions is None:
        return tuple(images.class_names) == tuple(record.class_names)
    if len(images) <= int(predictions.index.max()):
        return False
    names = np.asarray(record.class_names, dtype=object)
    found = np.asarray(images.class_names, dtype=object)[images.targets[predictions.index]]
    return bool((found == names[predictions.target]).all())
