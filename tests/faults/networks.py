"""Tiny networks for runs of a second."""

from torch import nn


def tiny(num_classes: int) -> nn.Module:
    """With everything that has a state of its own: batch norm and dropout."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(6, num_classes),
    )
