"""Data sets of the Hugging Face hub, through the optional package `datasets`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ssal.data.columns import describe_columns
from ssal.data.sources import RawData, SourceOptions
from ssal.data.table import TableSplit, read_table
from ssal.errors import DataError, InputError


@dataclass(frozen=True, eq=False)
class HubItems:
    """Encoded images of a column of a `datasets.Dataset`, which maps them from disk.

    Attributes:
        rows: The data set with its image column alone, decoding switched off.
        column: The image column.
        label: What to call the data set in a message.
    """

    rows: Any
    column: str
    label: str

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, index: int) -> bytes | Path:
        """Return the encoded bytes of image `index`, or the path of its file in the cache of `datasets`."""
        entry = self.rows[index][self.column]
        return entry["bytes"] if entry["bytes"] is not None else Path(entry["path"])

    def name(self, index: int) -> str:
        """Return the data set and the row, from 0."""
        return f"{self.label} row {index}"


def read_hub(name: str, options: SourceOptions) -> RawData:
    """Load a data set by its name on the hub, or by the folder of a copy.

    A configuration is named behind a second colon: `hf:NAME:CONFIG`.

    Args:
        name: Name without the `hf:`.
        options: Columns to use, and how to divide a single split.

    Raises:
        InputError: The package `datasets` is not installed.
        DataError: The data set cannot be loaded, or its columns are missing or ambiguous.
    """
    try:
        import datasets  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(
            f"hf:{name} needs the package datasets, which is not installed: pip install 'ssal[hf]'"
        ) from error
    path, _, config = name.partition(":")
    try:
        loaded: dict[str, Any] = datasets.load_dataset(path, config or None)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise DataError(f"hf:{name} cannot be loaded: {reason}") from error
    as_bytes = datasets.Image(decode=False)
    return read_table(
        {split: _split(f"hf:{name}/{split}", rows, as_bytes) for split, rows in loaded.items()}, options
    )


def _split(where: str, rows: Any, as_bytes: Any) -> TableSplit:
    def labels(column: str) -> pa.ChunkedArray:
        return pa.chunked_array(
            [pa.array(rows[column][:], type=rows.features.arrow_schema.field(column).type)]
        )

    def images(column: str) -> HubItems:
        return HubItems(rows.select_columns([column]).cast_column(column, as_bytes), column, where)

    return TableSplit(where, describe_columns(rows.features.arrow_schema), labels, images)
