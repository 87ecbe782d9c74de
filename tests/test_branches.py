import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssal.branches import Inception, build_branch, light_layout, parse_layout
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
    assert blocks == ["cbr 256,3,1", "cbr 64,3,1", "cbr 64,5,1", "inception", "gap", "dense 768"]


@pytest.mark.parametrize("layout", PUBLISHED)
def test_published_layouts_give_group_logits(layout: str) -> None:
    branch = build_branch(layout, (64, 16, 16), 20)
    assert branch(torch.randn(2, 64, 16, 16)).shape == (2, 20)


def test_inception_has_the_published_channels_and_weights() -> None:
    block = Inception(64)
    assert block(torch.randn(2, 64, 7, 7)).shape == (2, 748, 7, 7)
    convolutions = (
        64 * 128 + 64 * 128 + 2 * 3 * 128 * 128 + 64 * 160 + 160 * 128 + 2 * 3 * 128 * 128 + 3 * 64 * 108
    )
    norms = 2 * (128 * 6 + 160 + 128 + 108)
    assert count_parameters(block) == convolutions + norms


def test_strides_round_up() -> None:
    branch = build_branch("cbr 8,5,2 | cbr 4,3,2 | gap", (3, 9, 9), 2)
    maps = branch.body[1](branch.body[0](torch.randn(1, 3, 9, 9)))
    assert maps.shape == (1, 4, 3, 3)


@pytest.mark.parametrize(
    ("layout", "shape", "message"),
    [
        ("cbr 12 | conv 3 | gap", (3, 8, 8), "unknown block 'conv'"),
        ("cbt 12 | gap", (3, 8, 8), "did you mean 'cbr'"),
        ("cbr 12,3,1,9 | gap", (3, 8, 8), "expected 'cbr filters,kernel,stride'"),
        ("cbr 12,-3 | gap", (3, 8, 8), "expected 'cbr"),
        ("cbr 0 | gap", (3, 8, 8), "must lie in 1…65536"),
        ("cbr 8,4 | gap", (3, 8, 8), "kernel size must be odd"),
        ("gap 3", (3, 8, 8), "expected 'gap'"),
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


@pytest.mark.parametrize("width", [16, 64])
def test_three_light_branches_add_at_most_a_tenth(width: int) -> None:
    import ssal.backbones  # noqa: F401  (registers the names)

    net = timm.create_model("resnet18_cifar", num_classes=100, width=width)
    taps = probe_taps(net, choose_taps(net, 3, (3, 32, 32)), (3, 32, 32))
    extra = sum(
        count_flops(build_branch("light", tap.feature, groups), tap.feature)
        for tap, groups in zip(taps, (20, 33, 50), strict=True)
    )
    assert extra <= 0.10 * count_flops(net, (3, 32, 32))


@pytest.mark.parametrize(
    "shape", [(4,), (2000,), (8, 1, 1), (512, 4, 4), (64, 7, 7), (96, 56, 56), (3, 5, 40)]
)
def test_light_fits_every_shape(shape: tuple[int, ...]) -> None:
    branch = build_branch(light_layout(shape), shape, 5)
    assert branch(torch.randn(2, *shape)).shape == (2, 5)
