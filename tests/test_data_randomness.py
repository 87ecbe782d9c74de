import numpy as np
import pytest
from scipy import stats

from ssal.data.randomness import AUGMENTATION, EPOCH_ORDER, below, fold, permutation, random_bits, uniform

WORD = (1 << 64) - 1


def splitmix64(state: int, count: int) -> list[int]:
    """The published generator, step by step, in Python's own integers."""
    outputs = []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & WORD
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
        outputs.append(z ^ (z >> 31))
    return outputs


@pytest.mark.parametrize("seed", [0, 1, 1234567, WORD])
def test_fold_is_the_numbered_output_of_splitmix64(seed: int) -> None:
    outputs = fold(np.array(seed, dtype=np.uint64), np.arange(100))
    assert outputs.tolist() == splitmix64(seed, 100)


def test_the_published_first_outputs_for_seed_1234567() -> None:
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert fold(np.array(1234567, dtype=np.uint64), np.arange(4)).tolist() == expected


def test_coordinates_broadcast_and_each_number_stands_alone() -> None:
    table = random_bits(7, AUGMENTATION, 3, np.arange(50)[:, None], np.arange(4))
    assert table.shape == (50, 4)
    assert table[31, 2] == random_bits(7, AUGMENTATION, 3, 31, 2)
    assert len(np.unique(table)) == table.size


@pytest.mark.parametrize("other", [(8, 1, 3, 5), (7, 2, 3, 5), (7, 1, 4, 5), (7, 1, 3, 6)])
def test_every_coordinate_and_the_seed_matter(other: tuple[int, int, int, int]) -> None:
    seed, *coordinates = other
    assert random_bits(7, 1, 3, 5) != random_bits(seed, *coordinates)


def test_negative_and_huge_seeds_count_modulo_the_word() -> None:
    assert random_bits(-1, 0) == random_bits(WORD, 0) == random_bits(WORD + (1 << 64), 0)


@pytest.mark.parametrize(
    "draws",
    [
        random_bits(0, AUGMENTATION, 0, np.arange(100_000), 0),
        random_bits(0, AUGMENTATION, np.arange(100_000), 0, 0),
        random_bits(0, AUGMENTATION, 0, 0, np.arange(100_000)),
        np.array([int(random_bits(seed, AUGMENTATION, 0, 0, 0)) for seed in range(5_000)], dtype=np.uint64),
    ],
    ids=["over samples", "over epochs", "over draws", "over seeds"],
)
def test_numbers_are_uniform_and_successive_ones_independent(draws: np.ndarray) -> None:
    numbers = uniform(draws)
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    assert stats.kstest(numbers, "uniform").pvalue > 1e-4
    cells, _, _ = np.histogram2d(numbers[:-1], numbers[1:], bins=8, range=[[0, 1], [0, 1]])
    assert stats.chisquare(cells.ravel()).pvalue > 1e-4
    # Each of the 64 bits is set half of the time: within 5 standard deviations.
    bits = (draws[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(len(draws))


def test_neighbouring_samples_and_draws_are_uncorrelated() -> None:
    table = uniform(
        random_bits(3, AUGMENTATION, np.arange(40)[:, None, None], np.arange(500)[:, None], np.arange(3))
    )
    correlation = np.corrcoef(table.reshape(-1, 3).T)
    assert np.abs(correlation - np.eye(3)).max() < 5 / np.sqrt(20_000)


@pytest.mark.parametrize("bound", [1, 2, 11, 1000])
def test_below_hits_every_number_equally_often(bound: int) -> None:
    numbers = below(random_bits(1, np.arange(200_000)), bound)
    counts = np.bincount(numbers, minlength=bound)
    assert len(counts) == bound
    assert bound == 1 or stats.chisquare(counts).pvalue > 1e-4


def test_permutations_of_three_are_equally_frequent() -> None:
    orders = [tuple(permutation(3, seed, EPOCH_ORDER, 0).tolist()) for seed in range(6_000)]
    _, counts = np.unique(np.array(orders), axis=0, return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-4
