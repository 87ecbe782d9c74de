"""What the report reads from the JSON files of a run; what it does not know it leaves alone."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class _Loose(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class Way(_Loose):
    """One way of prediction: percentages, NLL in nats."""

    top1: float
    top5: float | None = None
    nll: float | None = None
    ece: float | None = None


class BranchResult(_Loose):
    """One branch."""

    tap: str
    num_groups: int
    top1: float | None = None
    weight: float | None = None
    exponent: float = 0.0


def _numbers(value: object) -> object:
    """Of a mapping, the entries that are numbers: `seconds` holds a mapping of stages as well."""
    if not isinstance(value, dict):
        return value
    return {key: entry for key, entry in value.items() if entry is None or isinstance(entry, int | float)}


Numbers = Annotated[dict[str, float | None], BeforeValidator(_numbers)]


class Metrics(_Loose):
    """`metrics.json`; sections that later versions write are read by whom they concern."""

    baseline: Way | None = None
    TR: Way
    JP: Way
    LC: Way | None = None
    branches: list[BranchResult] = []
    main_exponent: float | None = None
    error_detection: dict[str, float | None] = {}
    params: Numbers = {}
    flops: Numbers = {}
    seconds: Numbers = {}
    stages: dict[str, float] = {}

    @property
    def ways(self) -> dict[str, Way]:
        """The ways of prediction that were measured, in the order of the table."""
        found = {"baseline": self.baseline, "TR": self.TR, "JP": self.JP, "LC": self.LC}
        return {name: way for name, way in found.items() if way is not None}


class Reliability(_Loose):
    """Bins of the largest probability."""

    count: list[float]
    confidence: list[float | None]
    accuracy: list[float | None]


class Calibration(_Loose):
    """How far probabilities can be taken at their word."""

    nll: float | None = None
    ece: float | None = None
    brier: float | None = None
    reliability: Reliability | None = None


class RiskCoverage(_Loose):
    """Error rate among the samples kept, 0–1, for each share of samples kept."""

    coverage: list[float]
    risk: list[float | None]


class Score(_Loose):
    """A number that tells sure predictions from unsure ones, and whose predictions these are."""

    of: str | None = None
    auroc: float | None = None
    aurc: float | None = None
    risk_coverage: RiskCoverage | None = None


class Promise(_Loose):
    """A promise on the error rate among answers, and what came of it on test data; shares 0–1."""

    risk: float
    confidence: float | None = None
    images: int | None = None
    possible: bool = True
    test_coverage: float | None = None
    test_risk: float | None = None
    test_size: float | None = None
    holds: bool | None = None
    kept_in_resplits: float | None = None


class Gain(_Loose):
    """By how much a loss is smaller than another, with its 95 % interval."""

    mean: float
    low: float
    high: float


class Selective(_Loose):
    """Prediction that may abstain."""

    scores: dict[str, Score] = {}
    best: str | None = None
    gain: dict[str, Gain] = {}
    guarantee: list[Promise] = []
    smallest_risk: float | None = None


class BackOffPoint(_Loose):
    """Answers of a class or a group at one threshold; shares 0–1."""

    coverage: float
    risk: float | None = None
    size: float | None = None


class BackOff(_Loose):
    """Prediction that may answer with a group of classes."""

    curve: list[BackOffPoint] = []
    guarantee: list[Promise] = []


class Area(_Loose):
    """Area under a curve: of the map, of random maps, of a blob in the centre.

    The difference to random maps is above 0 where the map is better; 95 % intervals of it, and of the
    difference to the centre.
    """

    map: float | None = None
    random: float | None = None
    centre: float | None = None
    difference: float | None = None
    interval: list[float] | None = None
    centre_interval: list[float] | None = None

    @property
    def verdict(self) -> str:
        """Against random maps: `better`, `worse`, `no difference`, or nothing where that is not known."""
        return _verdict(self.interval)

    @property
    def centre_verdict(self) -> str:
        """The same against a mark in the centre."""
        return _verdict(self.centre_interval)


def _verdict(interval: list[float] | None) -> str:
    if interval is None or len(interval) != 2:
        return ""
    low, high = interval
    return "better" if low > 0 else "worse" if high < 0 else "no difference"


class PartCheck(_Loose):
    """Deletion and insertion along the map of one part."""

    part: str
    method: str | None = None
    deletion: Area | None = None
    insertion: Area | None = None
    wrong_group: Any = None
    curves: dict[str, list[float] | None] = {}


class RandomisedStage(_Loose):
    """Similarity of maps before and after weights were made random down to a layer."""

    randomised: str
    spearman: float | None = None
    ssim: float | None = None


class RandomisedPart(_Loose):
    """Cascading randomisation, one part."""

    part: str
    stages: list[RandomisedStage] = []


class Explanations(_Loose):
    """`eval/explanations.json`."""

    images: int | None = None
    baseline: str | None = None
    steps: int | None = None
    parts: list[PartCheck] = []
    randomisation: list[RandomisedPart] = []
    findings: list[str] = []


class ModelBranch(_Loose):
    """A branch in `model/config.json`."""

    tap: str
    layout: str = ""
    labels: list[int]
    fused: bool = False
    summed: bool = False


class Backbone(_Loose):
    """The backbone in `model/config.json`."""

    name: str
    width: int | None = None


class Model(_Loose):
    """`model/config.json`."""

    backbone: Backbone
    class_names: list[str]
    branches: list[ModelBranch] = []


class Environment(_Loose):
    """`env.json`."""

    started: str | None = None
    command: list[str] = []
    python: str | None = None
    versions: dict[str, str] = {}
    system: str | None = None
    machine: str | None = None
    processor: str | None = None
    cpus: int | None = None
    threads: int | None = None
    gpus: list[str] = []
    precision: str | None = None
