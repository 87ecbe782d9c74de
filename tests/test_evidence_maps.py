from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from torch import nn

import ssal.backbones  # noqa: F401  (registers the names)
from ssal.backbones import create_backbone
from ssal.evidence import explain
from ssal.evidence.faithfulness import check_explanations
from ssal.evidence.finer import find_sources
from ssal.evidence.fused import part_logits
from ssal.evidence.maps import class_activation_map, from_maps, gradient_map, to_input_size
from ssal.evidence.sources import pooled_sources
from ssal.grouping import Grouping
from ssal.joint import Exponents
from ssal.model import Branch, SSALModel
from ssal.taps import TapShape, to_maps

from .lively import CLASSES, images, lively, small_model

TOKENS = {"embed_dim": 12, "depth": 2, "num_heads": 2, "img_size": 16, "patch_size": 4}


def bilinear(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear interpolation between the centres of cells, in plain numpy."""

    def weights(small: int, large: int) -> np.ndarray:
        centres = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
        matrix = np.zeros((large, small))
        for row, centre in enumerate(centres):
            low = min(int(centre), max(0, small - 2))
            matrix[row, low] += 1 - (centre - low)
            if small > 1:
                matrix[row, low + 1] += centre - low
        return matrix

    return weights(values.shape[0], height) @ values @ weights(values.shape[1], width).T


def normalised(values: np.ndarray, height: int, width: int) -> np.ndarray:
    large = bilinear(values, height, width)
    return (large - large.min()) / (large.max() - large.min())


def test_a_cam_is_the_weighted_sum_of_the_maps() -> None:
    model = small_model().eval()
    net = model.backbone
    found = explain(model, images(20), Exponents(0.1, (1.0, 1.0, 1.0)))
    # The map of the main classifier is that for the winner, whether it voted for it or not.
    assert {evidence.parts[0].agrees for evidence in found} == {True, False}
    for image, evidence in zip(images(20), found, strict=True):
        with torch.no_grad():
            early = net.early(image[None])
            late = net.late(early)
            convolved = model.branches[0].body[0](early)
        main, first, _, third = evidence.parts
        for part, maps, weight in (
            (main, late, net.fc.weight[evidence.winner]),
            (first, convolved, model.branches[0].head.weight[first.predicted]),
            (third, late, model.branches[2].head.weight[third.predicted]),
        ):
            cam = sum(w * a for w, a in zip(weight.tolist(), maps[0].double().numpy(), strict=True))
            assert part.method == "CAM"
            assert part.map is not None and part.map.shape == (9, 6) and part.map.dtype == np.float32
            assert np.allclose(part.map, normalised(cam, 9, 6), atol=1e-5)
            assert part.map.min() == 0 and part.map.max() == 1


def test_a_cam_is_what_each_place_adds_to_the_logit() -> None:
    """By finite differences: scaling the maps at one place moves the logit by the value there over h·w."""
    net = small_model().eval().backbone.double()
    image = images(1).double()
    with torch.no_grad():
        maps = net.late(net.early(image))
        cam = class_activation_map(maps[0], net.fc.weight[2])
        assert float(cam.mean() + net.fc.bias[2]) == pytest.approx(float(net(image)[0, 2]), abs=1e-9)
        for row, column in np.ndindex(*cam.shape):
            step = torch.ones_like(maps)
            step[..., row, column] += 1e-4
            handle = net.late.register_forward_hook(lambda _m, _i, out, step=step: out * step)
            slope = (net(image) - net.fc(maps.mean(dim=(2, 3))))[0, 2] / 1e-4
            handle.remove()
            assert float(slope) * cam.numel() == pytest.approx(float(cam[row, column]), abs=1e-6)


def test_grad_cam_where_the_head_is_not_linear() -> None:
    model = small_model().eval()
    branch = model.branches[1]
    for image, evidence in zip(images(), explain(model, images()), strict=True):
        part = evidence.parts[2]
        maps = model.backbone.early(image[None]).detach().requires_grad_()
        branch(maps)[0, part.predicted].backward()
        weight = maps.grad[0].mean(dim=(1, 2))
        expected = torch.einsum("c,chw->hw", weight, maps[0].detach()).double().numpy()
        assert part.method == "Grad-CAM"
        assert np.allclose(part.map, normalised(expected, 9, 6), atol=1e-4)


def test_grad_cam_of_a_linear_head_is_the_cam() -> None:
    model = small_model().eval()
    source = find_sources(model)[0]
    assert source is not None and source.head is model.backbone.fc
    image = images(1)
    values = gradient_map(lambda x: model(x).main, image, source, 4)
    with torch.no_grad():
        maps = model.backbone.late(model.backbone.early(image))
    cam = class_activation_map(maps[0], model.backbone.fc.weight[4])
    assert torch.allclose(values.double() * cam.numel(), cam, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        (TapShape("", "NCHW", 5, 2, 3), (1, 5, 2, 3)),
        (TapShape("", "NHWC", 5, 2, 3), (1, 2, 3, 5)),
        (TapShape("", "NLC", 5, 2, 3), (1, 6, 5)),
        (TapShape("", "NLC", 5, 2, 3, prefix_tokens=2), (1, 8, 5)),
    ],
)
def test_every_layout_goes_to_maps_and_back(shape: TapShape, sizes: tuple[int, ...]) -> None:
    output = torch.randn(sizes)
    maps = to_maps(output, shape)
    assert maps.shape == (1, 5, 2, 3)
    assert torch.equal(from_maps(maps, output, shape), output)


def test_grad_cam_of_a_branch_that_pools_tokens() -> None:
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", num_classes=CLASSES, **TOKENS)
    branch = Branch("blocks.0", Grouping.random(CLASSES, 3), layout="gap | dense 8")
    model = lively(SSALModel(net, [branch], (3, 16, 16))).eval()
    image = torch.randn(1, 3, 16, 16)
    [evidence] = explain(model, image)
    part = evidence.parts[1]
    with torch.no_grad():
        tokens = net.blocks[0](net.norm_pre(net.patch_drop(net._pos_embed(net.patch_embed(image)))))
    maps = tokens[:, 1:].transpose(1, 2).reshape(1, 12, 4, 4).requires_grad_()
    model.branches[0](maps)[0, part.predicted].backward()
    expected = torch.einsum("c,chw->hw", maps.grad[0].mean(dim=(1, 2)), maps[0].detach()).double().numpy()
    assert part.method == "Grad-CAM"
    assert np.allclose(part.map, normalised(expected, 16, 16), atol=1e-4)


def source_of(net: nn.Module, shape: tuple[int, ...]) -> tuple[str, str] | None:
    """Layer and method of the main classifier's map."""
    model = SSALModel(net, [], shape).eval()
    source = find_sources(model)[0]
    if source is None:
        return None
    [name] = [name for name, layer in net.named_modules() if layer is source.layer]
    return name, source.method


def test_true_cams_are_told_from_others_by_what_the_head_reads() -> None:
    torch.manual_seed(0)

    def made(name: str, **options: object) -> nn.Module:
        return timm.create_model(name, num_classes=9, **options)

    assert source_of(made("resnet18_cifar", width=4), (3, 32, 32)) == ("layer4", "CAM")
    assert source_of(made("resnet18_cifar", width=4, global_pool="max"), (3, 32, 32)) == (
        "layer4",
        "Grad-CAM",
    )
    assert source_of(made("wrn16_2", in_chans=1), (1, 28, 28)) == ("norm", "CAM")
    hidden = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 9)
    )
    assert source_of(hidden, (3, 8, 8)) == ("0", "Grad-CAM")
    untrained = made("vit_tiny_patch16_224", **TOKENS)
    nn.init.zeros_(untrained.head.weight)
    assert source_of(untrained, (3, 16, 16)) is None
    # Behind the last attention, only the class token has a way to the logits.
    assert source_of(made("vit_tiny_patch16_224", **TOKENS), (3, 16, 16)) == ("blocks.1.norm1", "Grad-CAM")
    frozen = made("vit_tiny_patch16_224", **TOKENS).requires_grad_(False)
    assert source_of(frozen, (3, 16, 16)) == ("blocks.1.norm1", "Grad-CAM")
    averaged = made("vit_tiny_patch16_224", global_pool="avg", fc_norm=False, class_token=False, **TOKENS)
    assert source_of(averaged, (3, 16, 16)) == ("norm", "CAM")
    swin = made(
        "swin_tiny_patch4_window7_224",
        img_size=32,
        window_size=2,
        embed_dim=8,
        depths=(1, 1),
        num_heads=(1, 2),
    )
    assert source_of(swin, (3, 32, 32)) == ("norm", "CAM")


def test_no_map_without_places() -> None:
    flat = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    model = SSALModel(flat, [Branch("1", Grouping.random(CLASSES, 3), layout="dense 8")], (6,))
    [evidence] = explain(model, torch.randn(1, 6))
    assert [(part.map, part.method) for part in evidence.parts] == [(None, None)] * 2
    dense = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    model = SSALModel(dense, [Branch("2", Grouping.random(CLASSES, 3), layout="dense 8")], (1, 8, 8))
    [evidence] = explain(model, torch.randn(1, 1, 8, 8))
    assert [part.map for part in evidence.parts] == [None, None]
    # Maps that have shrunk to one place, where there were never more than four.
    model = SSALModel(small_model().release(), [Branch("late", Grouping.random(CLASSES, 3))], (1, 2, 2))
    [evidence] = explain(model, torch.randn(1, 1, 2, 2))
    assert evidence.parts[0].map is not None and evidence.parts[0].method == "Grad-CAM"
    assert evidence.parts[1].map is None and evidence.parts[1].method is None


def coarse_model() -> SSALModel:
    """Parts that pool maps of 2×2 places, made of finer ones: in a branch, in its tap, in the backbone."""
    torch.manual_seed(5)
    net = nn.Sequential(
        *(nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 6, 3, stride=4, padding=1), nn.Tanh()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES)),
    )
    branches = [
        Branch("1", Grouping.identity(CLASSES), layout="cbr 4,3,2 | cbr 7,3,2 | gap"),
        Branch("1", Grouping.random(CLASSES, 3), summed=True),
        Branch("1", Grouping.random(CLASSES, 2), layout="cbr 4,3,4 | gap"),
        Branch("3", Grouping.identity(CLASSES), layout="gap", fused=True),
    ]
    return lively(SSALModel(net, branches, (1, 8, 8))).eval()


def test_what_pools_too_few_places_is_read_where_there_are_more() -> None:
    model = coarse_model()
    names = {module: name for name, module in model.named_modules()}
    found = [(names[source.layer], source.method) for source in find_sources(model) if source]
    assert found == [
        ("backbone.1", "HiResCAM"),
        ("branches.0.body.0", "HiResCAM"),
        ("branches.0.body.0", "HiResCAM"),
        ("backbone.1", "HiResCAM"),
        ("backbone.1", "HiResCAM"),
    ]
    pooled = [(names[source.layer], source.method) for source in pooled_sources(model) if source]
    assert pooled == [
        ("backbone.3", "CAM"),
        ("branches.0.body.1", "CAM"),
        ("branches.0.body.1", "Grad-CAM"),
        ("branches.2.body.0", "CAM"),
        ("backbone.3", "Grad-CAM"),
    ]


def test_a_fused_branch_is_read_at_the_last_fine_layer_below_its_own_maps() -> None:
    net = create_backbone("resnet18_cifar_pool", CLASSES, width=4)
    branches = [Branch(f"layer{stage}", Grouping.identity(CLASSES)) for stage in (1, 2, 3)]
    branches.append(Branch("layer4", Grouping.identity(CLASSES), fused=True))
    model = lively(SSALModel(net, branches, (3, 32, 32))).eval()
    main, first, second, third, fused = find_sources(model)
    assert main is not None and first is not None and fused is not None
    assert main.layer is fused.layer is net.layer3 and main.method == fused.method == "HiResCAM"
    assert first.layer is model.branches[0].body[0] and first.method == "HiResCAM"
    assert second is not None and third is not None and second.method == third.method == "CAM"
    # What the others make of that layer is theirs to show.
    image = torch.randn(1, 3, 32, 32)
    features = net.layer3(net.layer2(net.layer1(net.maxpool(net.act1(net.bn1(net.conv1(image))))))).detach()
    own = net.layer4(features.requires_grad_()).mean(dim=(2, 3))[0]
    target = explain(model, image)[0].parts[4].predicted
    [gradient] = torch.autograd.grad(model.branches[3].head.weight[target, : len(own)] @ own, features)
    found = gradient_map(lambda x: part_logits(model, x, 4), image, fused, target)
    assert torch.allclose(found, (gradient * features).sum(dim=1)[0].detach(), atol=1e-5)


class Shortcut(nn.Module):
    """A block whose maps are fine on one of its two ways, and in the attention over channels on the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(9, 9, 3, padding=1)
        self.second = nn.Conv2d(9, 9, 3, stride=4, padding=1)
        self.shorter = nn.Conv2d(9, 9, 1, stride=4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).relu()) + self.shorter(x)


def test_layers_that_a_shortcut_leads_past_are_not_read() -> None:
    torch.manual_seed(2)
    stem = nn.Sequential(nn.Conv2d(1, 9, 3, padding=1), nn.ReLU(inplace=True))
    net = nn.Sequential(stem, Shortcut(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(9, CLASSES))
    assert source_of(net, (1, 8, 8)) == ("0", "HiResCAM")
    bottlenecks = create_backbone("resnet50_cifar_pool", CLASSES, width=4)
    model = lively(SSALModel(bottlenecks, [], (3, 32, 32))).eval()
    source = find_sources(model)[0]
    assert source is not None and source.layer is bottlenecks.layer3


def test_a_stem_without_gradients_is_no_obstacle() -> None:
    class Stem(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 6, 3, padding=1)

        @torch.no_grad()
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x)

    middle, last = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, stride=4, padding=1)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES))
    assert source_of(nn.Sequential(Stem(), middle, last, *head), (1, 8, 8)) == ("1", "HiResCAM")
    # Nothing finer has gradients: the maps that are pooled, then.
    assert source_of(nn.Sequential(Stem(), last, *head), (1, 8, 8)) == ("1", "CAM")


@pytest.mark.parametrize(("size", "method"), [((3, 3), "CAM"), ((2, 4), "HiResCAM"), ((1, 8), "HiResCAM")])
def test_nine_places_are_enough(size: tuple[int, int], method: str) -> None:
    layers = (nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2))
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES))
    assert source_of(net, (1, 2 * size[0], 2 * size[1])) == ("2" if method == "CAM" else "1", method)


def test_channels_are_no_places() -> None:
    rows = (nn.Conv2d(1, 9, 3, stride=2, padding=1), nn.Flatten(2), nn.Unflatten(2, (2, 4)))
    head = (nn.Conv2d(9, 6, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES))
    # What is flattened has nine rows, of channels.
    assert source_of(nn.Sequential(*rows, *head), (1, 4, 8)) == ("3", "CAM")


def test_tokens_of_too_few_places_stay() -> None:
    tokens = TOKENS | {"patch_size": 8}
    assert source_of(
        timm.create_model("vit_tiny_patch16_224", num_classes=CLASSES, **tokens), (3, 16, 16)
    ) == ("blocks.1.norm1", "Grad-CAM")


def test_a_model_in_training_is_left_as_it_is() -> None:
    model = coarse_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert all(find_sources(model)) and all(pooled_sources(model))
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_maps_of_more_places_pass_the_checks_too() -> None:
    model = coarse_model()
    checks = check_explanations(model, torch.randn(4, 1, 8, 8), steps=2, pairs=1, weight_draws=1)
    assert [(part.method, part.grid) for part in checks.parts] == [
        ("hirescam", (8, 8)),
        ("hirescam", (4, 4)),
        ("hirescam", (4, 4)),
        ("hirescam", (8, 8)),
        ("hirescam", (8, 8)),
        ("sum", (8, 8)),
    ]
    stages = {
        cascade.subject.name: [stage.randomised for stage in cascade.stages]
        for cascade in checks.randomisation
    }
    assert stages["fused (3)"] == ["head", "2", "0"]


def test_hirescam_is_gradient_times_activation_at_each_place() -> None:
    model = coarse_model()
    image = torch.randn(1, 1, 8, 8)
    [evidence] = explain(model, image)
    main, first, summed, _, fused = evidence.parts
    early = model.backbone[1](model.backbone[0](image)).detach().requires_grad_()
    features = model.backbone[4:6](model.backbone[2:4](early))[0]
    # Of all that the fused branch reads of that layer, what it pools itself.
    own = model.branches[3].head.weight[fused.predicted, : len(features)] @ features
    for part, logit in ((main, model.backbone[6](features)[evidence.winner]), (fused, own)):
        [gradient] = torch.autograd.grad(logit, early, retain_graph=True)
        expected = (gradient * early.detach()).sum(dim=1)[0].double().numpy()
        assert part.method == "HiResCAM" and np.allclose(part.map, normalised(expected, 8, 8), atol=1e-4)
    branch = model.branches[0]
    maps = branch.body[0](early).detach().requires_grad_()
    assert maps.shape[2:] == (4, 4)
    classes = branch.head(branch.body[2](branch.body[1](maps)))
    groups = torch.stack([classes[0, model.specs[1].grouping.members(k)].logsumexp(0) for k in range(3)])
    for part, logit in ((first, classes[0, first.predicted]), (summed, groups[summed.predicted])):
        [gradient] = torch.autograd.grad(logit, maps, retain_graph=True)
        expected = (gradient * maps.detach()).sum(dim=1)[0].double().numpy()
        assert part.method == "HiResCAM" and np.allclose(part.map, normalised(expected, 8, 8), atol=1e-4)


def test_by_place_or_by_their_mean_gradients_before_a_pooling_are_the_same() -> None:
    model = small_model().eval()
    source = pooled_sources(model)[0]
    assert source is not None
    image = images(1)
    by_mean, by_place = (
        gradient_map(lambda x: model(x).main, image, replace(source, by_place=by_place), 4)
        for by_place in (False, True)
    )
    assert by_mean.shape == by_place.shape == (5, 3)
    assert torch.allclose(by_mean, by_place, atol=1e-6)


def test_a_flat_map_stays_flat() -> None:
    flat = torch.full((4, 4), 3.0) + torch.rand(4, 4) * 1e-8
    values = to_input_size(flat, (8, 8))
    assert values is not None and values.shape == (8, 8) and not values.any()
    assert to_input_size(torch.ones(1, 1), (8, 8)) is None
