"""Parquet files in the layout that Hugging Face `datasets` writes."""

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ssal.data.columns import describe_columns
from ssal.data.items import TableItems
from ssal.data.sources import RawData, SourceOptions
from ssal.data.table import TEST_SPLITS, TableSplit, read_table
from ssal.errors import DataError

_SPLITS = ("train", *TEST_SPLITS)


def has_parquet(root: Path) -> bool:
    """Tell whether `read_parquet` finds files in a folder."""
    return bool(_find_splits(root))


def read_parquet(path: Path, options: SourceOptions) -> RawData:
    """Read a Parquet file, or a folder of them.

    In a folder, `train*.parquet` are the training data and `test*.parquet`, else `validation*.parquet`, the
    test data; they may lie in `data/`, or in folders `train/`, `test/`. Other names are one set that is
    split.

    The encoded images stay in memory as they are in the file, decompressed but not decoded.

    Raises:
        DataError: A file cannot be read, columns are missing or ambiguous, or memory would not do.
    """
    found = {"all": [path]} if path.is_file() else _find_splits(path)
    if not found:
        raise DataError(f"{str(path)!r} has no Parquet files")
    return read_table({name: _split(files) for name, files in found.items()}, options)


def _find_splits(root: Path) -> dict[str, list[Path]]:
    for folder in (root, root / "data"):
        files = sorted(folder.glob("*.parquet"))
        named: dict[str, list[Path]] = {}
        for file in files:
            # "validation-0.parquet" begins with "val" too: the longest name counts.
            matching = [name for name in _SPLITS if file.name.startswith(name)]
            named.setdefault(max(matching, key=len, default=""), []).append(file)
        if files:
            named.pop("", None)
            return named or {"all": files}
    inside = {name: sorted((root / name).glob("*.parquet")) for name in _SPLITS}
    return {name: files for name, files in inside.items() if files}


def _split(files: Sequence[Path]) -> TableSplit:
    opened = [_open(file) for file in files]
    where = repr(str(files[0])) if len(files) == 1 else f"{str(files[0])!r} and {len(files) - 1} more files"

    def column(name: str, part: str) -> pa.ChunkedArray:
        chunks: list[pa.Array] = []
        for file, table in zip(files, opened, strict=True):
            if name not in table.schema_arrow.names:
                raise DataError(f"{str(file)!r} lacks the column {name!r} that {str(files[0])!r} has")
            try:
                chunks.extend(table.read(columns=[part])[name].chunks)
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{str(file)!r} cannot be read: {_one_line(error)}") from error
        return pa.chunked_array(chunks, type=None if chunks else pa.null())

    def images(name: str) -> TableItems:
        kind = opened[0].schema_arrow.field(name).type
        _check_memory(opened, name, where)
        stored = column(name, f"{name}.bytes" if pa.types.is_struct(kind) else name)
        encoded = stored.flatten()[0] if pa.types.is_struct(kind) else stored
        rows = [table.metadata.num_rows for table in opened]
        starts = tuple(sum(rows[:number]) for number in range(len(rows)))
        return table_items(encoded, tuple(str(file) for file in files), starts)

    return TableSplit(
        where=where,
        columns=describe_columns(opened[0].schema_arrow),
        labels=lambda name: column(name, name),
        images=images,
    )


def _open(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{str(file)!r} cannot be read as a Parquet file: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def table_items(encoded: pa.ChunkedArray, files: tuple[str, ...], starts: tuple[int, ...]) -> TableItems:
    """Collect the images of a column of bytes.

    Raises:
        DataError: The column holds no bytes, or a row has none.
    """
    if not (pa.types.is_binary(encoded.type) or pa.types.is_large_binary(encoded.type)):
        raise DataError(f"the images of {files[0]!r} must be encoded as bytes; the column is {encoded.type}")
    # Offsets of 64 bits: those of 32 end at 2 GiB.
    items = TableItems(encoded.cast(pa.large_binary()).combine_chunks(), files, starts)
    if encoded.null_count:
        row = pc.index(encoded.is_null(), True).as_py()
        raise DataError(f"{items.name(row)!r} holds no image bytes; links to other files are not followed")
    return items


def _check_memory(tables: Sequence[pq.ParquetFile], name: str, where: str) -> None:
    needed = 0
    for table in tables:
        for group in range(table.metadata.num_row_groups):
            chunks = table.metadata.row_group(group)
            for number in range(chunks.num_columns):
                if chunks.column(number).path_in_schema.split(".")[0] == name:
                    needed += chunks.column(number).total_uncompressed_size
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > installed // 2:
        raise DataError(
            f"{where} holds {needed / 2**30:.0f} GiB of encoded images, more than half of the memory here;"
            " unpack them to a folder of image files, which is read as it is needed"
        )
