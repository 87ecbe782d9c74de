import copy
import math
import re
import warnings

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ssal.backbones  # noqa: F401  (registers the names)
from ssal.errors import DataError, InputError
from ssal.evidence import Evidence, class_terms, explain
from ssal.evidence.figure import draw_evidence, evidence_figure
from ssal.evidence.maps import class_activation_map, from_maps, gradient_map, to_input_size
from ssal.evidence.overlay import overlay
from ssal.evidence.sources import find_sources
from ssal.evidence.table import describe_members, format_evidence, readable, verdict
from ssal.grouping import Grouping
from ssal.joint import Exponents, Outputs, joint_log_prob
from ssal.model import Branch, SSALModel
from ssal.taps import TapShape, to_maps

CLASSES = 7
TOKENS = {"embed_dim": 12, "depth": 2, "num_heads": 2, "img_size": 16, "patch_size": 4}
NAMES = ("zero", "one", "two", "three", "four", "five", "six")


class Net(nn.Module):
    """Two convolutions, mean of the maps, linear: a network whose CAM can be written down."""

    def __init__(self) -> None:
        super().__init__()
        self.early = nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(inplace=True))
        self.late = nn.Sequential(nn.Conv2d(5, 6, 3, stride=2, padding=1), nn.Tanh())
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.drop(self.late(self.early(images)).mean(dim=(2, 3))))


def lively(model: nn.Module) -> nn.Module:
    """Large weights, so that predictions and maps differ between images and parts."""
    torch.manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=2.0)
            nn.init.normal_(module.bias, std=0.5)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.2)
    return model


def small_model() -> SSALModel:
    torch.manual_seed(0)
    branches = [
        Branch("early", Grouping.random(CLASSES, 3, seed=0), layout="cbr 4,3,1 | gap", exponent=0.8),
        Branch("early", Grouping.random(CLASSES, 2, seed=1), layout="gap | dense 6", exponent=1.1),
        Branch("late", Grouping.identity(CLASSES), layout="gap", exponent=0.6),
    ]
    return lively(SSALModel(Net(), branches, (1, 9, 6)))


def images(count: int = 4) -> torch.Tensor:
    return torch.randn((count, 1, 9, 6), generator=torch.Generator().manual_seed(5))


def equal_maps(first: Evidence, second: Evidence) -> bool:
    pairs = zip(first.parts, second.parts, strict=True)
    return all(
        (a.map is None and b.map is None)
        or (a.map is not None and b.map is not None and np.array_equal(a.map, b.map))
        for a, b in pairs
    )


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


# The sum


exponent = st.one_of(st.just(0.0), st.floats(0, 5))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), main=st.one_of(st.just(1.0), exponent), etas=st.tuples(exponent, exponent))
def test_terms_add_up_to_the_joint_log_probability(seed: int, main: float, etas: tuple[float, float]) -> None:
    generator = torch.Generator().manual_seed(seed)

    def logits(size: int) -> torch.Tensor:
        return torch.randn((3, size), generator=generator, dtype=torch.float64) * 4

    outputs = Outputs(logits(CLASSES), (logits(2), logits(3)))
    groupings = [Grouping.random(CLASSES, 2, seed=seed), Grouping.random(CLASSES, 3, seed=seed)]
    terms = class_terms(outputs, groupings, Exponents(main, etas))
    expected = joint_log_prob(outputs, groupings, etas, main)
    assert terms.shape == (3, 3, CLASSES) and terms.dtype == torch.float64
    assert torch.allclose(terms.sum(dim=1).log_softmax(dim=1), expected, rtol=1e-12, atol=1e-12)
    for part, eta in enumerate((main, *etas)):
        assert eta != 0 or not terms[:, part].any()


def test_a_silent_part_adds_nothing_even_where_it_is_certain() -> None:
    outputs = Outputs(torch.zeros(1, 2), (torch.tensor([[0.0, -math.inf]]),))
    terms = class_terms(outputs, [Grouping.identity(2)], Exponents(1.0, (0.0,)))
    assert terms[0, 1].tolist() == [0, 0]


def test_terms_need_a_grouping_and_an_exponent_for_each_branch() -> None:
    outputs = Outputs(torch.zeros(1, 2), (torch.zeros(1, 2),))
    with pytest.raises(InputError, match="0 groupings given for 1 branches"):
        class_terms(outputs, [], Exponents(1.0, (1.0,)))
    with pytest.raises(InputError, match="2 exponents given for 1 branches"):
        class_terms(outputs, [Grouping.identity(2)], Exponents(1.0, (1.0, 1.0)))


def test_evidence_is_the_prediction_of_the_model() -> None:
    model = small_model().eval()
    exponents = Exponents(1.3, (0.5, 0.0, 0.9))
    with torch.no_grad():
        log_prob = model.log_prob(images(), exponents).double()
    for evidence, expected in zip(explain(model, images(), exponents, NAMES), log_prob, strict=True):
        values, order = expected.sort(descending=True)
        assert list(evidence.candidates) == order[:5].tolist()
        assert evidence.log_probabilities == pytest.approx(values[:5].tolist(), abs=1e-5)
        assert evidence.class_name == NAMES[int(order[0])]
        assert evidence.probability == pytest.approx(float(values[0].exp()), abs=1e-5)
        for place, log_probability in enumerate(evidence.log_probabilities):
            total = sum(part.terms[place] for part in evidence.parts)
            assert total - evidence.log_normaliser == pytest.approx(log_probability, abs=1e-12)
        assert sum(part.margin for part in evidence.parts) == pytest.approx(evidence.margin, abs=1e-12)
        assert evidence.decided_by.margin == max(part.margin for part in evidence.parts)
        assert [part.exponent for part in evidence.parts] == [1.3, 0.5, 0.0, 0.9]


def test_leaving_a_part_out_is_giving_it_no_exponent() -> None:
    model = small_model().eval()
    main, branches = exponents = Exponents(1.0, (0.7, 0.9, 1.2))
    changed = 0
    for image, evidence in zip(images(40), explain(model, images(40), exponents), strict=True):
        with torch.no_grad():
            outputs = model(image[None])
        for number, part in enumerate(evidence.parts):
            etas = [0.0 if number == index + 1 else eta for index, eta in enumerate(branches)]
            rest = joint_log_prob(outputs, model.labels, etas, 0.0 if number == 0 else main)
            assert part.without == int(rest.argmax())
            assert (part in evidence.decisive) == (part.without != evidence.winner)
        changed += len(evidence.decisive)
    assert changed > 0


def test_nothing_wins_without_the_only_part_that_counts() -> None:
    [evidence] = explain(small_model(), images(1), Exponents(1.0, (0.0, 0.0, 0.0)))
    assert [part.without for part in evidence.parts] == [None, *[evidence.winner] * 3]
    assert evidence.decisive == () and evidence.decided_by.tap is None
    assert evidence.log_normaliser == pytest.approx(0, abs=1e-12)


def test_each_part_tells_its_group() -> None:
    model = small_model().eval()
    agreeing = 0
    for image, evidence in zip(images(20), explain(model, images(20)), strict=True):
        with torch.no_grad():
            outputs = model(image[None])
        main, *branches = evidence.parts
        assert main.members == (main.predicted,) == (int(outputs.main.argmax()),)
        assert main.probability == pytest.approx(float(outputs.main.softmax(1).max()), abs=1e-6)
        for part, logits, spec in zip(branches, outputs.groups, model.specs, strict=True):
            assert part.tap == part.name == spec.tap
            assert part.predicted == int(logits.argmax())
            assert part.probability == pytest.approx(float(logits.softmax(1).max()), abs=1e-6)
            inside = [c for c in range(CLASSES) if spec.grouping.labels[c] == part.predicted]
            assert list(part.members) == inside
            assert part.agrees == (evidence.winner in inside)
        assert evidence.agreement == sum(part.agrees for part in branches)
        agreeing += evidence.agreement
    assert 0 < agreeing < 60


# The maps


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
    # A branch that has shrunk its maps to one place.
    model = SSALModel(
        Net(), [Branch("late", Grouping.random(CLASSES, 3), layout="cbr 4,9,9 | gap")], (1, 9, 6)
    )
    [evidence] = explain(model, images(1))
    assert evidence.parts[0].map is not None
    assert evidence.parts[1].map is None and evidence.parts[1].method is None


def test_a_flat_map_stays_flat() -> None:
    flat = torch.full((4, 4), 3.0) + torch.rand(4, 4) * 1e-8
    values = to_input_size(flat, (8, 8))
    assert values is not None and values.shape == (8, 8) and not values.any()
    assert to_input_size(torch.ones(1, 1), (8, 8)) is None


# One by one, and leaving no trace


def cases() -> list[tuple[SSALModel, torch.Tensor]]:
    torch.manual_seed(0)
    net = timm.create_model("resnet18_cifar", num_classes=12, width=16)
    branches = [
        Branch("layer1", Grouping.random(12, 4)),
        Branch("layer2", Grouping.random(12, 3), layout="cbr 16 | gap | dense 16"),
    ]
    return [
        (small_model(), images(5)),
        (lively(SSALModel(net, branches, (3, 28, 28))), torch.randn(5, 3, 28, 28)),
    ]


def test_a_batch_gives_exactly_what_single_images_give() -> None:
    for model, batch in cases():
        together = explain(model, batch)
        for layout in (batch, batch.contiguous(memory_format=torch.channels_last), batch.flip(0).flip(0)):
            alone = [evidence for image in layout for evidence in explain(model, image[None])]
            assert together == alone
            assert all(map(equal_maps, together, alone))
        assert len({evidence.log_probabilities for evidence in together}) == len(batch)


def test_the_network_sees_each_image_in_the_same_form() -> None:
    model, batch = cases()[1]
    seen: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    model.backbone.register_forward_pre_hook(
        lambda _, inputs: seen.append((inputs[0].shape, inputs[0].stride()))
    )
    for layout in (batch, batch.contiguous(memory_format=torch.channels_last), batch.flip(3).flip(3)):
        explain(model, layout)
    assert {form for form in seen if form[0][0] == 1} == {((1, 3, 28, 28), (3 * 28 * 28, 28 * 28, 28, 1))}


def snapshot(model: nn.Module) -> list[object]:
    """All that `explain` could disturb: modes, hooks, flags, gradients, values."""
    return [
        [module.training for module in model.modules()],
        [
            (list(m._forward_hooks), list(m._forward_pre_hooks), list(m._backward_hooks))
            for m in model.modules()
        ],
        [
            (p.requires_grad, p._version, None if p.grad is None else p.grad.tolist(), p.tolist())
            for p in (*model.parameters(), *model.buffers())
        ],
        torch.get_rng_state().tolist(),
        torch.is_grad_enabled(),
    ]


def prepared() -> SSALModel:
    """A model in the middle of something: mixed modes, gradients, a frozen weight, a hook of its own."""
    model = small_model()
    F.cross_entropy(model(images()).main, torch.arange(4)).backward()
    model.train()
    model.backbone.early.eval()
    model.backbone.fc.bias.requires_grad_(False)
    model.backbone.late.register_forward_hook(lambda _module, _inputs, _output: None)
    return model


def test_the_model_comes_back_untouched() -> None:
    model, batch = prepared(), images()
    before = snapshot(model)
    explain(model, batch)
    assert snapshot(model) == before
    assert not batch.requires_grad and batch.grad is None


class Failing:
    """Hook that raises in one of the passes of a layer."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, *_: object) -> None:
        self.left -= 1
        if self.left < 0:
            raise ArithmeticError("broken")


@pytest.mark.parametrize("layer", ["backbone.fc", "branches.1.head"])
def test_the_model_comes_back_untouched_after_an_error(layer: str) -> None:
    failures = 0
    while True:
        model = prepared()
        model.get_submodule(layer).register_forward_hook(Failing(failures))
        before = snapshot(model)
        try:
            explain(model, images(1))
        except ArithmeticError:
            failures += 1
            assert snapshot(model) == before
        else:
            break
    # Looking for maps, predicting, and one pass for the Grad-CAM at least.
    assert failures >= 3


def test_evidence_is_the_same_in_any_circumstances() -> None:
    batch = images(2)
    expected = explain(small_model().eval(), batch)
    frozen = small_model().requires_grad_(False).train()
    for context in (torch.no_grad(), torch.inference_mode(), torch.enable_grad()):
        with context:
            found = explain(frozen, batch.clone())
        assert found == expected
        assert all(map(equal_maps, found, expected))
    twin = copy.deepcopy(frozen)
    assert explain(twin, batch) == expected


# Bad input


def test_bad_input_is_named() -> None:
    model = small_model()
    with pytest.raises(InputError, match=r"images must be \[N, 1, 9, 6\], not \[1, 1, 6, 9\]"):
        explain(model, torch.zeros(1, 1, 6, 9))
    with pytest.raises(InputError, match="2 class names for 7 classes"):
        explain(model, images(1), class_names=("a", "b"))
    with pytest.raises(InputError, match="1 exponents given for 3 branches"):
        explain(model, images(1), Exponents(1.0, (1.0,)))
    with pytest.raises(InputError, match="two at least, not 1"):
        explain(model, images(1), candidates=1)
    with pytest.raises(InputError, match="two at least, not 1"):
        explain(SSALModel(nn.Linear(3, 1), [], (3,)), torch.zeros(1, 3))
    with pytest.raises(DataError, match="no finite numbers"):
        explain(model, torch.full((1, 1, 9, 6), math.nan))
    assert explain(model, images(0)) == []


# Words and pictures

ODD = (
    "$x^2$",
    "a\x1b[31mred",
    "two\nlines",
    "\u202eturned",
    "[bold]",
    "猫",
    "a name much longer than its column",
)


def shown(names: tuple[str, ...] = NAMES) -> Evidence:
    return explain(small_model(), images(1), Exponents(1.0, (0.8, 0.5, 0.6)), names)[0]


def numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"[-+]?\d+\.\d+", line)]


def test_the_table_adds_up() -> None:
    evidence = shown()
    lines = format_evidence(evidence).splitlines()
    assert lines[0] == f"{evidence.class_name}  {100 * evidence.probability:.1f} %"
    top = next(index for index, line in enumerate(lines) if line.startswith("───")) + 1
    for line, part in zip(lines[top:], evidence.parts, strict=False):
        assert line.startswith(part.name)
        assert numbers(line) == pytest.approx([part.exponent, *part.terms, part.margin], abs=0.006)
        assert line.endswith("same" if part.without == evidence.winner else NAMES[part.without])
    total, log_probability, probability = lines[top + len(evidence.parts) :][:3]
    exact = [sum(part.terms[place] for part in evidence.parts) for place in range(5)]
    assert numbers(total) == pytest.approx([*exact, evidence.margin], abs=0.006)
    assert numbers(log_probability) == pytest.approx(evidence.log_probabilities, abs=0.006)
    assert numbers(probability) == pytest.approx([100 * value for value in evidence.probabilities], abs=0.06)
    for part in evidence.parts[1:]:
        word = "agrees" if part.agrees else "conflicts"
        members = ", ".join(describe_members(evidence, part))
        assert any(word in line and line.endswith(f"group {part.predicted}: {members}") for line in lines)


def test_the_verdict_names_what_decided_and_what_would_change() -> None:
    for evidence in explain(small_model(), images(30), class_names=NAMES):
        first, *others = verdict(evidence)
        assert evidence.decided_by.name in first and evidence.class_name in first
        for part in evidence.decisive:
            assert any(part.name in line and line.endswith(NAMES[part.without]) for line in others)
        assert evidence.decisive or others == ["no part changed the answer by itself"]


def test_names_cannot_steer_terminal_or_picture() -> None:
    evidence = shown(ODD)
    text = format_evidence(evidence)
    assert all(character.isprintable() or character == "\n" for character in text)
    width = {len(line) for line in text.splitlines() if line.startswith("───")}
    assert len(width) == 1
    pixels = np.zeros((9, 6, 1), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw_evidence(evidence, pixels).startswith(b"\x89PNG")
        assert b"<svg" in draw_evidence(evidence, pixels, "svg")
    assert readable("ab\u202ecd\x00") == "ab�cd�"
    assert readable("猫猫猫", 4) == "猫…"


def test_long_groups_are_cut_and_begin_with_the_winner() -> None:
    grouping = Grouping.from_labels([0] * 20 + [1])
    net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 21))
    with torch.no_grad():
        net[1].bias[15] = 50
    model = SSALModel(net, [Branch("0", grouping, layout="dense 8")], (4,))
    with torch.no_grad():
        model.branches[0].head.bias[0] = 50
    [evidence] = explain(model, torch.zeros(1, 4))
    words = describe_members(evidence, evidence.parts[1], limit=5)
    assert words == ["15", "0", "1", "2", "+ 16 more"]


def test_an_overlay_shows_heat_and_image() -> None:
    pixels = np.zeros((10, 20, 1), np.uint8)
    pixels[:, :10] = 255
    heat = np.zeros((10, 20), np.float32)
    cold = overlay(pixels, heat).astype(int)
    heat[2:8, 4:16] = 1
    warm = overlay(pixels, heat).astype(int)
    assert warm.shape == (130, 260, 3)
    # Cold places keep the image: bright on the left, dark on the right, without colour.
    assert cold[:, :130].min() > cold[:, 130:].max()
    assert np.ptp(cold, axis=2).max() <= 2
    brighter = warm.sum(axis=2) - cold.sum(axis=2)
    assert brighter[65, 180] > 200 and brighter[65, 250] == 0
    assert np.ptp(warm[65, 180]) > 50


def test_the_figure_has_a_panel_for_each_part() -> None:
    evidence = shown()
    figure = evidence_figure(evidence, np.zeros((9, 6, 3), np.uint8))
    pictures = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title().split("  ")[0] for axes in pictures] == [
        "image",
        "main classifier",
        "early",
        "early",
        "late",
    ]
    bars = figure.axes[-1]
    ends = [float(value) for value in bars.lines[0].get_xdata()]
    leads = [evidence.log_probabilities[0] - value for value in evidence.log_probabilities[1:]]
    assert ends == pytest.approx(leads[: len(ends)])
