"""Groups that need no confusion, and the seed that chooses images."""

from pathlib import Path

import numpy as np
import pytest
import timm
from PIL import Image

from ssal.config import make_settings
from ssal.data import ArraySet, Hierarchy, ImageSet, open_data
from ssal.errors import InputError
from ssal.grouping import Grouping
from ssal.run import job as job_module
from ssal.run.job import Job
from ssal.run.prepare import prepare
from ssal.run.resolve import check_groups, given_groups, make_groupings

NAMES = ("cat", "car", "dog", "bus")
ANIMALS = Hierarchy(("animal", "plant", "vehicle"), np.array([0, 2, 0, 2]))


def test_superclasses_of_the_data() -> None:
    grouping = given_groups("superclasses", NAMES, ANIMALS)
    assert grouping == Grouping.from_labels([0, 1, 0, 1], NAMES), "a superclass without classes is no group"
    settings = make_settings({"data": "digits"})
    both = make_groupings(["superclasses", "all"], np.eye(4), NAMES, settings, ANIMALS)
    assert both == (grouping, Grouping.identity(4, NAMES))


@pytest.mark.parametrize("hierarchy", [None, Hierarchy(("thing",), np.zeros(4, dtype=np.int64))])
def test_data_without_superclasses(hierarchy: Hierarchy | None) -> None:
    with pytest.raises(InputError, match="without superclasses"):
        check_groups(["superclasses"], NAMES, hierarchy)


def test_a_trial_network_has_the_groups_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    Grouping.from_labels([0, 0, 1, 1, 2, 2, 0, 1, 2, 0]).save(path)
    job = prepare(make_settings({"data": "digits", "groups": [str(path)], "width": 4}))
    assert [grouping.num_groups for grouping in job.blank_groupings()] == [3]


def drawn(**values: int) -> Job:
    return prepare(make_settings({"data": "digits", "images_per_class": 20, "width": 4, **values}))


def rows(images: ImageSet) -> list[int]:
    assert isinstance(images, ArraySet)
    return images.rows.tolist()


def test_the_seed_of_the_data_chooses_images_and_the_held_out_part() -> None:
    one, other, same = drawn(seed=1), drawn(seed=2), drawn(seed=2, data_seed=1)
    images = [[rows(part) for part in (job.fitting, job.heldout)] for job in (one, other, same)]
    assert images[0] == images[2] != images[1]
    weights = [next(job.make_model(()).parameters()).detach().clone() for job in (one, other, same)]
    assert weights[1].equal(weights[2]) and not weights[0].equal(weights[2])


@pytest.mark.parametrize(
    ("model", "size", "warned"),
    [("resnet18_cifar", 112, True), ("resnet18_cifar", 64, False), ("resnet18", 112, False)],
)
def test_networks_for_small_images_are_not_taken_for_photos_unnoticed(
    photos: Path, model: str, size: int, warned: bool
) -> None:
    settings = {"data": str(photos), "model": model, "image_size": size, "groups": ["all"]}
    width = {"width": 4} if model == "resnet18_cifar" else {}
    notes = prepare(make_settings({**settings, **width})).notes
    assert any(f"computes for very long on those of {size}×{size}" in note for note in notes) is warned


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir()
        for number in range(10):
            pixels = random.integers(0, 256, (112, 112, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of timm's as they are without the published weights, which are not downloaded here."""
    make = job_module.create_backbone
    monkeypatch.setattr(
        job_module, "create_backbone", lambda *args, pretrained=False, **kw: make(*args, **kw)
    )


@pytest.mark.usefixtures("offline")
def test_images_are_prepared_as_published_weights_expect(photos: Path) -> None:
    settings = {"data": str(photos), "model": "test_vit", "groups": ["all"]}
    own, published = (prepare(make_settings(settings | {"pretrained": asked})) for asked in (False, True))
    cfg = timm.get_pretrained_cfg("test_vit")
    assert own.preprocess.mean == (0.485, 0.456, 0.406) and own.preprocess.crop_share == 0.875
    assert published.preprocess.mean == cfg.mean == (0.5, 0.5, 0.5)
    assert published.preprocess.std == cfg.std and published.preprocess.crop_share == cfg.crop_pct == 0.95
    assert published.preprocess.image_size == own.preprocess.image_size
    assert (own.preprocess.interpolation, published.preprocess.interpolation) == ("bilinear", "bicubic")


@pytest.mark.usefixtures("offline")
def test_images_in_memory_are_not_cropped_for_published_weights() -> None:
    settings = {"data": "digits", "model": "resnet18", "groups": ["all"], "image_size": 32}
    own, job = (prepare(make_settings(settings | {"pretrained": asked})) for asked in (False, True))
    assert job.preprocess.mean == pytest.approx((np.mean([0.485, 0.456, 0.406]),))
    assert job.preprocess.std == pytest.approx((np.mean([0.229, 0.224, 0.225]),))
    assert job.preprocess.crop_share == 1.0
    source = Image.fromarray(open_data("digits").test.image(0)[:, :, 0])
    for made, filter in ((own, Image.Resampling.BILINEAR), (job, Image.Resampling.BICUBIC)):
        assert np.array_equal(made.data.test.image(0)[:, :, 0], source.resize((32, 32), filter))
