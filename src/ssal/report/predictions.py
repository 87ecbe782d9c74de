"""The predictions on the test data, sample by sample, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ssal.errors import RunError

WAYS = ("baseline", "TR", "JP", "LC")


@dataclass(frozen=True, eq=False)
class Predictions:
    """What every part said of every test sample.

    Attributes:
        index: number of each sample in the test set, int64 [N].
        target: its class id, int64 [N].
        answers: of each way of prediction the class ids, int64 [N].
        probabilities: and how probable it found them, [N].
        groups: of each branch the group, int64 [N].
        agreement: number of branches whose group holds the answer of JP, int64 [N].
    """

    index: NDArray[np.int64]
    target: NDArray[np.int64]
    answers: dict[str, NDArray[np.int64]]
    probabilities: dict[str, NDArray[np.float64]]
    groups: tuple[NDArray[np.int64], ...]
    agreement: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.target)

    def right(self, way: str) -> NDArray[np.bool_]:
        """Whether a way of prediction is right, [N]."""
        return self.answers[way] == self.target

    def top1(self, way: str) -> float:
        """Accuracy in percent."""
        return 100 * float(self.right(way).mean())


def read_predictions(path: Path, class_names: Sequence[str]) -> Predictions:
    """Read `eval/predictions.parquet`.

    Raises:
        RunError: the file is missing or damaged, or names classes that the model does not know.
    """
    try:
        # By its bytes: pyarrow takes no path that is not UTF-8.
        table = pq.read_table(pa.BufferReader(path.read_bytes()))
    except FileNotFoundError:
        raise RunError(f"{path} is missing") from None
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from None
    ways = [way for way in WAYS if way in table.column_names]
    missing = {"index", "target", "JP", "TR", "agreement"} - set(table.column_names)
    if missing or not len(table):
        raise RunError(f"{path} has no {'samples' if not missing else ', '.join(sorted(missing))}")
    ids = {name: index for index, name in enumerate(class_names)}
    try:
        branches = [name for name in table.column_names if name.startswith("branch") and "group" in name]
        return Predictions(
            index=_integers(table["index"]),
            target=_codes(table["target"], ids, path),
            answers={way: _codes(table[way], ids, path) for way in ways},
            probabilities={way: _floats(table[f"{way}_probability"]) for way in ways},
            groups=tuple(_integers(table[name]) for name in branches),
            agreement=_integers(table["agreement"]),
        )
    except (KeyError, ValueError, IndexError, pa.ArrowException) as error:
        raise RunError(f"{path} is no table of predictions: {' '.join(str(error).split())[:200]}") from None


def _codes(column: pa.ChunkedArray, ids: Mapping[str, int], path: Path) -> NDArray[np.int64]:
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    try:
        known = np.array([ids[name] for name in encoded.dictionary.to_pylist()], dtype=np.int64)
    except KeyError as error:
        raise RunError(f"{path} names a class that the model does not know: {error}") from None
    return known[encoded.indices.to_numpy(zero_copy_only=False)]


def _integers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return column.cast(pa.int64()).to_numpy().copy()


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    return column.cast(pa.float64()).to_numpy().copy()
