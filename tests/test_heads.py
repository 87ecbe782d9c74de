"""Branches that read others: fused ones, and groups that are read off the classes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ssal.branches import SummedGroups
from ssal.config import make_settings
from ssal.directory import RunDirectory
from ssal.errors import InputError, RunError
from ssal.evidence import explain, pooled_sources
from ssal.evidence.faithfulness.layers import cascade_layers
from ssal.experiments.methods import find_method
from ssal.export import export
from ssal.grouping import Grouping
from ssal.groupitems import group_parts
from ssal.joint import Exponents, Outputs, distillation_loss, joint_log_prob
from ssal.model import Branch, SSALModel
from ssal.run import resume_training, train
from ssal.run.prepare import prepare
from ssal.run.resume import load_beginnings, save_beginnings
from ssal.run.saved import load_model
from ssal.taps import deepest_tap
from ssal.training import GatheredGroups, JointLoss

CLASSES = 6
ALL, PAIRS = Grouping.identity(CLASSES), Grouping.from_labels([0, 1, 2, 0, 1, 2])


def network() -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in ((3, 8), (8, 12), (12, 16)):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES))


def model() -> SSALModel:
    return SSALModel(
        network(),
        [
            Branch("1", ALL, "cbr 8 | gap"),
            Branch("1", PAIRS, summed=True),
            Branch("5", ALL, "gap", fused=True),
            Branch("3", PAIRS, "cbr 10 | gap"),
        ],
        (3, 16, 16),
    ).eval()


@given(st.integers(0, 10_000), st.floats(0.1, 80.0))
def test_a_summed_group_has_the_probability_of_its_classes(seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(5, 9, generator=generator)
    grouping = Grouping.random(9, 4, seed)
    summed = SummedGroups()(logits, torch.tensor(grouping.labels), 4)
    probabilities = logits.double().softmax(dim=1)
    for group in range(4):
        expected = probabilities[:, grouping.members(group)].sum(dim=1)
        assert torch.allclose(F.softmax(summed.double(), dim=1)[:, group], expected, rtol=1e-4, atol=1e-30)
    # Logits, not log-probabilities: what makes them sum to one is the same as for the classes.
    assert torch.allclose(summed.logsumexp(dim=1), logits.logsumexp(dim=1), rtol=1e-5, atol=1e-4)


def test_a_group_that_is_all_but_impossible_stays_finite() -> None:
    logits = torch.tensor([[500.0, -500.0, -501.0]], requires_grad=True)
    summed = SummedGroups()(logits, torch.tensor([0, 1, 1]), 2)
    assert summed[0, 1].item() == pytest.approx(-500 + 0.3132617, abs=1e-3)
    F.cross_entropy(summed, torch.tensor([1])).backward()
    assert logits.grad is not None and bool(logits.grad.isfinite().all()) and bool(logits.grad.any())


def test_gradients_of_sums_are_those_of_finite_differences() -> None:
    labels = torch.tensor([0, 1, 1, 2, 0])
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(1), requires_grad=True)
    target = torch.tensor([2, 0, 1])
    F.cross_entropy(SummedGroups()(logits, labels, 3), target).backward()
    assert logits.grad is not None
    for row, column in ((0, 3), (1, 1), (2, 4)):
        values: list[float] = []
        for step in (-1e-2, 1e-2):
            moved = logits.detach().clone()
            moved[row, column] += step
            values.append(F.cross_entropy(SummedGroups()(moved, labels, 3), target).item())
        assert logits.grad[row, column].item() == pytest.approx((values[1] - values[0]) / 2e-2, abs=1e-4)


def test_a_fused_head_reads_its_own_vector_and_then_those_of_the_others() -> None:
    net, images = model(), torch.randn(4, 3, 16, 16)
    features = {name: net.backbone[: int(name) + 1](images) for name in ("1", "3", "5")}
    first = net.branches[0].body(features["1"])
    last = net.branches[3].body(features["3"])
    own = features["5"].mean(dim=(2, 3))
    outputs = net(images)
    head = net.branches[2].head
    assert head.in_features == 16 + 8 + 10
    assert torch.allclose(outputs.groups[2], head(torch.cat([own, first, last], dim=1)), atol=1e-6)
    assert torch.allclose(outputs.groups[3], net.branches[3].head(last), atol=1e-6)
    pairs = outputs.groups[0].softmax(dim=1).view(4, 2, 3).sum(dim=1)
    assert torch.allclose(outputs.groups[1].softmax(dim=1), pairs, atol=1e-6)
    assert torch.equal(outputs.main, net.backbone(images))


def test_everything_that_a_fused_branch_reads_learns_from_it() -> None:
    net = model().train()
    F.cross_entropy(net(torch.randn(4, 3, 16, 16)).groups[2], torch.tensor([0, 1, 2, 3])).backward()
    for index in (0, 3):
        assert any(bool(weight.grad.any()) for weight in net.branches[index].body.parameters())
        assert net.branches[index].head.weight.grad is None


def test_new_groups_are_summed_at_once() -> None:
    net, images = model(), torch.randn(2, 3, 16, 16)
    other = Grouping.from_labels([0, 0, 1, 1, 2, 2])
    net.regroup([ALL, other, ALL, PAIRS])
    outputs = net(images)
    expected = outputs.groups[0].softmax(dim=1).view(2, 3, 2).sum(dim=2)
    assert torch.allclose(outputs.groups[1].softmax(dim=1), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("branches", "message"),
    [
        ([Branch("1", ALL, fused=True)], "needs other branches to read"),
        ([Branch("1", PAIRS, summed=True)], "must follow one there"),
        (
            [Branch("3", ALL), Branch("1", PAIRS, summed=True)],
            "must follow one there",
        ),
        (
            [Branch("1", PAIRS), Branch("1", PAIRS, summed=True)],
            "must follow one there",
        ),
    ],
)
def test_a_branch_with_nothing_to_read_is_refused(branches: list[Branch], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SSALModel(network(), branches, (3, 16, 16))


def test_evidence_adds_up_and_says_how_each_map_was_made() -> None:
    net, images = model(), torch.randn(1, 3, 16, 16)
    [evidence] = explain(net, images, Exponents(0.5, (0.2, 0.3, 0.4, 0.1)))
    total = [sum(part.terms[place] for part in evidence.parts) for place in range(len(evidence.candidates))]
    expected = [value + evidence.log_normaliser for value in evidence.log_probabilities]
    assert total == pytest.approx(expected, abs=1e-5)
    # The fused head reads more than the mean of its maps, and a sum is no linear function of it.
    methods = [source.method for source in pooled_sources(net) if source]
    assert methods == ["CAM", "CAM", "Grad-CAM", "Grad-CAM", "CAM"]
    # Main classifier and fused branch pool maps of 2×2 places.
    methods = [part.method for part in evidence.parts]
    assert methods == ["HiResCAM", "CAM", "Grad-CAM", "HiResCAM", "CAM"]


def test_the_teacher_is_the_geometric_mean_of_the_parts_that_take_part() -> None:
    generator = torch.Generator().manual_seed(2)
    main, first, second = (torch.randn(5, size, generator=generator) for size in (CLASSES, 3, CLASSES))
    outputs, groupings = Outputs(main.requires_grad_(), (first.requires_grad_(), second)), [PAIRS, ALL]
    temperature = 1.7
    for taught_by in ([True, True], [False, True]):
        parts = [main.log_softmax(dim=1)]
        parts += [first.log_softmax(dim=1)[:, PAIRS.labels.tolist()]] if taught_by[0] else []
        parts += [second.log_softmax(dim=1)]
        mean = torch.stack(parts).mean(dim=0).detach().double()
        teacher = (mean / temperature).softmax(dim=1)
        student = (main.detach().double() / temperature).softmax(dim=1)
        expected = temperature**2 * (teacher * (teacher / student).log()).sum(dim=1).mean()
        loss = distillation_loss(outputs, groupings, taught_by, temperature)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    loss.backward()
    assert main.grad is not None and bool(main.grad.any()) and first.grad is None


def test_a_main_classifier_that_agrees_learns_nothing() -> None:
    main = torch.randn(4, CLASSES)
    outputs = Outputs(main, (main.clone(), SummedGroups()(main, torch.tensor(PAIRS.labels), 3)))
    assert distillation_loss(outputs, [ALL, PAIRS], [True, False], 2.0).item() == pytest.approx(0, abs=1e-6)


def test_branches_that_wait_do_not_teach() -> None:
    net, targets = model(), torch.tensor([0, 1, 2, 3])
    images = torch.randn(4, 3, 16, 16)
    loss = JointLoss(distillation=0.7, temperature=3.0)
    same = tuple(spec.grouping for spec in net.specs)
    waiting = [False, True, False, True]
    objective = GatheredGroups(lambda _: same, CLASSES, 2, 9.0, waiting=waiting, loss=loss)
    step = objective(net, images, targets)
    weights = [0.5, 0.0, 0.5, 0.0]
    plain = JointLoss().of(step.outputs, targets, net.labels, weights)
    taught = distillation_loss(step.outputs, net.labels, [True, False, True, False], 3.0)
    assert step.loss.item() == pytest.approx((plain + 0.7 * taught).item(), rel=1e-6)
    for _ in range(2):
        step = objective(net, images, targets)
    taught = distillation_loss(step.outputs, net.labels, [True] * 4, 3.0)
    whole = JointLoss().of(step.outputs, targets, net.labels, [0.5] * 4)
    assert step.loss.item() == pytest.approx((whole + 0.7 * taught).item(), rel=1e-6)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("fused", "name at least one more"),
        ("20+fused", "name at least one more"),
        ("2+3,all", "exactly one part must be 'all' or 'fused'"),
        ("2+all+fused,all", "exactly one part must be 'all' or 'fused'"),
        ("2+al", "'2\\+al' is no number"),
        ("2,fusd", "did you mean 'fused'"),
    ],
)
def test_groups_that_cannot_be_read_are_refused(groups: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_settings({"data": "digits", "groups": groups})


def test_a_file_may_have_a_plus_in_its_name() -> None:
    assert group_parts("cats+dogs.json") == ("cats+dogs.json",)
    assert group_parts("pets.json+all") == ("all", "pets.json")


SETTINGS: dict[str, Any] = {
    "data": "digits", "model": "resnet18_cifar", "width": 4, "epochs": 2, "groups": "2+all,5,2+fused",
    "groups_from": "training", "baseline": False, "precision": "32", "explanation_images": 0, "workers": 0,
}  # fmt: skip


def test_taps_layouts_and_weights_are_given_for_branches_or_for_all_they_tell_apart() -> None:
    job = prepare(make_settings(SETTINGS))
    assert [head.item for head in job.heads] == ["all", 2, 5, "fused", 2]
    assert [head.summed for head in job.heads] == [False, True, False, False, True]
    assert job.taps[0] == job.taps[1] and job.taps[3] == job.taps[4] == "layer4"
    assert job.weights == (0.5, 0.5, 0.5, 1.0, 0.5), "what reads all branches counts as the main classifier"
    each = {"branch": {"weights": [0.1, 0.2, 0.3]}, "taps": ["layer1", "layer2", "layer3"]}
    job = prepare(make_settings(SETTINGS, each))
    assert job.weights == (0.1, 0.1, 0.2, 0.3, 0.3)
    assert job.taps == ("layer1", "layer1", "layer2", "layer3", "layer3")
    named = {"taps": ["layer1", "layer2"]}
    assert prepare(make_settings(SETTINGS, named)).taps == ("layer1", "layer1", "layer2", "layer4", "layer4")
    heads = {"branch": {"weights": [0.1, 0.2, 0.3, 0.4, 0.5]}, "layout": ["cbr 8 | gap"]}
    job = prepare(make_settings(SETTINGS, heads))
    assert job.weights == (0.1, 0.2, 0.3, 0.4, 0.5)
    # One layout for all is not meant for a branch that reads what the others made of theirs.
    assert job.layouts == ("cbr 8 | gap",) * 3 + ("light",) * 2
    objective = job.objective()
    assert isinstance(objective, GatheredGroups)
    assert objective.waiting == (False, True, True, False, True)
    with pytest.raises(InputError, match="4 values for branch.weights, but 3 branches, which tell 5"):
        prepare(make_settings(SETTINGS | {"branch": {"weights": [1, 1, 1, 1]}}))


def test_a_run_keeps_what_its_branches_read(tmp_path: Path) -> None:
    settings = SETTINGS | {"distillation": {"weight": 1.0}}
    run = train(**settings, out=tmp_path / "run", echo=lambda line: None).path
    saved = load_model(run / "model")
    assert [(spec.fused, spec.summed) for spec in saved.model.specs] == [
        (False, False), (False, True), (False, False), (True, False), (True, True)
    ]  # fmt: skip
    groupings = [spec.grouping for spec in saved.model.specs]
    assert groupings[1].labels.tolist() == groupings[4].labels.tolist()
    one, two, deepest = (saved.model.specs[number].tap for number in (0, 2, 3))
    names = [f"{one}.json", f"{one}-2.json", f"{two}.json", f"{deepest}.json", f"{deepest}-2.json"]
    assert {path.name for path in (run / "groups").iterdir()} == set(names)
    assert [Grouping.load(run / "groups" / name).num_groups for name in names] == [10, 2, 5, 10, 2]
    branches = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["branches"]
    assert [branch["num_groups"] for branch in branches] == [10, 2, 5, 10, 2]

    images = torch.rand(3, *saved.model.input_shape)
    outputs = saved.model(images)
    joint = joint_log_prob(outputs, saved.model.labels, saved.exponents.branches, saved.exponents.main)
    assert torch.allclose(joint.exp().sum(dim=1), torch.ones(3), atol=1e-5)
    assert not load_model(run / "model", branches=False).model.specs
    for kind in ("joint", "explain"):
        export(load_model(run / "model"), tmp_path / f"{kind}.onnx", mode=kind)


def test_the_deepest_layer_is_what_the_classifier_reads() -> None:
    assert deepest_tap(network(), (3, 16, 16)) == "4"
    flat = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 3))
    assert deepest_tap(flat, (5,)) == "2"


def test_rivals_refuse_branches_that_they_do_not_know() -> None:
    job = prepare(make_settings(SETTINGS))
    for method in ("gapcat", "catfc", "dsl", "dhm", "hdcnn", "hydranet"):
        with pytest.raises(InputError, match="no groups that are read off classes"):
            find_method(method).build(job, job.blank_groupings())


def test_a_run_of_an_earlier_version_is_left_as_it_is(tmp_path: Path) -> None:
    run = train(**SETTINGS, out=tmp_path / "run", echo=lambda line: None).path
    directory = RunDirectory(run)
    beginnings = load_beginnings(directory.beginnings)
    old = {key: value for key, value in beginnings.settings.items() if key != "distillation.weight"}
    save_beginnings(directory.beginnings, replace(beginnings, settings=old))
    before = directory.config.read_bytes()
    with pytest.raises(RunError, match="earlier version of ssal, which had no setting 'distillation.weight'"):
        resume_training(run, changes=[{"epochs": 3}])
    assert directory.config.read_bytes() == before


def test_groups_behind_a_fused_branch_lose_their_maps_with_what_it_reads() -> None:
    branches = [
        Branch("1", ALL, "cbr 8 | gap"),
        Branch("5", ALL, "gap", fused=True),
        Branch("5", PAIRS, fused=True, summed=True),
    ]
    heads, blocks, *_ = cascade_layers(SSALModel(network(), branches, (3, 16, 16)), torch.zeros(1, 3, 16, 16))
    assert [(layer.path, layer.parts) for layer in heads] == [
        ("branches.0.head", {1}), ("branches.1.head", {2, 3})
    ]  # fmt: skip
    assert [(layer.path, layer.parts) for layer in blocks] == [("branches.0.body.0", {1, 3})]
