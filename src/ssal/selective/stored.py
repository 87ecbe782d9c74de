"""A selector as plain numbers, and back."""

from __future__ import annotations

import json
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ssal.selective.calibrated import Calibrated
from ssal.selective.combination import Combination
from ssal.selective.selector import Selector
from ssal.selective.tally import Tally

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0, le=2**53)]
_Counts = tuple[_Count, ...]
_Score = Literal["JP", "margin", "entropy", "agreement", "agreement_JP", "branches", "combination"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Tally(_Model):
    images: _Count
    answered: _Counts
    wrong: _Counts
    classes: _Counts
    single: _Counts

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not len(self.answered) == len(self.wrong) == len(self.classes) == len(self.single):
            raise ValueError("counts of different length")
        rows = zip(self.answered, self.wrong, self.single, strict=True)
        if any(not max(wrong, single) <= answered <= self.images for answered, wrong, single in rows):
            raise ValueError("more errors than answers, or more answers than images")
        return self


class _Thresholds(_Model):
    # All but the last, which lets everything through.
    thresholds: tuple[_Finite, ...]
    start: _Count
    calibration: _Tally
    test: _Tally | None = None

    @model_validator(mode="after")
    def _fit(self) -> Self:
        steps = len(self.thresholds) + 1
        if any(len(tally.answered) != steps for tally in (self.calibration, self.test) if tally is not None):
            raise ValueError("as many counts are wanted as thresholds, and one more")
        if self.start >= steps or list(self.thresholds) != sorted(self.thresholds, reverse=True):
            raise ValueError("thresholds must fall, and start be one of them")
        return self


class _Combination(_Model):
    mean: tuple[_Finite, _Finite, _Finite]
    scale: tuple[_Positive, _Positive, _Positive]
    weight: tuple[_Finite, _Finite, _Finite]
    bias: _Finite


class _Selector(_Model):
    format: Literal[1]
    score: _Score
    exponent_alone: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    combination: _Combination | None
    classes: _Thresholds
    groups: _Thresholds

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.score == "combination" and self.combination is None:
            raise ValueError("the combination is missing")
        return self


def to_json(selector: Selector) -> str:
    """The selector as JSON text."""
    combination = selector.combination
    content = {
        "format": 1,
        "score": selector.score,
        "exponent_alone": selector.exponent_alone,
        "combination": None if combination is None else dict(vars(combination)),
        "classes": _thresholds(selector.classes),
        "groups": _thresholds(selector.groups),
    }
    return json.dumps(content, allow_nan=False) + "\n"


def _thresholds(calibrated: Calibrated) -> dict[str, object]:
    return {
        "thresholds": calibrated.thresholds[:-1].tolist(),
        "start": calibrated.start,
        "calibration": _counts(calibrated.calibration),
        "test": None if calibrated.test is None else _counts(calibrated.test),
    }


def _counts(tally: Tally) -> dict[str, object]:
    return {
        "images": tally.images,
        "answered": tally.answered.tolist(),
        "wrong": tally.wrong.tolist(),
        "classes": tally.classes.tolist(),
        "single": tally.single.tolist(),
    }


def from_json(text: str | bytes) -> Selector:
    """The selector that `to_json` wrote.

    Raises:
        ValueError: the text is not of that form; pydantic's ValidationError names the place.
    """
    content = _Selector.model_validate_json(text)
    combination = content.combination
    return Selector(
        score=content.score,
        combination=None if combination is None else Combination(**dict(combination)),
        exponent_alone=content.exponent_alone,
        classes=_calibrated(content.classes),
        groups=_calibrated(content.groups),
    )


def _calibrated(content: _Thresholds) -> Calibrated:
    return Calibrated(
        thresholds=np.array([*content.thresholds, -np.inf]),
        start=content.start,
        calibration=_tally(content.calibration),
        test=None if content.test is None else _tally(content.test),
    )


def _tally(content: _Tally) -> Tally:
    columns = (content.answered, content.wrong, content.classes, content.single)
    return Tally(content.images, *(_array(column) for column in columns))


def _array(counts: _Counts) -> NDArray[np.int64]:
    return np.array(counts, dtype=np.int64)
