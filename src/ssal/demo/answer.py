"""From an image to the evidence of its prediction."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssal.data import ImageInput, decode_image
from ssal.evidence import Evidence
from ssal.run import Predictor


@dataclass(frozen=True)
class Answer:
    """What the model says of one image.

    Attributes:
        name: what the image is called: a file name, or a few words.
        evidence: the prediction, taken apart.
        pixels: what the network saw, uint8 [H, W, C].
        seconds: how long reading, predicting and mapping took.
        truth: the class of the image, where it is known.
    """

    name: str
    evidence: Evidence
    pixels: NDArray[np.uint8]
    seconds: float
    truth: str | None = None


def find_answer(predictor: Predictor, source: ImageInput, name: str, truth: str | None = None) -> Answer:
    """Predict an image, with evidence.

    Args:
        predictor: the model, in mode `joint`.
        source: path, array or whatever else `ssal.data.decode_image` takes.
        name: what to call the image, also in an error.
        truth: its class, where it is known.

    Raises:
        DataError: the image cannot be read, or the network gives no finite numbers for it.
    """
    started = time.perf_counter()
    # Decoded once for both: a photograph takes longer to decode than to classify.
    image = decode_image(source, predictor.preprocess.channels, name=name)
    evidence = predictor.explain(image)
    pixels = predictor.preprocess.pixels(image)
    return Answer(name, evidence, pixels, time.perf_counter() - started, truth)
