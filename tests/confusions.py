"""Confusion matrices with known structure, and slow references, for the tests of grouping."""

from itertools import combinations

import numpy as np
from scipy import sparse


def distinct(classes, seed):
    """Mean probabilities without ties: all classes differ."""
    scores = np.random.default_rng(seed).lognormal(sigma=1.5, size=(classes, classes))
    scores += 3 * np.diag(scores.sum(1))
    return scores / scores.sum(1, keepdims=True)


def planted(classes, size, seed, samples=50):
    """Counts: 40 % errors; half of them inside groups of `size`, a third in neighbouring ones, as CSR."""
    generator = np.random.default_rng(seed)
    name = generator.permutation(classes)
    true = np.repeat(np.arange(classes), samples)
    draw = generator.random(true.size)
    near = true // size * size + generator.integers(size, size=true.size)
    wider = true // (4 * size) * 4 * size + generator.integers(4 * size, size=true.size)
    anywhere = generator.integers(classes, size=true.size)
    predicted = np.select([draw < 0.6, draw < 0.8, draw < 0.93], [true, near, wider], anywhere)
    predicted = np.minimum(predicted, classes - 1)
    counts = sparse.coo_array((np.ones(true.size), (name[true], name[predicted])), shape=(classes, classes))
    return counts.tocsr()


def share(confusion, labels):
    """J by its definition, pair by pair."""
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1e-300)
    inside = total = 0.0
    for i, j in combinations(range(len(labels)), 2):
        similar = (shares[i, j] + shares[j, i]) / 2
        total += similar
        inside += similar * (labels[i] == labels[j])
    return inside / total if total else 0.0


def balanced(classes, groups):
    """All balanced partitions of the classes, as labels; each once."""
    low, larger = divmod(classes, groups)

    def extend(left, sizes, labels, group):
        if not left:
            yield tuple(labels)
            return
        first, rest = left[0], left[1:]
        for size in sorted({size for size in sizes if sizes.count(size)}):
            remaining = list(sizes)
            remaining.remove(size)
            for others in combinations(rest, size - 1):
                chosen = dict.fromkeys((first, *others), group)
                labelled = [chosen.get(c, label) for c, label in enumerate(labels)]
                yield from extend([c for c in rest if c not in others], remaining, labelled, group + 1)

    sizes = [low + 1] * larger + [low] * (groups - larger)
    yield from extend(list(range(classes)), sizes, [-1] * classes, 0)
