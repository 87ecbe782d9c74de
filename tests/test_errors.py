import pytest

from ssal.errors import DataError, InputError, RunError, SsalError, nearest, unknown_name


@pytest.mark.parametrize("kind", [InputError, DataError, RunError])
def test_every_kind_can_be_caught_as_one(kind: type[SsalError]) -> None:
    with pytest.raises(SsalError, match="why"):
        raise kind("why")


def test_nearest_ignores_case_and_puts_the_best_first() -> None:
    assert nearest("LAYER2", ["layer1", "layer2", "head"])[0] == "layer2"
    assert nearest("qqqq", ["layer1", "head"]) == []


def test_long_lists_are_cut_short() -> None:
    names = [f"network{number}" for number in range(500)]
    text = str(unknown_name("model", "netwrk7", names))
    assert "network7" in text
    assert len(text) < 200
    assert "500 are known" in str(unknown_name("model", "???", names))
