"""What a branch can be asked to learn: numbers of groups, names, files, and sums of them such as `20+all`."""

from __future__ import annotations

from difflib import get_close_matches

# What groups can be asked for by name: the classes themselves, those that come with the data, and the classes
# once more, read off all branches together.
NAMED_GROUPS = ("all", "superclasses", "fused")
# Those that tell the classes apart, so that groups can be read off them.
OF_CLASSES = ("all", "fused")


def group_parts(item: int | str) -> tuple[int | str, ...]:
    """What one branch learns: the item itself, or the parts of one such as '20+all', its classes first.

    >>> group_parts("20+all"), group_parts(20), group_parts("pets+wild.json")
    (('all', 20), (20,), ('pets+wild.json',))
    """
    texts = [part.strip() for part in str(item).split("+")]
    parts = [int(text) if text.isdecimal() else text for text in texts]
    if len(parts) == 1 or not all(isinstance(part, int) or _is_known(part) for part in parts):
        return (item,)
    return tuple(sorted(parts, key=lambda part: part not in OF_CLASSES))


def _is_known(item: str) -> bool:
    return item in NAMED_GROUPS or item.endswith((".json", ".txt"))


def check_item(item: int | str) -> None:
    """Check what one branch is to learn.

    Raises:
        ValueError: a part is not known, or groups have no classes to be read off.
    """
    parts = group_parts(item)
    if len(parts) > 1 and [part in OF_CLASSES for part in parts].count(True) != 1:
        raise ValueError(
            f"{item!r}: groups are read off the classes, so exactly one part must be 'all' or 'fused'"
        )
    for part in parts:
        if isinstance(part, str) and not _is_known(part):
            near = get_close_matches(part, NAMED_GROUPS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{item!r} is no number, not 'all', 'superclasses' or 'fused', no .json or .txt file, "
                f"and no such thing as '20+all'{hint}"
            )
