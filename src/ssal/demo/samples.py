"""A handful of test images of a run: some clear, some that the branches put right, some that go wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ssal.config import make_settings, read_yaml
from ssal.data import DataBundle, FileIndex, open_data
from ssal.directory import RunDirectory
from ssal.errors import DataError, RunError
from ssal.run import Predictor

# Of each kind; the order is that on the page.
_EACH = 2
_SEED = 0


@dataclass(frozen=True)
class Sample:
    """A test image with its class.

    Attributes:
        pixels: uint8 [H, W, C], at full resolution.
        truth: name of its class.
    """

    pixels: NDArray[np.uint8]
    truth: str


def choose(
    target: NDArray[np.str_], main: NDArray[np.str_], joint: NDArray[np.str_], agreement: NDArray[np.int64]
) -> list[int]:
    """Rows of a table of predictions worth looking at, each of another class, at random from a fixed seed.

    Two that only all parts together get right, two that the main classifier gets right and all branches
    agree with, two that it gets right although a branch disagrees, and two that are wrong; fewer where there
    are none.

    >>> target, main = np.array(["a", "b", "c"]), np.array(["a", "c", "b"])
    >>> choose(target, main, np.array(["a", "b", "a"]), np.array([2, 2, 1]))
    [1, 0, 2]

    Args:
        target: true classes [N].
        main: what the main classifier alone predicts [N].
        joint: what all parts together predict [N].
        agreement: number of branches that agree with the joint prediction [N].
    """
    right, unanimous = joint == target, agreement == agreement.max(initial=0)
    easy = right & (main == target)
    kinds = (right & ~easy, easy & unanimous, easy & ~unanimous, ~right)
    order = np.random.default_rng(_SEED).permutation(len(target))
    chosen: list[int] = []
    for kind in kinds:
        taken = 0
        for row in order[kind[order]].tolist():
            if taken < _EACH and target[row] not in target[chosen]:
                chosen.append(row)
                taken += 1
    return chosen


def find_samples(path: Path, predictor: Predictor) -> list[Sample]:
    """Open the test data of a run and take a few images out.

    Images that are no longer of the class that they were of in the run are left out.

    Raises:
        SsalError: there are no predictions for test data, or the data cannot be opened.
        OSError: a file cannot be read.
    """
    directory = RunDirectory(path)
    if not directory.predictions.exists():
        raise RunError(f"{path} has no predictions of test images")
    table = pq.read_table(directory.predictions, columns=["index", "target", "TR", "JP", "agreement"])
    column = {name: table[name].to_numpy() for name in table.column_names}
    target, main, joint = (column[name].astype(str) for name in ("target", "TR", "JP"))
    rows = choose(target, main, joint, column["agreement"])
    data = _data(directory, predictor)
    samples: list[Sample] = []
    for row in rows:
        index, truth = int(column["index"][row]), str(target[row])
        if index < len(data.test) and data.test.class_names[data.test.targets[index]] == truth:
            samples.append(Sample(data.test.image(index), truth))
    return samples


def _data(directory: RunDirectory, predictor: Predictor) -> DataBundle:
    settings = make_settings(read_yaml(directory.config))
    if settings.data.startswith("hf:"):
        raise DataError(f"{settings.data} would be asked for in the network")
    return open_data(
        settings.data,
        data_dir=settings.data_dir,
        image_size=predictor.preprocess.image_size,
        channels=predictor.preprocess.channels,
        interpolation=predictor.preprocess.interpolation,
        skip_bad=settings.skip_bad,
        # Eight images are wanted, not all in memory.
        in_memory=False,
        check_files=settings.skip_bad,
        index=FileIndex.load(directory.index),
    )
