from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from ssal.data import Augmentation, FileSet, Preprocess
from ssal.data.augment import RandomCrop, ShiftFlip, gather_shifted
from ssal.data.items import FileItems
from ssal.data.randomness import random_bits, uniform
from ssal.errors import InputError

PIXELS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, 9, 12, 3), dtype=np.uint8))


def reference(image: np.ndarray, down: int, across: int, flip: bool, border: int = 8) -> np.ndarray:
    """Pad by reflection, cut out, mirror: the usual way, one image at a time."""
    padded = np.pad(image, ((border, border), (border, border), (0, 0)), mode="reflect")
    height, width = image.shape[:2]
    cut = padded[border + down : border + down + height, border + across : border + across + width]
    return cut[:, ::-1] if flip else cut


def test_the_gather_is_padding_cutting_and_mirroring() -> None:
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 20, 64)
    shifts = rng.integers(-8, 9, (64, 2))
    flips = rng.integers(0, 2, 64).astype(bool)
    ours = gather_shifted(PIXELS, rows, shifts, flips).numpy()
    for number in range(64):
        expected = reference(PIXELS[rows[number]].numpy(), *shifts[number], bool(flips[number]))
        assert np.array_equal(ours[number], expected)


def test_a_shift_as_large_as_the_image_is_refused() -> None:
    with pytest.raises(InputError, match="smaller than the images; got 9 for 9×12"):
        gather_shifted(PIXELS, np.array([0]), np.array([[9, 0]]), np.array([False]))


def views(indices: list[int], epoch: int, seed: int = 0, shift: int = 3, flip: bool = True) -> torch.Tensor:
    chosen = np.array(indices)
    return ShiftFlip(Augmentation(shift, flip), seed)(PIXELS, chosen, chosen, epoch)


def test_a_sample_looks_the_same_in_any_batch() -> None:
    whole = views(list(range(20)), epoch=4)
    assert torch.equal(views([7], epoch=4)[0], whole[7])
    assert torch.equal(views([19, 3, 7, 3], epoch=4), whole[[19, 3, 7, 3]])


def test_epochs_and_seeds_differ() -> None:
    first = views(list(range(20)), epoch=0)
    assert not torch.equal(first, views(list(range(20)), epoch=1))
    assert not torch.equal(first, views(list(range(20)), epoch=0, seed=1))


def test_nothing_to_change_changes_nothing() -> None:
    assert torch.equal(views(list(range(20)), epoch=0, shift=0, flip=False), PIXELS)


def test_shifts_and_flips_are_uniform_and_independent() -> None:
    # The picture tells where it was moved: each pixel holds its own coordinates.
    ys, xs = np.indices((32, 32))
    picture = torch.from_numpy(np.stack([ys, xs, xs], axis=2).astype(np.uint8)[None])
    count = 20_000
    moved = (
        ShiftFlip(Augmentation(5, True), seed=3)(picture, np.zeros(count, int), np.arange(count), 0)
        .numpy()
        .astype(int)
    )
    flipped = moved[:, 16, 16, 1] < moved[:, 16, 15, 1]
    down = moved[:, 16, 16, 0] - 16
    across = np.where(flipped, moved[:, 16, 15, 1], moved[:, 16, 16, 1]) - 16
    table = np.zeros((11, 11, 2))
    np.add.at(table, (down + 5, across + 5, flipped.astype(int)), 1)
    assert table.sum() == count
    assert stats.chisquare(table.ravel()).pvalue > 1e-4


@pytest.fixture
def photo(tmp_path: Path) -> FileSet:
    ys, xs = np.mgrid[0:240, 0:320]
    pixels = np.stack([ys * 255 // 239, xs * 255 // 319, np.zeros_like(xs)], axis=2).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", quality=95)
    Image.fromarray(pixels[:3, :2]).save(tmp_path / "tiny.png")
    items = FileItems.from_paths(tmp_path, ["photo.png", "photo.jpg", "tiny.png"])
    return FileSet(items, [0, 0, 0], ["a"])


def crop(**options: object) -> RandomCrop:
    to_input = Preprocess(3, (32, 32), (0.5,) * 3, (0.5,) * 3, crop_share=0.875)
    return RandomCrop(to_input, Augmentation(**options), seed=0)  # type: ignore[arg-type]


def test_a_crop_is_a_function_of_seed_epoch_and_sample(photo: FileSet) -> None:
    view = crop(flip=True)
    first = view(photo, 0, epoch=2)
    assert first.shape == (32, 32, 3)
    assert first.flags.c_contiguous
    assert np.array_equal(first, view(photo, 0, epoch=2))
    assert not np.array_equal(first, view(photo, 0, epoch=3))
    assert not np.array_equal(
        first, RandomCrop(view.preprocess, view.augmentation, seed=1)(photo, 0, epoch=2)
    )


def test_jpegs_and_full_resolution_show_the_same_part(photo: FileSet) -> None:
    draws = crop(crop_area=(0.2, 1.0))
    for epoch in range(20):
        bits = random_bits(0, 2, epoch, np.array([0, 1])[:, None], np.arange(23))
        left, top, right, bottom = draws.box((320, 240), uniform(bits[1]))
        seen = draws(photo, 1, epoch).astype(float)
        # The gradients tell which part it is.
        assert seen[:, :, 0].mean() == pytest.approx((top + bottom) / 2 / 240 * 255, abs=3)
        assert seen[:, :, 1].mean() == pytest.approx((left + right) / 2 / 320 * 255, abs=3)


def test_crops_have_the_areas_and_ratios_asked_for() -> None:
    view = crop(crop_area=(0.08, 1.0))
    boxes = np.array(
        [view.box((500, 375), uniform(random_bits(0, epoch, np.arange(23)))) for epoch in range(4_000)]
    )
    left, top, right, bottom = boxes.T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (right <= 500).all()
    assert (bottom <= 375).all()
    area = (right - left) * (bottom - top) / (500 * 375)
    ratio = (right - left) / (bottom - top)
    assert area.min() > 0.07
    assert area.max() <= 1.0
    assert ratio.min() > 0.74
    assert ratio.max() < 1.35
    # Small parts always fit at the first attempt, so their areas are uniform.
    small = area[area < 0.5]
    assert stats.kstest((small - 0.08) / 0.42, "uniform").pvalue > 1e-4
    middle = (left + right)[area < 0.3] / 1000
    assert abs(middle.mean() - 0.5) < 0.02


def test_mirroring_turns_about_half_of_the_crops(photo: FileSet) -> None:
    view = crop(flip=True, crop_area=(1.0, 1.0), crop_ratio=(4 / 3, 4 / 3))
    turned = sum(
        int(image[0, 0, 1]) > int(image[0, -1, 1]) for image in (view(photo, 0, epoch) for epoch in range(60))
    )
    assert 15 <= turned <= 45
    still = crop(flip=False, crop_area=(1.0, 1.0), crop_ratio=(4 / 3, 4 / 3))
    assert all(
        int(image[0, 0, 1]) < int(image[0, -1, 1])
        for image in (still(photo, 0, epoch) for epoch in range(20))
    )


def test_where_no_part_fits_the_centre_is_taken(photo: FileSet) -> None:
    view = crop(crop_area=(1.0, 1.0), crop_ratio=(1.0, 1.0))
    draws = uniform(random_bits(0, np.arange(23)))
    assert view.box((320, 240), draws) == (40.0, 0.0, 280.0, 240.0)
    assert view(photo, 2, epoch=0).shape == (32, 32, 3)


@pytest.mark.parametrize(
    "options",
    [{"shift": -1}, {"crop_area": (0.0, 1.0)}, {"crop_area": (0.5, 0.2)}, {"crop_ratio": (2.0, 1.0)}],
)
def test_settings_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Augmentation(**options)  # type: ignore[arg-type]
