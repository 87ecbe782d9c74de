"""The loss of neural-backed decision trees, which supervise groups of classes too, where nbdt is installed.

Its last version, 0.0.4, is of 2020: `pip install --no-deps nbdt nltk joblib regex click tqdm` still works.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import nbdt.graph
import torch.nn.functional as F
from networkx.readwrite.json_graph import node_link_graph
from torch import Tensor


def tree_loss() -> Callable[[Tensor, Tensor], Tensor]:
    """The soft tree supervision loss for CIFAR-100 with the hierarchy that comes with nbdt."""
    # Its files were written before networkx 3.4 gave the links another name.
    nbdt.graph.node_link_graph = partial(node_link_graph, edges="links")
    from nbdt.loss import SoftTreeSupLoss

    return SoftTreeSupLoss(dataset="CIFAR100", criterion=F.cross_entropy, hierarchy="induced-ResNet18")
