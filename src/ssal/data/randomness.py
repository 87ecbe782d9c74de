"""Random numbers without a state: each one is a hash of a seed and the coordinates of its use.

The order of an epoch, the augmentation of a sample and the members of a split are functions of where they are
used, so that they depend neither on the batch, nor on the number of workers, nor on the point where a run was
resumed. The hash is SplitMix64 (Steele, Lea, Flood 2014), whose outputs are numbered: `fold` returns output
number `value` of the generator that starts at `key`, and a chain of folds gives each tuple of coordinates a
generator of its own.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

# First coordinate of every use, so that two uses with the same seed share no numbers.
EPOCH_ORDER: Final = 1
AUGMENTATION: Final = 2
SPLIT: Final = 3

_WORD: Final = (1 << 64) - 1
_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def fold(key: NDArray[np.uint64], value: ArrayLike) -> NDArray[np.uint64]:
    """Return output number `value` (from 0) of the SplitMix64 generator that starts at `key`.

    Args:
        key: uint64, any shape.
        value: integers, broadcast against `key`.

    >>> fold(np.array([1234567], dtype=np.uint64), [0, 1])
    array([6457827717110365317, 3203168211198807973], dtype=uint64)
    """
    number = np.asarray(value).astype(np.uint64)
    # The arithmetic is modulo 2^64 by intention; numpy warns of it for scalars only.
    with np.errstate(over="ignore"):
        word = key + (number + np.uint64(1)) * _GAMMA
        word = (word ^ (word >> np.uint64(30))) * _FIRST
        word = (word ^ (word >> np.uint64(27))) * _SECOND
        return word ^ (word >> np.uint64(31))


def random_bits(seed: int, *coordinates: ArrayLike) -> NDArray[np.uint64]:
    """Return 64 random bits for each tuple of coordinates, the coordinates broadcast against each other.

    Args:
        seed: Any integer; it counts modulo 2^64.
        coordinates: Integers or arrays of integers.

    Returns:
        uint64, of the broadcast shape.

    >>> one = random_bits(0, 2, 7)
    >>> bool(random_bits(0, 2, [5, 6, 7])[2] == one)
    True
    """
    word = np.asarray(seed & _WORD, dtype=np.uint64)
    for coordinate in coordinates:
        word = fold(word, coordinate)
    return word


def uniform(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Turn random bits into float64 numbers of [0, 1), multiples of 2^-53."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(bits: NDArray[np.uint64], bound: int) -> NDArray[np.int64]:
    """Turn random bits into int64 numbers of [0, bound); `bound` is at most 2^31."""
    high = bits >> np.uint64(32)
    return ((high * np.uint64(bound)) >> np.uint64(32)).astype(np.int64)


def permutation(count: int, seed: int, *coordinates: int) -> NDArray[np.int64]:
    """Return the numbers 0 … count-1 in an order drawn from the seed and the coordinates.

    The numbers are sorted by random keys of 64 bits, which no version of numpy can change.

    >>> permutation(5, 0, EPOCH_ORDER, 3).tolist() == permutation(5, 0, EPOCH_ORDER, 3).tolist()
    True
    """
    keys = random_bits(seed, *coordinates, np.arange(count))
    return np.argsort(keys, kind="stable").astype(np.int64)
