"""The networks of Table 2 and the rivals of Table 5, each a network, an objective, or both."""

from ssal.experiments.rivals.auxiliary import AuxiliaryLoss, AuxiliaryNetwork, Corruption
from ssal.experiments.rivals.complement import ComplementEntropy, complement_entropy
from ssal.experiments.rivals.concatenated import ConcatenatedFeatures, ConcatenatedOutputs
from ssal.experiments.rivals.hierarchical import CoarseConsistency, HierarchicalNetwork
from ssal.experiments.rivals.hydra import HydraNetwork
from ssal.experiments.rivals.mimicking import MimickingLoss, mimicry

__all__ = [
    "AuxiliaryLoss",
    "AuxiliaryNetwork",
    "CoarseConsistency",
    "ComplementEntropy",
    "ConcatenatedFeatures",
    "ConcatenatedOutputs",
    "Corruption",
    "HierarchicalNetwork",
    "HydraNetwork",
    "MimickingLoss",
    "complement_entropy",
    "mimicry",
]
