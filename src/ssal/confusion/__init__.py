"""Confusion matrices: counted, averaged, normalised, turned into similarities, kept in files."""

from ssal.confusion.arrays import DENSE_LIMIT
from ssal.confusion.counts import SoftConfusion, confusion_matrix, soft_confusion, sparse_confusion
from ssal.confusion.files import load_confusion, save_confusion
from ssal.confusion.matrix import Confusion, check_confusion, distance, normalise_rows, similarity

__all__ = [
    "DENSE_LIMIT",
    "Confusion",
    "SoftConfusion",
    "check_confusion",
    "confusion_matrix",
    "distance",
    "load_confusion",
    "normalise_rows",
    "save_confusion",
    "similarity",
    "soft_confusion",
    "sparse_confusion",
]
