import copy
import io

import pytest
import timm
import torch
import torchvision
from torch import nn

import ssal.backbones  # noqa: F401  (registers the names)
from ssal.errors import InputError
from ssal.grouping import Grouping
from ssal.joint import Outputs
from ssal.model import Branch, SSALModel

GROUPS = Grouping.random(10, 3, seed=0)
OTHER = Grouping.random(10, 5, seed=1)


def small_model(**changes: object) -> SSALModel:
    torch.manual_seed(0)
    net = timm.create_model("resnet18_cifar", num_classes=10, width=8)
    return SSALModel(net, [Branch("layer1", GROUPS), Branch("layer3", OTHER, layout="cbr 16,3,2 | gap")])


def test_outputs_have_one_type_in_training_and_evaluation() -> None:
    model, images = small_model(), torch.randn(4, 3, 32, 32)
    for mode in (True, False):
        outputs = model.train(mode)(images)
        assert isinstance(outputs, Outputs)
        assert outputs.main.shape == (4, 10)
        assert [group.shape[1] for group in outputs.groups] == [3, 5]


def test_main_logits_are_those_of_the_bare_backbone() -> None:
    model, images = small_model().eval(), torch.randn(4, 3, 32, 32)
    assert torch.equal(model(images).main, model.backbone(images))


def test_branch_logits_are_those_of_the_branch_on_the_tapped_feature() -> None:
    model, images = small_model().eval(), torch.randn(2, 3, 32, 32)
    net = model.backbone
    feature = net.layer1(net.maxpool(net.act1(net.bn1(net.conv1(images)))))
    assert torch.allclose(model(images).groups[0], model.branches[0](feature), atol=1e-6)


def test_a_batch_equals_its_samples() -> None:
    model, images = small_model().eval(), torch.randn(4, 3, 32, 32)
    whole = model.log_prob(images)
    single = torch.cat([model.log_prob(image[None]) for image in images])
    assert torch.allclose(whole, single, atol=1e-5)


def test_weights_load_strictly_into_the_stock_models() -> None:
    timm.create_model("resnet18_cifar", num_classes=10, width=8).load_state_dict(
        small_model().backbone.state_dict(), strict=True
    )
    net = torchvision.models.resnet18(num_classes=10)
    model = SSALModel(net, [Branch("layer2", GROUPS)], (3, 64, 64))
    torchvision.models.resnet18(num_classes=10).load_state_dict(model.backbone.state_dict(), strict=True)


def test_no_state_is_kept_between_passes() -> None:
    model = small_model()
    model(torch.randn(2, 3, 32, 32))
    assert not model._store.outputs


def test_copies_are_independent() -> None:
    model, images = small_model().eval(), torch.randn(2, 3, 32, 32)
    before = model(images)
    twin = copy.deepcopy(model)
    after = twin(images)
    assert torch.equal(after.main, before.main)
    assert all(map(torch.equal, after.groups, before.groups))
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert torch.equal(model(images).groups[1], before.groups[1])
    assert not torch.equal(twin(images).groups[1], before.groups[1])


def test_state_and_model_survive_a_file() -> None:
    model, images = small_model().eval(), torch.randn(2, 3, 32, 32)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = small_model().eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(images).groups[0], model(images).groups[0])

    whole = io.BytesIO()
    torch.save(model, whole)
    whole.seek(0)
    again = torch.load(whole, weights_only=False)
    assert torch.equal(again(images).groups[1], model(images).groups[1])


@pytest.mark.filterwarnings("ignore")
def test_compiles_in_one_graph() -> None:
    model, images = small_model().eval(), torch.randn(2, 3, 32, 32)
    expected = model(images)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    for _ in range(2):
        outputs = compiled(images)
        assert isinstance(outputs, Outputs)
        assert torch.allclose(outputs.main, expected.main, atol=1e-4)
        assert torch.allclose(outputs.groups[1], expected.groups[1], atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_exports_with_a_dynamic_batch() -> None:
    model = small_model().eval()
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(model, (torch.randn(4, 3, 32, 32),), dynamic_shapes=({0: batch},))
    images = torch.randn(7, 3, 32, 32)
    expected, outputs = model(images), program.module()(images)
    assert torch.allclose(outputs.main, expected.main, atol=1e-4)
    assert torch.allclose(outputs.groups[0], expected.groups[0], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "size", "taps"),
    [
        ("vit_tiny_patch16_224", 64, ("blocks.3", "blocks.7")),
        ("swin_tiny_patch4_window7_224", 64, ("layers.0", "layers.1")),
        ("mobilenetv3_small_100", 64, ("blocks.1", "blocks.3")),
        ("convnext_atto", 64, ("stages.0", "stages.2")),
    ],
)
def test_other_architectures_learn_through_their_branches(
    name: str, size: int, taps: tuple[str, str]
) -> None:
    extra = {"img_size": size} if name.startswith(("vit", "swin")) else {}
    if name.startswith("swin"):
        extra["window_size"] = 4
    net = timm.create_model(name, num_classes=10, **extra)
    model = SSALModel(net, [Branch(taps[0], GROUPS), Branch(taps[1], OTHER)], (3, size, size))
    outputs = model(torch.randn(2, 3, size, size))
    sum(group.sum() for group in outputs.groups).backward()
    for branch in model.branches:
        assert all(parameter.grad is not None for parameter in branch.parameters())


def test_models_without_images_work_too() -> None:
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 10))
    branches = [Branch("1", GROUPS), Branch("3", OTHER, layout="dense 8 | dense 4")]
    outputs = SSALModel(net, branches, input_shape=(6,))(torch.randn(3, 6))
    assert [group.shape for group in outputs.groups] == [(3, 3), (3, 5)]


def test_two_branches_may_read_one_layer() -> None:
    net = timm.create_model("resnet18_cifar", num_classes=10, width=8)
    model = SSALModel(net, [Branch("layer2", GROUPS), Branch("layer2", OTHER)])
    outputs = model(torch.randn(2, 3, 32, 32))
    assert [group.shape[1] for group in outputs.groups] == [3, 5]


def test_release_hands_back_a_clean_backbone() -> None:
    net = small_model().release()
    assert not any(module._forward_hooks for module in net.modules())


def test_a_grouping_for_other_classes_is_refused() -> None:
    net = timm.create_model("resnet18_cifar", num_classes=12, width=8)
    with pytest.raises(InputError, match="grouping 1 is for 10 classes, not 12"):
        SSALModel(net, [Branch("layer1", GROUPS)])


def test_a_tap_that_does_not_exist_names_the_nearest() -> None:
    net = timm.create_model("resnet18_cifar", num_classes=10, width=8)
    with pytest.raises(InputError, match="did you mean .*'layer4'"):
        SSALModel(net, [Branch("layer44", GROUPS)])
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["weight", "exponent"])
def test_weights_and_exponents_are_from_zero_on(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"the {name} of a branch must be a number from 0 on, not"):
        Branch("1", Grouping.from_labels([0, 0, 1, 1]), **{name: value})
    assert getattr(Branch("1", Grouping.from_labels([0, 0, 1, 1]), **{name: 0.0}), name) == 0
