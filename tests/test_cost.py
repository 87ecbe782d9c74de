import torch
from torch import nn

from ssal.cost import count_flops, count_parameters


def test_flops_of_a_convolution_by_hand() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    )
    assert count_flops(net, (3, 10, 10)) == 2 * (25 * 8 * 27 + 8 * 5)


def test_counting_changes_nothing() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).train()
    weight = net[0].weight
    count_flops(net, (3,))
    assert net[0].weight is weight and weight.device.type == "cpu" and net.training
    assert net[1].num_batches_tracked == torch.tensor(0)


def test_frozen_parameters_do_not_count() -> None:
    net = nn.Linear(3, 4)
    net.bias.requires_grad_(False)
    assert count_parameters(net) == 12
