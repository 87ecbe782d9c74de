import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from ssal.data import Preprocess
from ssal.data.preprocess import Interpolation, centre_box, crop_resize
from ssal.errors import DataError, InputError

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_normalisation_is_that_of_torchvision() -> None:
    pixels = noise(32, 24)
    reference = v2.functional.normalize(torch.from_numpy(pixels).permute(2, 0, 1).double() / 255, MEAN, STD)
    ours = Preprocess(3, (32, 24), MEAN, STD)(pixels)
    assert ours.shape == (3, 32, 24)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), reference, rtol=1e-6, atol=1e-6)


def test_an_image_of_the_size_comes_through_unchanged() -> None:
    for height, width in [(32, 32), (7, 13), (1, 1)]:
        pixels = noise(height, width)
        assert np.array_equal(Preprocess(3, (height, width), MEAN, STD).pixels(pixels), pixels)


@pytest.mark.parametrize(("height", "width"), [(300, 200), (200, 300), (40, 500), (23, 31)])
@pytest.mark.parametrize("share", [1.0, 0.875])
def test_resize_and_centre_crop_is_near_torchvisions_two_steps(height: int, width: int, share: float) -> None:
    gradient = np.add.outer(np.linspace(0, 120, height), np.linspace(0, 130, width)).astype(np.uint8)
    target = 64
    resized = v2.functional.resize(Image.fromarray(gradient), [round(target / share)])
    reference = np.asarray(v2.functional.center_crop(resized, [target, target]), dtype=int)
    ours = Preprocess(1, (target, target), (0.5,), (0.5,), crop_share=share).pixels(gradient)[:, :, 0]
    assert np.abs(ours - reference).max() <= 6


def test_the_crop_has_the_inputs_shape_and_lies_in_the_middle() -> None:
    for size in [(640, 480), (480, 640), (33, 1000), (5, 5)]:
        for image_size in [(224, 224), (32, 64)]:
            for share in (1.0, 0.875):
                left, top, right, bottom = centre_box(size, image_size, share)
                assert 0 <= left < right <= size[0]
                assert 0 <= top < bottom <= size[1]
                assert left + right == pytest.approx(size[0])
                assert top + bottom == pytest.approx(size[1])
                assert (right - left) / (bottom - top) == pytest.approx(image_size[1] / image_size[0])
                assert max((right - left) / size[0], (bottom - top) / size[1]) == pytest.approx(share)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_resampling_averages_what_it_shrinks(interpolation: Interpolation) -> None:
    checks = Image.fromarray((np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8))
    assert (
        np.abs(np.asarray(crop_resize(checks, (0, 0, 64, 64), (8, 8), interpolation), dtype=int) - 127).max()
        <= 3
    )


def test_any_wrapping_of_an_image_gives_the_same_input(tmp_path: Path) -> None:
    pixels = noise(50, 70)
    path = tmp_path / "image.png"
    Image.fromarray(pixels).save(path)
    to_input = Preprocess(3, (24, 24), MEAN, STD, crop_share=0.875)
    reference = to_input(pixels)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    for source in (path, str(path), path.read_bytes(), Image.open(path), tensor, tensor.double() / 255):
        assert torch.equal(to_input(source), reference)


def test_grey_and_colour_meet() -> None:
    grey = noise(8, 8, 1)
    assert np.array_equal(Preprocess(3, (8, 8), MEAN, STD).pixels(grey), np.repeat(grey, 3, axis=2))
    assert Preprocess(1, (8, 8), (0.5,), (0.5,))(noise(8, 8)).shape == (1, 8, 8)


def test_a_batch_equals_its_images_to_the_bit_and_is_channels_last() -> None:
    to_input = Preprocess(3, (9, 11), MEAN, STD)
    stack = np.stack([noise(9, 11), noise(9, 11)[::-1], noise(9, 11)[:, ::-1]])
    batch = to_input.normalise(torch.from_numpy(stack))
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch, torch.stack([to_input(image) for image in stack]))


def test_settings_survive_json_and_pickling() -> None:
    to_input = Preprocess(3, (24, 32), MEAN, STD, crop_share=0.875)
    assert Preprocess.from_dict(json.loads(json.dumps(to_input.to_dict()))) == to_input
    assert pickle.loads(pickle.dumps(to_input)) == to_input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"meen": 1}, "unknown preprocessing setting 'meen'; did you mean 'mean'"),
        ({"mean": None}, "wrong type"),
        ({"mean": [0.5]}, "as many means"),
        ({"std": [0.0, 1.0, 1.0]}, "deviations positive"),
        ({"mean": [float("nan"), 0.0, 0.0]}, "finite"),
        ({"channels": 4}, "1 channel .grey. or 3 .RGB.; got 4"),
        ({"image_size": [0, 5]}, "from 1 to 4096"),
        ({"image_size": [5.5, 5]}, "wrong type"),
        ({"image_size": [5]}, "wrong type"),
        ({"image_size": [10**6, 10**6]}, "from 1 to 4096"),
        ({"crop_share": 0}, "crop_share"),
        ({"interpolation": "bicubik"}, "unknown interpolation 'bicubik'; did you mean 'bicubic'"),
    ],
)
def test_foreign_settings_are_refused(change: dict[str, Any], message: str) -> None:
    settings = Preprocess(3, (24, 32), MEAN, STD).to_dict() | change
    with pytest.raises(InputError, match=message):
        Preprocess.from_dict(settings)


def test_images_are_resized_as_the_settings_say() -> None:
    image, box = noise(40, 60), (10.0, 0.0, 50.0, 40.0)
    for name, filter in (("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)):
        plain = Preprocess(3, (16, 16), MEAN, STD).to_dict()
        ours = Preprocess.from_dict(plain | {"interpolation": name}).pixels(image)
        reference = Image.fromarray(image).resize((16, 16), filter, box=box)
        assert np.array_equal(ours, np.asarray(reference))


def test_settings_of_before_there_was_a_choice_are_bilinear() -> None:
    ours = Preprocess(3, (16, 16), MEAN, STD)
    old = {key: value for key, value in ours.to_dict().items() if key != "interpolation"}
    assert Preprocess.from_dict(old) == ours


def test_missing_settings_are_named() -> None:
    with pytest.raises(InputError, match="lack image_size, mean, std"):
        Preprocess.from_dict({"channels": 3, "crop_share": 1.0})


def test_an_unreadable_image_is_named() -> None:
    with pytest.raises(DataError, match="'photo' cannot be read"):
        Preprocess(3, (8, 8), MEAN, STD)(io.BytesIO(b"x").getvalue(), name="photo")
