import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st

from ssal.backbones import create_backbone
from ssal.branches import GlobalAveragePool, build_branch, light_layout, parse_layout, scale_layout
from ssal.cost import count_flops, count_parameters
from ssal.errors import InputError, SsalError
from ssal.taps import choose_taps, probe_taps

PUBLISHED = [
    "cbr 128,5,2 | cbr 128 | inception | gap",
    "cbr 128,5 | cbr 128 | cbr | cbr | gap | dense",
    "cbr 128 | cbr 128 | inception | inception | gap",
    "cbr | cbr | cbr | cbr | gap | dense | dense",
]


def test_defaults_are_filled_in() -> None:
    blocks = [str(block) for block in parse_layout("cbr | cbr 64 | cbr 64,5 |inception| gap |dense")]
    assert blocks == ["cbr 256,3,1", "cbr 64,3,1", "cbr 64,5,1", "inception 100", "gap", "dense 768"]


@pytest.mark.parametrize("layout", PUBLISHED)
def test_published_layouts_give_group_logits(layout: str) -> None:
    branch = build_branch(layout, (64, 16, 16), 20)
    assert branch(torch.randn(2, 64, 16, 16)).shape == (2, 20)


def test_a_separable_convolution_costs_one_of_each_kind() -> None:
    branch = build_branch("sep 24,5,2 | gap", (16, 9, 9), 3)
    maps = branch.body[0](torch.randn(2, 16, 9, 9))
    assert maps.shape == (2, 24, 5, 5) and bool((maps >= 0).all())
    each, over_all, norm, head = 16 * 5 * 5, 16 * 24, 2 * 24, 24 * 3 + 3
    assert count_parameters(branch) == each + over_all + norm + head


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_pooling_keeps_gradients_in_channels_last_memory(
    memory_format: torch.memory_format, dtype: torch.dtype
) -> None:
    maps = torch.randn(3, 5, 4, 6, dtype=dtype).to(memory_format=memory_format).requires_grad_()
    weights = torch.randn(3, 5, dtype=dtype)
    pooled = GlobalAveragePool()(maps)
    torch.testing.assert_close(pooled, torch.nn.functional.adaptive_avg_pool2d(maps, 1).flatten(1))
    (gradient,) = torch.autograd.grad((pooled * weights).sum(), maps)
    torch.testing.assert_close(gradient, (weights / 24)[..., None, None].expand_as(maps))
    assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_strides_round_up() -> None:
    branch = build_branch("cbr 8,5,2 | cbr 4,3,2 | gap", (3, 9, 9), 2)
    maps = branch.body[1](branch.body[0](torch.randn(1, 3, 9, 9)))
    assert maps.shape == (1, 4, 3, 3)


@pytest.mark.parametrize(
    ("layout", "shape", "message"),
    [
        ("cbr 12 | conv 3 | gap", (3, 8, 8), "unknown block 'conv'"),
        ("cbt 12 | gap", (3, 8, 8), "did you mean 'cbr'"),
        ("cbr a | gap", (3, 8, 8), "expected 'cbr filters,kernel,stride', whole numbers"),
        ("cbr 12,3,1,9 | gap", (3, 8, 8), "expected 'cbr filters,kernel,stride'"),
        ("cbr 12,-3 | gap", (3, 8, 8), "expected 'cbr"),
        ("cbr 0 | gap", (3, 8, 8), "must lie in 1…65536"),
        ("cbr 8,4 | gap", (3, 8, 8), "kernel size must be odd"),
        ("sep 8,2 | gap", (3, 8, 8), "kernel size must be odd"),
        ("gap 3", (3, 8, 8), "expected 'gap'"),
        ("inception 0 | gap", (3, 8, 8), "must lie in 1…65536"),
        ("inception_f | gap", (3, 8, 8), "did you mean 'inception_"),
        ("res 8,1,2,3 | gap", (3, 8, 8), "expected 'res filters,stride,blocks'"),
        ("gap | inception_e", (3, 8, 8), "'inception_e' needs maps"),
        ("", (3, 8, 8), "unknown block ''"),
        ("gap | cbr", (3, 8, 8), "'cbr' needs maps"),
        ("gap | gap", (3, 8, 8), "'gap' needs maps"),
        ("cbr 8", (3, 8, 8), r"ends in maps; add '\| gap'"),
        ("dense 8", (3, 8, 8), "'dense' cannot read maps"),
        ("cbr 8 | gap", (5,), "'cbr' cannot read flat vectors"),
    ],
)
def test_wrong_layouts_say_what_is_allowed(layout: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_branch(layout, shape, 4)


_WIDTHS = {
    "cbr": 3,
    "sep": 3,
    "res": 3,
    "dense": 1,
    "inception": 1,
    "inception_c": 1,
    "inception_d": 1,
    "inception_e": 1,
}


@st.composite
def _layouts(draw: st.DrawFn) -> str:
    """Valid layouts of any blocks, with some of their numbers."""
    blocks = []
    for name in draw(st.lists(st.sampled_from([name for name in _WIDTHS if name != "dense"]), max_size=4)):
        numbers = draw(st.lists(st.sampled_from([1, 3, 9, 127, 641]), max_size=_WIDTHS[name]))
        blocks.append(f"{name} {','.join(map(str, numbers))}")
    blocks.append("gap")
    blocks += [f"dense {units}" for units in draw(st.lists(st.integers(1, 2000), max_size=2))]
    return " | ".join(blocks)


@given(_layouts())
def test_a_parsed_layout_is_written_as_the_same_layout(layout: str) -> None:
    blocks = parse_layout(layout)
    assert parse_layout(" | ".join(str(block) for block in blocks)) == blocks


@given(_layouts(), st.floats(0.01, 4.0))
def test_scaling_changes_widths_only(layout: str, factor: float) -> None:
    before, after = parse_layout(layout), parse_layout(scale_layout(layout, factor))
    assert [block.name for block in after] == [block.name for block in before]
    for old, new in zip(before, after, strict=True):
        assert new.numbers[1:] == old.numbers[1:]
        for wide, narrow in zip(old.numbers[:1], new.numbers[:1], strict=True):
            assert narrow == max(min(8, wide), round(factor * wide))


def test_a_layout_scaled_by_one_is_itself() -> None:
    for layout in PUBLISHED:
        assert parse_layout(scale_layout(layout, 1.0)) == parse_layout(layout)
    assert scale_layout("light", 0.25) == "light"


def test_a_scaled_branch_is_as_narrow_as_its_network() -> None:
    """All but the first layer, whose input is scaled by the network, shrink with the square of the factor."""
    for layout in PUBLISHED:
        wide, narrow = (build_branch(scale_layout(layout, f), (64, 8, 8), 20) for f in (1.0, 0.25))
        convolutions = [
            [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)] for net in (wide, narrow)
        ]
        for large, small in zip(*convolutions, strict=True):
            assert small.out_channels * 4 == large.out_channels
            assert small.in_channels * 4 == large.in_channels or large.in_channels == 64


@pytest.mark.parametrize("factor", [0.0, -1.0, float("inf"), float("nan")])
def test_a_factor_must_be_positive(factor: float) -> None:
    with pytest.raises(InputError, match="positive factor"):
        scale_layout("cbr | gap", factor)


def test_a_residual_stage_is_that_of_resnet18() -> None:
    """Stage 3 of torchvision's ResNet-18: the same numbers, layer by layer, and the same output."""
    torch.manual_seed(0)
    stage = torchvision.models.resnet18().layer3.eval()
    branch = build_branch("res 256,2,2 | gap", (128, 6, 6), 5).eval()
    ours = branch.body[0]
    assert count_parameters(ours) == count_parameters(stage)
    values = stage.state_dict().values()
    ours.load_state_dict(dict(zip(ours.state_dict(), values, strict=True)))
    maps = torch.randn(2, 128, 6, 6)
    torch.testing.assert_close(ours(maps), stage(maps))


def test_a_residual_block_of_the_same_shape_has_no_shortcut_convolution() -> None:
    branch = build_branch("res 16,1,1 | gap", (16, 4, 4), 2)
    assert count_parameters(branch.body[0]) == 2 * (16 * 16 * 9 + 2 * 16)


@given(st.text(alphabet="cbrgapdense inception,|0123456789 -x", max_size=40))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        blocks = parse_layout(text)
    except SsalError as error:
        assert "\n" not in str(error)
    else:
        assert parse_layout(" | ".join(str(block) for block in blocks)) == blocks


def test_a_branch_needs_two_groups() -> None:
    with pytest.raises(InputError, match="at least 2 groups"):
        build_branch("gap", (3, 8, 8), 1)


@pytest.mark.parametrize(
    ("name", "width", "shape"),
    [
        ("resnet18_cifar", 16, (3, 32, 32)),
        ("resnet18_cifar", 16, (1, 28, 28)),
        ("resnet18_cifar", 64, (3, 32, 32)),
        ("resnet50_cifar", 64, (3, 32, 32)),
        ("resnet50", None, (3, 224, 224)),
        ("convnext_tiny", None, (3, 224, 224)),
    ],
)
def test_three_light_branches_add_at_most_a_tenth(
    name: str, width: int | None, shape: tuple[int, int, int]
) -> None:
    net = create_backbone(name, 100, in_chans=shape[0], input_size=shape[1:], width=width)
    taps = probe_taps(net, choose_taps(net, 3, shape), shape)
    extra = sum(
        count_flops(build_branch("light", tap.feature, groups), tap.feature)
        for tap, groups in zip(taps, (20, 33, 50), strict=True)
    )
    assert extra <= 0.10 * count_flops(net, shape)


@pytest.mark.parametrize(
    "shape", [(4,), (2000,), (8, 1, 1), (512, 4, 4), (64, 7, 7), (96, 56, 56), (3, 5, 40)]
)
def test_light_fits_every_shape(shape: tuple[int, ...]) -> None:
    branch = build_branch(light_layout(shape), shape, 5)
    assert branch(torch.randn(2, *shape)).shape == (2, 5)
