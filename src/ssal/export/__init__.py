"""Trained models for other runtimes: the network with its way of prediction as one graph."""

from ssal.export.write import FORMATS, SUFFIXES, Exported, export

__all__ = ["FORMATS", "SUFFIXES", "Exported", "export"]
