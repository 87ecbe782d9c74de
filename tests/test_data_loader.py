import gc
import os
import pickle
import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ssal.data import (
    ArraySet,
    Augmentation,
    Batch,
    BatchLoader,
    FileSet,
    Preprocess,
    eval_loader,
    train_loader,
)
from ssal.data.augment import RandomCrop
from ssal.data.fileloader import FileLoader
from ssal.data.folder import read_class_folders
from ssal.data.sampler import TrainBatches, epoch_order
from ssal.errors import DataError, InputError

# torch warns where a machine has fewer cores than the tests ask for workers.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

AUGMENTATION = Augmentation(shift=2, flip=True)
TO_INPUT = Preprocess(3, (12, 12), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


def in_memory(count: int = 50) -> ArraySet:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 12, 12, 3), dtype=np.uint8)
    return ArraySet(pixels, rng.integers(0, 4, count), ["a", "b", "c", "d"])


@pytest.fixture
def files(image_folder) -> FileSet:
    return read_class_folders(image_folder("set", {"a": 9, "b": 8}, size=(20, 16), suffix=".jpg"))


@pytest.fixture(params=["memory", "files"])
def images(request: pytest.FixtureRequest) -> ArraySet | FileSet:
    return in_memory(17) if request.param == "memory" else request.getfixturevalue("files")


def train(images: ArraySet | FileSet, epoch: int = 0, start: int = 0, **options: int) -> list[Batch]:
    loader = train_loader(
        images, TO_INPUT, AUGMENTATION, **{"batch_size": 4, "seed": 0, "workers": 0} | options
    )
    loader.set_epoch(epoch, start)
    return list(loader)


def assert_same(ours: list[Batch], theirs: list[Batch]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_batches_have_the_promised_form(images: ArraySet | FileSet) -> None:
    batches = train(images)
    assert len(batches) == 4
    for batch in batches:
        assert batch.images.shape == (4, 3, 12, 12)
        assert batch.images.dtype == torch.float32
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.targets.dtype == batch.indices.dtype == torch.int64
        assert batch.targets.tolist() == images.targets[batch.indices.numpy()].tolist()


def test_training_follows_the_order_of_the_epoch(images: ArraySet | FileSet) -> None:
    indices = torch.cat([batch.indices for batch in train(images, epoch=3)])
    assert indices.tolist() == epoch_order(17, seed=0, epoch=3)[:16].tolist()


def test_an_epoch_can_be_repeated_and_entered_in_the_middle(images: ArraySet | FileSet) -> None:
    whole = train(images, epoch=2)
    assert_same(train(images, epoch=2), whole)
    assert_same(train(images, epoch=2, start=3), whole[3:])
    assert train(images, epoch=2, start=4) == []
    assert not torch.equal(train(images, epoch=1)[0].images, whole[0].images)
    assert not torch.equal(train(images, epoch=2, seed=1)[0].images, whole[0].images)


def test_processes_share_the_global_batches(images: ArraySet | FileSet) -> None:
    alone = train(images, epoch=1)
    parts = [train(images, epoch=1, rank=rank, world_size=2) for rank in range(2)]
    for number, whole in enumerate(alone):
        for rank in range(2):
            assert torch.equal(parts[rank][number].images, whole.images[rank::2])
            assert torch.equal(parts[rank][number].indices, whole.indices[rank::2])


def test_the_batch_size_does_not_change_how_a_sample_looks(images: ArraySet | FileSet) -> None:
    looks: dict[int, torch.Tensor] = {}
    for batch in train(images, batch_size=4):
        looks |= dict(zip(batch.indices.tolist(), batch.images, strict=True))
    (large,) = train(images, batch_size=16)
    assert all(
        torch.equal(looks[index], image)
        for index, image in zip(large.indices.tolist(), large.images, strict=True)
    )


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_gives_each_image_once_as_the_predictor_sees_it(
    images: ArraySet | FileSet, world_size: int
) -> None:
    to_input = (
        TO_INPUT
        if isinstance(images, ArraySet)
        else Preprocess(3, (12, 12), TO_INPUT.mean, TO_INPUT.std, 0.875)
    )
    seen: dict[int, torch.Tensor] = {}
    for rank in range(world_size):
        for batch in eval_loader(images, to_input, batch_size=5, rank=rank, world_size=world_size, workers=0):
            for index, target, image in zip(
                batch.indices.tolist(), batch.targets.tolist(), batch.images, strict=True
            ):
                assert index not in seen
                assert target == images.targets[index]
                seen[index] = image
    assert sorted(seen) == list(range(17))
    for index, image in seen.items():
        source = images.image(index) if isinstance(images, ArraySet) else images.encoded(index)
        assert torch.equal(image, to_input(source))


def test_evaluation_is_in_order(images: ArraySet | FileSet) -> None:
    loader = eval_loader(images, TO_INPUT, batch_size=5, workers=0)
    assert len(loader) == 4
    assert torch.cat([batch.indices for batch in loader]).tolist() == list(range(17))


def test_a_selection_is_numbered_anew(images: ArraySet | FileSet) -> None:
    chosen = images.select([16, 2, 5])
    batch = next(iter(eval_loader(chosen, TO_INPUT, batch_size=8, workers=0)))
    assert batch.indices.tolist() == [0, 1, 2]
    whole = torch.cat([batch.images for batch in eval_loader(images, TO_INPUT, batch_size=8, workers=0)])
    assert torch.equal(batch.images, whole[[16, 2, 5]])
    assert batch.targets.tolist() == images.targets[[16, 2, 5]].tolist()


def test_the_number_of_workers_changes_nothing(files: FileSet) -> None:
    alone = [train(files, epoch) for epoch in range(2)]
    loader = train_loader(files, TO_INPUT, AUGMENTATION, batch_size=4, seed=0, workers=2)
    for epoch in (0, 1, 0):
        loader.set_epoch(epoch)
        assert_same(list(loader), alone[epoch])
    # An epoch left early leaves nothing behind.
    next(iter(loader))
    loader.set_epoch(1, start_batch=2)
    assert_same(list(loader), alone[1][2:])


def test_spawned_workers_give_the_same(files: FileSet) -> None:
    view = RandomCrop(TO_INPUT, AUGMENTATION, seed=0)
    loader = FileLoader(files, TrainBatches(17, 4, seed=0), TO_INPUT, view, workers=1, start_method="spawn")
    assert_same(list(loader), train(files))


@pytest.mark.parametrize("workers", [0, 2])
def test_random_states_are_left_alone(files: FileSet, workers: int) -> None:
    def states() -> tuple[bytes, tuple[object, ...], bytes]:
        return torch.get_rng_state().numpy().tobytes(), random.getstate(), pickle.dumps(np.random.get_state())

    before = states()
    for batches in (
        train_loader(files, TO_INPUT, AUGMENTATION, batch_size=4, seed=0, workers=workers),
        eval_loader(files, TO_INPUT, batch_size=4, workers=workers),
        train_loader(in_memory(), TO_INPUT, AUGMENTATION, batch_size=4, seed=0),
    ):
        assert len(list(batches)) == len(batches)
    assert states() == before


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_breaks_during_training_is_named_in_one_line(files: FileSet, workers: int) -> None:
    path = files.encoded(3)
    assert isinstance(path, Path)
    path.write_bytes(path.read_bytes()[:100])
    # Not `pytest.raises`: its traceback would keep the workers alive until some later test.
    message = ""
    try:
        list(train_loader(files, TO_INPUT, AUGMENTATION, batch_size=4, seed=0, workers=workers))
    except DataError as error:
        message = str(error)
    assert str(path) in message
    assert "\n" not in message


def test_no_process_stays_behind(files: FileSet) -> None:
    def children() -> set[str]:
        return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())

    gc.collect()
    before = children()
    loader: BatchLoader | None = train_loader(files, TO_INPUT, AUGMENTATION, batch_size=4, seed=0, workers=2)
    list(loader)
    assert len(children() - before) == 2
    del loader
    gc.collect()
    deadline = time.monotonic() + 10
    while children() - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not children() - before


def test_positions_outside_of_the_training_are_refused(images: ArraySet | FileSet) -> None:
    loader = eval_loader(images, TO_INPUT, batch_size=5, workers=0)
    with pytest.raises(InputError, match="0 … 4; got 5"):
        loader.set_epoch(0, 5)
    with pytest.raises(InputError, match="count from 0; got -1"):
        loader.set_epoch(-1)


def test_images_of_another_size_than_the_networks_are_refused() -> None:
    other = Preprocess(3, (8, 8), TO_INPUT.mean, TO_INPUT.std)
    with pytest.raises(InputError, match=r"\(3, 8, 8\) .* the images are \(3, 12, 12\)"):
        eval_loader(in_memory(), other, batch_size=4)


def test_negative_workers_are_refused(files: FileSet) -> None:
    with pytest.raises(InputError, match="must not be negative"):
        eval_loader(files, TO_INPUT, batch_size=4, workers=-1)


def test_sets_survive_pickling(images: ArraySet | FileSet) -> None:
    copy = pickle.loads(pickle.dumps(images.select([1, 4, 9])))
    assert copy.class_names == images.class_names
    assert copy.targets.tolist() == images.targets[[1, 4, 9]].tolist()
    assert np.array_equal(copy.image(2), images.image(9))


def test_memory_stays_flat_over_epochs() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    loader = train_loader(in_memory(2_000), TO_INPUT, AUGMENTATION, batch_size=128, seed=0)
    sizes = []
    for epoch in range(20):
        loader.set_epoch(epoch)
        assert sum(len(batch.targets) for batch in loader) == 1_920
        sizes.append(resident())
    assert max(sizes[5:]) - sizes[4] < 4 * 2**20
