"""Branches: from a layout text and the shape of a feature to a module that predicts the group."""

from ssal.branches.inception import Inception, InceptionC, InceptionD, InceptionE
from ssal.branches.layout import Block, GlobalAveragePool, parse_layout, scale_layout
from ssal.branches.network import BranchNet, SummedGroups, build_branch, light_layout

__all__ = [
    "Block",
    "BranchNet",
    "GlobalAveragePool",
    "Inception",
    "InceptionC",
    "InceptionD",
    "InceptionE",
    "SummedGroups",
    "build_branch",
    "light_layout",
    "parse_layout",
    "scale_layout",
]
