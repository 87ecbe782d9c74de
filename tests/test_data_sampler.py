import numpy as np
import pytest

from ssal.data.sampler import EvalBatches, TrainBatches, epoch_order
from ssal.errors import InputError


def test_an_epoch_visits_every_sample_once_in_an_order_of_its_own() -> None:
    orders = [epoch_order(1000, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(order.tolist()) == list(range(1000)) for order in orders)
    for number, order in enumerate(orders):
        for other in orders[:number]:
            assert np.mean(order == other) < 0.02


def test_the_order_is_frozen() -> None:
    # A change here makes every earlier run impossible to resume.
    assert epoch_order(8, seed=0, epoch=0).tolist() == [2, 7, 0, 5, 1, 4, 3, 6]


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_global_batches_do_not_depend_on_the_number_of_processes(world_size: int) -> None:
    alone = list(TrainBatches(count=103, batch_size=8, seed=5).batches(epoch=2))
    plans = [TrainBatches(103, 8, 5, rank, world_size) for rank in range(world_size)]
    shares = [list(plan.batches(epoch=2)) for plan in plans]
    assert [plan.num_batches for plan in plans] == [12] * world_size == [len(share) for share in shares]
    for number, whole in enumerate(alone):
        for rank in range(world_size):
            assert np.array_equal(shares[rank][number], whole[rank::world_size])


def test_training_drops_what_fills_no_batch() -> None:
    seen = np.concatenate(list(TrainBatches(10, 4, seed=0).batches(epoch=0)))
    assert len(seen) == 8
    assert len(np.unique(seen)) == 8


def test_a_set_smaller_than_a_batch_is_one_batch() -> None:
    (only,) = TrainBatches(3, 8, seed=0).batches(epoch=0)
    assert sorted(only.tolist()) == [0, 1, 2]


def test_an_epoch_can_be_entered_anywhere() -> None:
    plan = TrainBatches(50, 8, seed=1)
    whole = list(plan.batches(epoch=3))
    for start in range(plan.num_batches + 1):
        rest = list(plan.batches(epoch=3, start=start))
        assert [batch.tolist() for batch in rest] == [batch.tolist() for batch in whole[start:]]


@pytest.mark.parametrize("count", [3, 4, 7, 8, 9, 10, 11, 23])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_sees_each_sample_once_and_keeps_processes_in_step(count: int, world_size: int) -> None:
    plans = [EvalBatches(count, 4, rank, world_size) for rank in range(world_size)]
    shares = [list(plan.batches(epoch=0)) for plan in plans]
    assert len({len(share) for share in shares}) == 1
    assert [plan.num_batches for plan in plans] == [len(share) for share in shares]
    assert all(len(batch) for share in shares for batch in share)
    assert sorted(np.concatenate([np.concatenate(share) for share in shares]).tolist()) == list(range(count))


def test_evaluation_goes_in_order() -> None:
    batches = list(EvalBatches(10, 4).batches(epoch=7, start=1))
    assert [batch.tolist() for batch in batches] == [[4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"count": 10, "batch_size": 0}, "at least 1"),
        ({"count": 10, "batch_size": 4, "rank": 2, "world_size": 2}, "rank"),
        ({"count": 10, "batch_size": 1, "world_size": 2}, "batch of 1"),
        ({"count": 1, "batch_size": 4, "world_size": 2}, "1 images"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(numbers: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EvalBatches(**numbers)
    with pytest.raises(InputError, match=message):
        TrainBatches(seed=0, **numbers)


def test_a_batch_that_cannot_be_divided_evenly_is_refused() -> None:
    with pytest.raises(InputError, match="multiple of the 2 processes; got 5"):
        TrainBatches(count=10, batch_size=5, seed=0, world_size=2)
