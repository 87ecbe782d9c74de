"""CIFAR-100 in two: 12 superclasses to train a network on, the other 8 to fine-tune it on.

python tools/split_superclasses.py data/cifar100 --out data

Reads `train.parquet` and `test.parquet`, writes `pretraining/` and `finetuning/` with two files each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ssal.data import SourceOptions
from ssal.data.sources import get_source

PRETRAINING = 12
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with train.parquet and test.parquet")
    parser.add_argument("--out", type=Path, required=True, help="folder of the two new ones")
    arguments = parser.parse_args()
    names = get_source("cifar100")(SourceOptions(data_dir=arguments.data)).train.class_names
    first = np.random.default_rng(SEED).permutation(20)[:PRETRAINING]
    for part in ("train", "test"):
        table = pq.read_table(arguments.data / f"{part}.parquet")
        coarse, fine = (table[column].to_numpy() for column in ("coarse_label", "fine_label"))
        for folder, kept in (
            ("pretraining", np.isin(coarse, first)),
            ("finetuning", ~np.isin(coarse, first)),
        ):
            rows = np.flatnonzero(kept)
            labels = pa.array([names[number] for number in fine[rows]])
            (arguments.out / folder).mkdir(parents=True, exist_ok=True)
            taken = pa.table({"img": table["img"].take(pa.array(rows)), "label": labels})
            pq.write_table(taken, arguments.out / folder / f"{part}.parquet")
            print(f"{folder}/{part}.parquet: {len(rows):,} images of {len(set(labels.to_pylist()))} classes")


if __name__ == "__main__":
    main()
