"""One trained network by everything that determines it, and a digest of that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssal.config import Settings, make_settings
from ssal.errors import InputError
from ssal.experiments.methods import Option
from ssal.experiments.spec import BASELINE
from ssal.groupitems import NAMED_GROUPS, group_parts
from ssal.run.heads import heads_of, weights_of
from ssal.weights import weights_file

# To be raised when the same settings no longer give the same network.
_FORMAT = 1
# What determines a network. Settings that are not named here count where they differ from their defaults, so
# that a new one leaves the digests of older trainings as they are.
_DETERMINING = {
    "augment", "batch_size", "branch", "compile", "confusion", "criterion", "data", "devices", "ema",
    "epochs", "groups", "holdout", "image_size", "label_smoothing", "layout", "lr", "method", "model",
    "optimizer", "precision", "pretrained", "schedule", "seed", "skip_bad", "taps", "time_budget",
    "width",
}  # fmt: skip
# What counts only where groups come from the same training: older trainings have no such settings.
_GATHERED = {"groups_from", "gathering"}
# Likewise what counts only where the main classifier learns from all parts.
_DISTILLED = {"distillation"}
# Where data are, how they are read and how often the state is saved do not change what is learnt.
_OPERATIONAL = {
    "data_dir",
    "workers",
    "logger",
    "checkpoint",
    "explanation_images",
    "baseline",
    "baseline_epochs",
}
# What has no effect on a network without branches.
OF_BRANCHES = {
    "groups", "taps", "criterion", "method", "confusion", "groups_from", "gathering", "layout", "branch",
    "distillation",
}  # fmt: skip


@dataclass(frozen=True)
class Training:
    """Everything that determines one trained network.

    Attributes:
        settings: data, network, branches, optimiser, seed.
        method: `baseline`, or a name of `ssal.experiments.methods`.
        options: options of the method.
        groups_from: digest of the baseline whose confusion the groups are derived from; None where none is.
        keep_weights: whether the trained model is kept; no part of the digest.
        needs_weights: whether the training counts as done only while they are there; no part of the digest.
        same_time_as: digest of the training whose time, with all that its groups cost, sets the number of
            epochs; None if the settings do.
        counted_in: digest of the baseline whose epochs that time is counted in; None if there is none.
        time_share: the part of that time.
    """

    settings: Settings
    method: str = BASELINE
    options: Mapping[str, Option] = field(default_factory=dict[str, Option])
    groups_from: str | None = None
    keep_weights: bool = False
    needs_weights: bool = False
    same_time_as: str | None = None
    counted_in: str | None = None
    time_share: float = 1.0

    @property
    def needs(self) -> tuple[str, ...]:
        """Digests of the trainings that have to be finished before this one starts."""
        others = (self.groups_from, self.same_time_as, self.counted_in)
        return tuple(digest for digest in others if digest is not None)

    @property
    def is_baseline(self) -> bool:
        """Whether there are no branches."""
        return self.method == BASELINE

    def describe(self) -> dict[str, Any]:
        """What the digest is taken of: plain values, files by their content, nothing that has no effect."""
        left_out = set(_OPERATIONAL) | (OF_BRANCHES if self.is_baseline else set[str]())
        changed = self.settings.model_dump(exclude_defaults=True).keys()
        if self.settings.groups_from == "baseline":
            left_out |= _GATHERED
        if self.settings.distillation.weight == 0:
            left_out |= _DISTILLED
        wanted = (_DETERMINING | _GATHERED | _DISTILLED | changed) - left_out
        settings = self.settings.model_dump(mode="json", include=wanted, exclude_none=True)
        if "branch" in settings and self.settings.branch.weights is None:
            settings["branch"]["weights"] = self._default_weights()
        if self.settings.optimizer.name == "sgd":
            # As it was when there was no other, for the digests of trainings that are older than this.
            del settings["optimizer"]["name"]
        if isinstance(settings.get("groups"), list):
            settings["groups"] = [_by_content(item) for item in settings["groups"]]
        if self.settings.weights is not None:
            settings["weights"] = _by_content(str(weights_file(self.settings.weights)))
        description: dict[str, Any] = {
            "format": _FORMAT,
            "method": self.method,
            "options": dict(self.options),
            "settings": settings,
            "groups_from": self.groups_from,
        }
        # Named only where there is one, for the digests of trainings that are older than this.
        if self.same_time_as is not None:
            taken = ("same_time_as", "counted_in", "time_share")
            description |= {name: getattr(self, name) for name in taken}
        return description

    def _default_weights(self) -> list[float] | None:
        """Loss weights that are not given, in the place of one where they are equal."""
        if self.settings.groups == "auto":
            return None
        weights = weights_of(None, heads_of(self.settings.groups))
        return list(weights[:1] if len(set(weights)) == 1 else weights)

    @property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the description as JSON with sorted keys."""
        text = json.dumps(self.describe(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """As plain values that `from_json` takes."""
        return {
            "settings": self.settings.model_dump(mode="json"),
            "method": self.method,
            "options": dict(self.options),
            "groups_from": self.groups_from,
            "keep_weights": self.keep_weights,
            "needs_weights": self.needs_weights,
            "same_time_as": self.same_time_as,
            "counted_in": self.counted_in,
            "time_share": self.time_share,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Training:
        """Rebuild from what `to_json` gave."""
        return cls(
            settings=make_settings(values["settings"]),
            method=values["method"],
            options=values["options"],
            groups_from=values["groups_from"],
            keep_weights=values["keep_weights"],
            needs_weights=values["needs_weights"],
            same_time_as=values["same_time_as"],
            counted_in=values["counted_in"],
            time_share=values["time_share"],
        )


def _by_content(item: object) -> object:
    """A file's name replaced by the hash of its content; anything else as it is."""
    if not isinstance(item, str) or item in ("auto", *NAMED_GROUPS):
        return item
    if len(parts := group_parts(item)) > 1:
        return "+".join(str(_by_content(part)) for part in parts)
    try:
        return "sha256:" + hashlib.sha256(Path(item).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {item}: {error.strerror}") from None
