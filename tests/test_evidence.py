import copy
import math

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
from ssal.evidence.table import format_evidence, verdict
from ssal.grouping import Grouping
from ssal.joint import Exponents, Outputs, joint_log_prob
from ssal.model import Branch, SSALModel

from .lively import CLASSES, fused_model, images, lively, small_model

NAMES = ("zero", "one", "two", "three", "four", "five", "six")


def equal_maps(first: Evidence, second: Evidence) -> bool:
    pairs = zip(first.parts, second.parts, strict=True)
    return all(
        (a.map is None and b.map is None)
        or (a.map is not None and b.map is not None and np.array_equal(a.map, b.map))
        for a, b in pairs
    )


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
            main_logits, groups = model(image[None])
        outputs = Outputs(main_logits.double(), tuple(logits.double() for logits in groups))
        for number, part in enumerate(evidence.parts):
            etas = [0.0 if number == index + 1 else eta for index, eta in enumerate(branches)]
            rest = joint_log_prob(outputs, model.labels, etas, 0.0 if number == 0 else main)
            expected = [c for c in range(CLASSES) if rest[0, c] > rest.max() - 1e-5]
            assert list(part.without) == expected
            assert (part in evidence.decisive) == (evidence.winner not in expected)
        changed += len(evidence.decisive)
    assert changed > 0


def test_without_the_main_classifier_the_classes_of_a_group_tie() -> None:
    flat = nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 4))
    model = SSALModel(flat, [Branch("0", Grouping.from_labels([0, 1, 1, 0]), layout="dense 4")], (3,))
    with torch.no_grad():
        model.branches[0].head.bias[1] = 50
        flat[1].bias[2] = 20
    [evidence] = explain(model, torch.zeros(1, 3), class_names="abcd")
    assert evidence.class_name == "c"
    main, branch = evidence.parts
    assert main.without == (1, 2) and branch.without == (2,)
    assert evidence.decisive == ()
    assert "tie of 2" in format_evidence(evidence)
    with torch.no_grad():
        flat[1].bias[0] = 200
    [evidence] = explain(model, torch.zeros(1, 3), class_names="abcd")
    assert [part.without for part in evidence.parts] == [(1, 2), (0,)]
    assert verdict(evidence)[1:] == ["without the main classifier the answer would be b or c"]


def test_nothing_wins_without_the_only_part_that_counts() -> None:
    [evidence] = explain(small_model(), images(1), Exponents(1.0, (0.0, 0.0, 0.0)))
    assert [part.without for part in evidence.parts] == [(), *[(evidence.winner,)] * 3]
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
        assert [part.name for part in branches] == list(model.branch_names)
        for part, logits, spec in zip(branches, outputs.groups, model.specs, strict=True):
            assert part.tap == spec.tap
            assert part.predicted == int(logits.argmax())
            assert part.probability == pytest.approx(float(logits.softmax(1).max()), abs=1e-6)
            inside = [c for c in range(CLASSES) if spec.grouping.labels[c] == part.predicted]
            assert list(part.members) == inside
            assert part.agrees == (evidence.winner in inside)
        assert evidence.agreement == sum(part.agrees for part in branches)
        agreeing += evidence.agreement
    assert 0 < agreeing < 60


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


@pytest.mark.parametrize("groups", [None, Grouping.random(CLASSES, 4)], ids=["classes", "groups"])
def test_a_fused_branch_is_the_sum_of_what_it_has_read(groups: Grouping | None) -> None:
    """What a vector adds is what the lead loses when the last layer is given zeros in its place."""
    model = fused_model(groups).eval()
    head, labels = model.branches[2].head, model.labels[2]
    sizes = {model.branch_names[0]: (6, 10), model.branch_names[3]: (10, 16), "its own features": (0, 6)}
    for evidence in explain(model, images(6), candidates=CLASSES):
        main, first, summed, fused, last = evidence.parts
        assert not (main.shares or first.shares or summed.shares or last.shares)
        assert [share.name for share in fused.shares] == [*sizes, "bias"]
        assert [share.part for share in fused.shares] == [1, 4, 3, None]
        total = np.sum([share.leads for share in fused.shares], axis=0)
        assert total == pytest.approx(fused.leads, abs=1e-5) and fused.leads[0] == 0
        assert np.abs(total).max() > 0.1
    rows = labels[list(evidence.candidates)]
    for share in fused.shares[:3]:
        start, end = sizes[share.name]

        def without(_: nn.Module, args: tuple[torch.Tensor], span: slice = slice(start, end)) -> torch.Tensor:
            given = args[0].clone()
            given[:, span] = 0
            return given

        with torch.no_grad():
            whole = model(images(6)[-1:]).groups[2][0, rows].double()
            handle = head.register_forward_pre_hook(without)
            rest = model(images(6)[-1:]).groups[2][0, rows].double()
            handle.remove()
        lost = 0.9 * ((whole[0] - whole) - (rest[0] - rest))
        assert list(share.leads) == pytest.approx(lost.tolist(), abs=1e-5)


def test_a_fused_branch_of_no_weight_adds_nothing() -> None:
    model = fused_model()
    with torch.no_grad():
        model.branches[2].head.weight[0, 0] = math.inf
    [evidence] = explain(model, images(1), Exponents(1.0, (0.5, 0.5, 0.0, 0.5)))
    assert evidence.parts[3].shares == ()
    assert "  from" not in format_evidence(evidence)


def test_a_fused_branch_without_bias_has_no_share_of_it() -> None:
    model = fused_model()
    model.branches[2].head.bias = None
    for evidence in explain(model, images(3)):
        fused = evidence.parts[3]
        assert [share.part for share in fused.shares] == [1, 4, 3]
        assert sum(share.leads[1] for share in fused.shares) == pytest.approx(fused.margin, abs=1e-5)


def test_each_fused_branch_is_taken_apart_but_not_groups_read_off_one() -> None:
    torch.manual_seed(0)
    classes, few = Grouping.identity(CLASSES), Grouping.random(CLASSES, 3)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(CLASSES))
    net(images(1))
    branches = [
        Branch("0", classes, layout="gap"),
        Branch("0", classes, layout="gap | dense 3"),
        Branch("1", classes, layout="gap", fused=True),
        Branch("1", few, fused=True, summed=True),
        Branch("1", few, layout="gap", fused=True),
    ]
    model = lively(SSALModel(net, branches, (1, 9, 6)))
    for evidence in explain(model, images(3)):
        assert [len(part.shares) for part in evidence.parts] == [0, 0, 0, 4, 0, 4]
        for part in (evidence.parts[3], evidence.parts[5]):
            names = [share.name for share in part.shares]
            assert names == [evidence.parts[1].name, evidence.parts[2].name, "its own features", "bias"]
            assert sum(share.leads[1] for share in part.shares) == pytest.approx(part.margin, abs=1e-5)


def test_a_model_with_a_fused_branch_comes_back_untouched() -> None:
    model = fused_model()
    before = snapshot(model)
    explain(model, images(2))
    assert snapshot(model) == before
    model.branches[2].head.register_forward_hook(Failing(1))
    before = snapshot(model)
    with pytest.raises(ArithmeticError):
        explain(model, images(2))
    assert snapshot(model) == before


def test_the_text_says_what_a_fused_branch_has_read() -> None:
    decided = 0
    for evidence in explain(fused_model(), images(30), Exponents(0.2, (0.1, 0.1, 1.5, 0.1))):
        fused, lines = evidence.parts[3], format_evidence(evidence).splitlines()
        place = next(number for number, line in enumerate(lines) if line.startswith("fused (late)"))
        for share, line in zip(fused.shares, lines[place + 1 :], strict=False):
            assert line.split("  ")[1] == f"from {share.name}"
            assert float(line.split()[-1]) == pytest.approx(share.leads[1], abs=0.006)
        assert lines[place + 1 + len(fused.shares)].startswith("late ")
        if evidence.decided_by is fused:
            decided += 1
            said = verdict(evidence)[1].removeprefix(f"{fused.margin:+.2f} adds up from ").split(", ")
            assert {text.rsplit(" ", 1)[0] for text in said} == {share.name for share in fused.shares}
            sizes = [abs(float(text.rsplit(" ", 1)[1])) for text in said]
            assert sizes == sorted(sizes, reverse=True)
        assert [part.tells_classes for part in evidence.parts] == [True, True, False, True, False]
        assert any(line.startswith("early (classes)") and "group" not in line for line in lines[place:])
    assert decided > 5
