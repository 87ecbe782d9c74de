"""Time of the paper's rule, written down as it is defined, by that of ours at 1,000 classes."""

import numpy as np
from harness import Ratio, arguments, medians, one_thread, seconds, take_turns
from numpy.typing import NDArray

one_thread()

from ssal.grouping import Grouping, group_classes  # noqa: E402


def confusion(classes: int, clusters: int) -> NDArray[np.float64]:
    """Counts with planted groups that overlap, and noise."""
    random = np.random.default_rng(0)
    first, second = random.integers(0, clusters, (2, classes))
    close = (first[:, None] == first) * 6.0 + (second[:, None] == second) * 3.0
    counts = random.poisson(close * random.random((classes, classes)) + 0.02).astype(np.float64)
    np.fill_diagonal(counts, 50)
    return counts


def by_definition(counts: NDArray[np.float64], groups: int) -> list[int]:
    """Join: after each assignment, all mean distances between classes and open clusters anew."""
    classes = len(counts)
    shares = counts / counts.sum(axis=1, keepdims=True)
    np.fill_diagonal(shares, 0)
    distance = 1 - (shares + shares.T) / 2
    np.fill_diagonal(distance, 0)
    seeds = np.argsort(-distance.sum(axis=1), kind="stable")[:groups]
    members = [[int(seed)] for seed in seeds]
    left = sorted(set(range(classes)) - set(map(int, seeds)))
    while left:
        best = (np.inf, -1, -1)
        for number, cluster in enumerate(members):
            if len(cluster) < classes / groups:
                means = distance[np.ix_(left, cluster)].mean(axis=1)
                place = int(means.argmin())
                best = min(best, (float(means[place]), left[place], number))
        members[best[2]].append(best[1])
        left.remove(best[1])
    labels = np.empty(classes, dtype=np.int64)
    for number, cluster in enumerate(members):
        labels[cluster] = number
    return labels.tolist()


def main() -> None:
    given = arguments(1, [("classes", int, 1000, "C"), ("groups", int, 200, "k")])
    counts = confusion(given.classes, given.groups)
    found: dict[str, Grouping] = {}

    def theirs() -> None:
        found["definition"] = Grouping.from_labels(by_definition(counts, given.groups))

    def ours() -> None:
        found["ssal"] = group_classes(counts, given.groups, method="paper")

    group_classes(counts, given.groups, method="paper")
    figures = take_turns({"definition": seconds(theirs), "ssal": seconds(ours)}, given.rounds, warm_up=0)
    sides = medians(figures)
    refined = group_classes(counts, given.groups)
    shares = {name: grouping.share(counts) for name, grouping in found.items()} | {
        "refined": refined.share(counts)
    }
    settings = {"classes": given.classes, "groups": given.groups, "J": shares, "unit": "s"}
    ratio = sides["definition"] / sides["ssal"]
    Ratio("grouping: rule by definition ÷ ssal", ratio, 1000, "at least", sides, settings).print()
    gain = shares["refined"] / shares["ssal"]
    Ratio("grouping: J of refined ÷ J of the rule", gain, 1.08, "at least", shares, settings).print()
    timed = medians(take_turns({"refined": seconds(lambda: group_classes(counts, given.groups))}, 5))
    Ratio("grouping: seconds of refined", timed["refined"], 0.1, "at most", timed, settings).print()


if __name__ == "__main__":
    main()
