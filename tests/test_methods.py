"""The table of methods: every one builds from a job and trains, and bad options are refused."""

import copy

import pytest
import torch

from ssal.config import make_settings
from ssal.errors import InputError
from ssal.experiments.methods import METHODS, find_method
from ssal.experiments.rivals import ComplementEntropy
from ssal.grouping import Grouping
from ssal.run.job import Job
from ssal.run.prepare import prepare
from ssal.training import JointLoss, collect_outputs, fit

NAMES = ["ssal", "gapcat", "catfc", "catfc-groups", "dsl"]
NAMES += ["cot", "dhm", "auxiliary", "hdcnn", "hydranet"]


@pytest.fixture(scope="module")
def job() -> Job:
    settings = make_settings(
        {
            "data": "digits",
            "model": "resnet18_cifar",
            "width": 8,
            "epochs": 1,
            "groups": [3, 5],
            "taps": ["layer1", "layer2"],
            "layout": ["cbr 16,3,2 | gap"],
            "precision": "32",
            "batch_size": 256,
            "lr": 0.05,
        }
    )
    return prepare(settings)


@pytest.fixture(scope="module")
def groupings() -> tuple[Grouping, ...]:
    return Grouping.random(10, 3, seed=0), Grouping.random(10, 5, seed=1)


def test_all_names_are_there_in_order() -> None:
    assert list(METHODS) == NAMES
    for method in METHODS.values():
        assert "\n" not in method.title + method.reference
        assert method.prediction in ("main", "joint")


def test_methods_that_look_at_groups() -> None:
    needy = {name for name, method in METHODS.items() if method.needs_groups}
    assert needy == {"ssal", "catfc-groups", "hdcnn", "hydranet"}


@pytest.mark.parametrize("name", NAMES)
def test_every_method_trains(name: str, job: Job, groupings: tuple[Grouping, ...]) -> None:
    network, objectives = METHODS[name].build(job, groupings)
    rows = []
    before = copy.deepcopy(network.state_dict())
    fitted = fit(
        network,
        job.train_loader(),
        job.eval_loader(job.heldout),
        job.plan(),
        objectives=objectives,
        on_epoch=rows.append,
    )
    assert fitted.model is network
    assert 0 < rows[0].train_loss < 50
    assert len(rows[0].val_top1_branches) == len(network.specs)
    changed = [key for key, value in network.state_dict().items() if not torch.equal(value, before[key])]
    assert len(changed) == len(before)
    seen = collect_outputs(network, job.eval_loader(job.heldout)(rank=0, world_size=1))
    assert seen.outputs.main.shape == (len(job.heldout), 10)


@pytest.mark.parametrize("name", [name for name in NAMES if not METHODS[name].needs_groups])
def test_other_methods_build_the_same_from_any_groups(name: str, job: Job) -> None:
    sizes = (3, 5)
    first, second = (
        METHODS[name].build(job, tuple(Grouping.random(10, k, seed=seed) for k in sizes))[0]
        for seed in (0, 1)
    )
    assert first.state_dict().keys() == second.state_dict().keys()
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key


@pytest.mark.parametrize("name", NAMES)
def test_weights_start_from_the_seed(name: str, job: Job, groupings: tuple[Grouping, ...]) -> None:
    first = METHODS[name].build(job, groupings)[0].state_dict()
    torch.rand(3)
    second = METHODS[name].build(job, groupings)[0].state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", [name for name in NAMES if METHODS[name].prediction == "main"])
def test_main_predictions(name: str, job: Job, groupings: tuple[Grouping, ...]) -> None:
    """Where parts have exponents, as in deep supervision, the product is an extra, not the method's own."""
    network, _ = METHODS[name].build(job, groupings)
    assert name in ("dsl", "dhm") or not any(network.exponents.branches)


def test_dsl_predicts_classes_everywhere(job: Job, groupings: tuple[Grouping, ...]) -> None:
    for name in ("dsl", "dhm"):
        network, _ = METHODS[name].build(job, groupings)
        assert [spec.grouping.num_groups for spec in network.specs] == [10, 10]


def test_cot_takes_two_steps(job: Job, groupings: tuple[Grouping, ...]) -> None:
    _, objectives = METHODS["cot"].build(job, groupings)
    assert [type(objective) for objective in objectives] == [JointLoss, ComplementEntropy]


def test_catfc_differs_from_catfc_groups_by_the_weights_only(
    job: Job, groupings: tuple[Grouping, ...]
) -> None:
    without, _ = METHODS["catfc"].build(job, groupings)
    trained, _ = METHODS["catfc-groups"].build(job, groupings)
    assert [spec.weight for spec in without.specs] == [0.0, 0.0]
    assert [spec.weight for spec in trained.specs] == list(job.weights)
    for key, value in without.state_dict().items():
        assert torch.equal(value, trained.state_dict()[key]), key


def test_the_attraction_of_auxiliary_training_starts_late(job: Job, groupings: tuple[Grouping, ...]) -> None:
    steps = len(job.train_loader()(rank=0, world_size=1))
    _, (loss,) = METHODS["auxiliary"].build(job, groupings, {"attraction_start": 0.5})
    assert loss.attraction_start == round(0.5 * steps)
    assert loss.corruption.mean == job.preprocess.mean


def test_options_reach_the_networks(job: Job, groupings: tuple[Grouping, ...]) -> None:
    assert METHODS["catfc"].build(job, groupings, {"units": 17})[0].classifier[0].out_features == 17
    assert METHODS["hydranet"].build(job, groupings, {"picked": 1})[0].picked == 1
    _, (loss,) = METHODS["dhm"].build(job, groupings, {"weight": 2, "temperature": 3.0})
    assert (loss.weight, loss.temperature) == (2.0, 3.0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dhm", {"wieght": 1.0}, "unknown option 'wieght'; did you mean 'weight'"),
        ("ssal", {"x": 1.0}, "takes no options, but 'x' was given"),
        ("dhm", {"weight": "much"}, "option 'weight' must be of type float, got 'much'"),
        ("hydranet", {"picked": 2.5}, "option 'picked' must be of type int, got 2.5"),
        ("hydranet", {"picked": True}, "must be of type int, got True"),
    ],
)
def test_wrong_options_are_named(name: str, options: dict, message: str, job: Job, groupings) -> None:
    with pytest.raises(InputError, match=message):
        METHODS[name].build(job, groupings, options)


def test_unknown_methods_are_named() -> None:
    assert find_method("cot") is METHODS["cot"]
    with pytest.raises(InputError, match="unknown method 'hydra'; did you mean 'hydranet'"):
        find_method("hydra")
