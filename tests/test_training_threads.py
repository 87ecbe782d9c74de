"""The number of threads that a training takes."""

from collections.abc import Iterator, Mapping

import pytest
import torch

from ssal.backbones import create_backbone
from ssal.model import SSALModel
from ssal.training import paying_threads, same_threads

MODEL = SSALModel(create_backbone("resnet18_cifar", 10, width=4), [], (3, 8, 8))


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Eight threads that nobody asked for."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("ssal.training.threads.default_device", lambda: torch.device("cpu"))
    torch.set_num_threads(8)
    yield
    torch.set_num_threads(before)


def timed(monkeypatch: pytest.MonkeyPatch, seconds: Mapping[int, float]) -> list[int]:
    """Let a step take as long as is said for each number of threads; returns the numbers that were tried."""
    tried: list[int] = []

    def times(_: object, samples: int, *rest: object) -> list[list[float]]:
        assert samples == 8, "where few take so long, many are not tried"
        tried.append(torch.get_num_threads())
        return [[seconds[tried[-1]], seconds[tried[-1]]]]

    monkeypatch.setattr("ssal.training.threads.step_times", times)
    return tried


@pytest.mark.usefixtures("free")
@pytest.mark.parametrize(
    ("seconds", "chosen", "tried"),
    [
        ({8: 1.0, 4: 1.5}, 8, [8, 4]),
        ({8: 1.0, 4: 0.95}, 8, [8, 4]),
        ({8: 9.0, 4: 5.0, 2: 6.0}, 4, [8, 4, 2]),
        ({8: 9.0, 4: 5.0, 2: 3.0, 1: 1.0}, 1, [8, 4, 2, 1]),
    ],
)
def test_fewer_threads_are_taken_as_long_as_they_are_faster(
    monkeypatch: pytest.MonkeyPatch, seconds: Mapping[int, float], chosen: int, tried: list[int]
) -> None:
    found, said = timed(monkeypatch, seconds), list[str]()
    with paying_threads(lambda: MODEL, 128, "32", said.append):
        assert torch.get_num_threads() == chosen
    assert torch.get_num_threads() == 8, "as it was found"
    assert found == tried
    assert len(said) == (chosen != 8)
    if said:
        assert f"{chosen} of 8 threads" in said[0] and f"{seconds[8] / seconds[chosen]:.1f} times" in said[0]


@pytest.mark.usefixtures("free")
@pytest.mark.parametrize(("batch_size", "tried"), [(128, [8, 64, 64]), (16, [8, 16, 16]), (4, [4, 4, 4])])
def test_a_step_that_is_short_is_measured_with_more_images(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, tried: list[int]
) -> None:
    found: list[int] = []

    def times(_: object, samples: int, *rest: object) -> list[list[float]]:
        found.append(samples)
        return [[0.1, 0.1]]

    monkeypatch.setattr("ssal.training.threads.step_times", times)
    with paying_threads(lambda: MODEL, batch_size, "32", print):
        assert torch.get_num_threads() == 8, "no faster with fewer"
    assert found == tried


@pytest.mark.usefixtures("free")
def test_a_number_that_was_asked_for_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = timed(monkeypatch, {8: 9.0, 4: 1.0})
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    with paying_threads(lambda: MODEL, 128, "32", print):
        assert torch.get_num_threads() == 8
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("ssal.training.threads.default_device", lambda: torch.device("cuda"))
    with paying_threads(lambda: MODEL, 128, "32", print):
        assert torch.get_num_threads() == 8, "beside a GPU"
    assert not tried


@pytest.mark.usefixtures("free")
def test_threads_are_as_before_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, {8: 3.0, 4: 1.0, 2: 1.0})
    with pytest.raises(KeyError), paying_threads(lambda: MODEL, 128, "32", print):
        raise KeyError
    assert torch.get_num_threads() == 8


@pytest.mark.usefixtures("free")
def test_a_training_goes_on_with_the_threads_that_it_began_with() -> None:
    said: list[str] = []
    with same_threads(2, said.append):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 8, "as it was found"
    with same_threads(8, said.append):
        assert torch.get_num_threads() == 8
    with pytest.raises(KeyError), same_threads(2, said.append):
        raise KeyError
    assert torch.get_num_threads() == 8
    assert not said


@pytest.mark.usefixtures("free")
def test_another_number_of_threads_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    with same_threads(16, said.append):
        assert torch.get_num_threads() == 8, "this machine has no more"
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    with same_threads(1, said.append):
        assert torch.get_num_threads() == 8, "it was asked for"
    assert [line.partition(":")[0] for line in said] == ["8 instead of 16 threads", "8 instead of 1 thread"]
    monkeypatch.setattr("ssal.training.threads.default_device", lambda: torch.device("cuda"))
    with same_threads(16, said.append):
        assert len(said) == 2, "beside a GPU they do not count"


@pytest.mark.usefixtures("free")
def test_steps_are_measured() -> None:
    torch.set_num_threads(2)
    before = {name: value.clone() for name, value in MODEL.state_dict().items()}
    with paying_threads(lambda: MODEL, 4, "32", print):
        pass
    assert all(torch.equal(value, before[name]) for name, value in MODEL.state_dict().items())
