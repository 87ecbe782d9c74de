import copy
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ssal.data import ArraySet, Augmentation, Preprocess, epoch_order, eval_loader, train_loader
from ssal.errors import DataError, InputError, RunError
from ssal.grouping import Grouping
from ssal.model import Branch, GroupedNetwork, SSALModel
from ssal.training import (
    EpochRow,
    JointLoss,
    Step,
    TrainingPlan,
    choose_precision,
    collect_outputs,
    find_checkpoint,
    fit,
    step_ratio,
    step_seconds,
)
from ssal.training.plan import make_optimizer, make_schedule, triangular

GROUPS = Grouping.from_labels([0, 0, 1, 1])
PREPROCESS = Preprocess(1, (8, 8), (0.5,), (0.25,))


def images(count: int = 200, seed: int = 0) -> ArraySet:
    """Four classes of noisy gradients that a small network can tell apart."""
    random = np.random.default_rng(seed)
    targets = np.arange(count) % 4
    base = np.stack([np.rot90(np.linspace(0, 200, 64).reshape(8, 8), turn) for turn in range(4)])
    noisy = base[targets] + random.normal(0, 40, (count, 8, 8))
    return ArraySet(noisy.clip(0, 255).astype(np.uint8)[..., None], targets, ["a", "b", "c", "d"])


def network(norm: type[nn.Module] = nn.BatchNorm2d, dropout: float = 0.0) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        norm(8) if norm is nn.BatchNorm2d else nn.GroupNorm(2, 8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(8, 4),
    )


def model(norm: type[nn.Module] = nn.BatchNorm2d, dropout: float = 0.0) -> SSALModel:
    torch.manual_seed(0)
    return SSALModel(network(norm, dropout), [Branch("2", GROUPS, layout="cbr 4 | gap")], (1, 8, 8))


def loaders(batch_size: int = 20) -> tuple[partial, partial]:
    data = images()
    train = partial(
        train_loader, data, PREPROCESS, Augmentation(shift=1, flip=False), batch_size=batch_size, seed=3
    )
    return train, partial(eval_loader, images(40, seed=1), PREPROCESS, batch_size=16)


def weights(trained: SSALModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trained.state_dict().items()}


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_joint_training_learns() -> None:
    rows: list[EpochRow] = []
    fitted = fit(model(), *loaders(), TrainingPlan(epochs=6, lr=0.1), on_epoch=rows.append)
    assert [row.epoch for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1].train_loss < 0.5 * rows[0].train_loss
    assert rows[-1].val_top1 > 90 and rows[-1].val_top1_branches[0] > 90
    seen = collect_outputs(fitted.model, loaders()[1](rank=0, world_size=1))
    right = (seen.outputs.main.argmax(dim=1) == seen.targets).double().mean()
    assert float(100 * right) == pytest.approx(rows[-1].val_top1)
    assert seen.indices.tolist() == list(range(40))


def test_the_same_seed_gives_the_same_weights() -> None:
    plan = TrainingPlan(epochs=2)
    first, second = fit(model(), *loaders(), plan), fit(model(), *loaders(), plan)
    assert equal(weights(first.model), weights(second.model))


def test_each_epoch_visits_the_samples_in_its_own_order() -> None:
    seen: list[list[int]] = []

    watched = model()
    train, val = loaders()

    def spy(*, rank: int, world_size: int) -> object:
        inner = train(rank=rank, world_size=world_size)

        class Spy:
            def __len__(self) -> int:
                return len(inner)

            def set_epoch(self, epoch: int, start_batch: int = 0) -> None:
                inner.set_epoch(epoch, start_batch)

            def __iter__(self) -> object:
                seen.append([])
                for batch in inner:
                    seen[-1] += batch.indices.tolist()
                    yield batch

        return Spy()

    fit(watched, spy, val, TrainingPlan(epochs=3))
    assert seen == [epoch_order(200, 3, epoch).tolist() for epoch in range(3)]


@pytest.mark.parametrize("ema", [None, 0.9])
def test_resuming_ends_with_the_same_weights(tmp_path: Path, ema: float | None) -> None:
    plan = TrainingPlan(epochs=4, ema=ema)
    through = fit(model(dropout=0.3), *loaders(), plan, checkpoints=tmp_path / "a").model

    class Stop(Exception):
        pass

    def stop(row: EpochRow) -> None:
        if row.epoch == 3:
            raise Stop

    with pytest.raises(Stop):
        fit(model(dropout=0.3), *loaders(), plan, checkpoints=tmp_path / "b", on_epoch=stop)
    rows: list[EpochRow] = []
    torch.manual_seed(99)
    resumed = fit(
        model(dropout=0.3),
        *loaders(),
        plan,
        checkpoints=tmp_path / "b",
        resume_from=tmp_path / "b" / "last.ckpt",
        on_epoch=rows.append,
    ).model
    assert [row.epoch for row in rows] == [3, 4]
    assert equal(weights(through), weights(resumed))


def test_checkpoints_know_their_stage_and_hold_no_pickle(tmp_path: Path) -> None:
    fit(model(), *loaders(), TrainingPlan(epochs=2), stage="baseline", run="this one", checkpoints=tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "best.ckpt",
        "last.ckpt",
        "previous.ckpt",
    ]
    found = find_checkpoint(tmp_path)
    assert found is not None
    assert (found.path.name, found.stage, found.run) == ("last.ckpt", "baseline", "this one")
    assert (found.epoch, found.batch, found.note) == (2, 0, "")
    (tmp_path / "last.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(RunError, match=r"last\.ckpt is damaged"):
        fit(model(), *loaders(), TrainingPlan(epochs=2), resume_from=tmp_path / "last.ckpt")


@pytest.mark.parametrize(("part", "name"), [("head", "the main classifier"), ("branch", "the branch at '2'")])
def test_a_loss_that_is_not_finite_stops_before_the_step(part: str, name: str) -> None:
    broken = model()
    layer = broken.backbone[8] if part == "head" else broken.branches[0].head
    with torch.no_grad():
        layer.bias[0] = float("nan")
    before = copy.deepcopy(broken.state_dict())
    with pytest.raises(DataError, match=f"the loss of {name} is nan in batch 1 of epoch 1, at samples"):
        fit(broken, *loaders(), TrainingPlan(epochs=1))
    for key, value in broken.state_dict().items():
        if "running" not in key and "num_batches" not in key:
            assert torch.equal(value.nan_to_num(7), before[key].nan_to_num(7))


def alone_two_processes_follow_one(tmp_path: Path) -> None:
    """Same global batches, no batch norm: the same loss curve up to the order of float sums."""

    def losses(devices: int) -> list[float]:
        folder = tmp_path / str(devices)

        def keep(row: EpochRow) -> None:
            folder.mkdir(exist_ok=True)
            (folder / f"{row.epoch}").write_text(repr((row.train_loss, row.val_top1)))

        plan = TrainingPlan(epochs=3, devices=devices, lr=0.05)
        fitted = fit(
            SSALModel(network(nn.GroupNorm), [Branch("2", GROUPS, layout="gap | dense 8")], (1, 8, 8)),
            *loaders(),
            plan,
            on_epoch=keep,
        )
        assert all(torch.isfinite(value).all() for value in fitted.model.state_dict().values())
        return [eval(file.read_text())[0] for file in sorted(folder.iterdir())]  # our own numbers

    torch.manual_seed(1)
    one = losses(1)
    torch.manual_seed(1)
    two = losses(2)
    assert len(one) == len(two) == 3
    assert two == pytest.approx(one, rel=1e-3)


def test_batches_must_be_shared_out_evenly() -> None:
    with pytest.raises(InputError, match="multiple of the 3 processes"):
        fit(model(), *loaders(), TrainingPlan(epochs=1, devices=3))


def test_schedule_rises_to_its_peak_and_falls_to_zero() -> None:
    factors = [triangular(step, 100, 0.2) for step in range(100)]
    assert max(factors) == 1.0 == factors[19]
    assert np.all(np.diff(factors[:20]) > 0) and np.all(np.diff(factors[20:]) < 0)
    assert factors[0] == pytest.approx(0.05) and factors[-1] == pytest.approx(1 / 80)
    assert triangular(0, 1, 0.0) == 1.0
    optimizer = make_optimizer(model(), TrainingPlan(epochs=1, lr=0.4))
    schedule = make_schedule(optimizer, TrainingPlan(epochs=1, lr=0.4), 100)
    assert schedule.get_last_lr()[0] == pytest.approx(0.4 * factors[0])


def test_norms_and_biases_are_not_decayed() -> None:
    subject = model()
    optimizer = make_optimizer(subject, TrainingPlan(epochs=1, weight_decay=0.1, branch_weight_decay=0.3))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert len(decay) == len(list(subject.parameters()))
    for name, parameter in subject.named_parameters():
        expected = 0.0 if parameter.ndim == 1 else 0.3 if name.startswith("branches") else 0.1
        assert decay[id(parameter)] == expected, name


def test_what_timm_exempts_is_not_decayed() -> None:
    network = SSALModel(timm.create_model("test_vit", num_classes=4, img_size=32), [], (3, 32, 32))
    optimizer = make_optimizer(network, TrainingPlan(epochs=1, weight_decay=0.1))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    free = {name for name, p in network.backbone.named_parameters() if p.ndim > 1 and not decay[id(p)]}
    assert free == {"cls_token", "pos_embed"} <= network.backbone.no_weight_decay()


@pytest.mark.parametrize(
    ("plan", "reference"),
    [
        (
            TrainingPlan(epochs=1, lr=0.2, momentum=0.8, weight_decay=0.1),
            partial(torch.optim.SGD, lr=0.2, momentum=0.8, nesterov=True),
        ),
        (
            TrainingPlan(epochs=1, optimizer="adamw", lr=0.02, momentum=0.8, weight_decay=0.1),
            partial(torch.optim.AdamW, lr=0.02, betas=(0.8, 0.999)),
        ),
    ],
)
def test_optimisers_are_those_of_torch(plan: TrainingPlan, reference: Callable[..., Optimizer]) -> None:
    ours, theirs = model(), model()
    decayed = [[p for p in theirs.parameters() if (p.ndim > 1) is matrix] for matrix in (True, False)]
    groups = [{"params": decayed[0], "weight_decay": 0.1}, {"params": decayed[1], "weight_decay": 0.0}]
    optimizers = make_optimizer(ours, plan), reference(groups)
    for seed in range(3):
        for subject, optimizer in zip((ours, theirs), optimizers, strict=True):
            generator = torch.Generator().manual_seed(seed)
            for parameter in subject.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizer.step()
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)


def test_probes_leave_the_model_alone() -> None:
    subject = model()
    before, state = weights(subject), torch.get_rng_state()
    assert step_seconds(subject, 8, "32", steps=1) > 0
    assert step_ratio(subject, subject, 8, "32") > 0
    assert choose_precision(subject, 8) in ("bf16", "32")
    assert equal(before, weights(subject))
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in subject.parameters())


def test_the_ratio_of_steps_is_of_the_first_by_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = model(), model()

    def times(subject: object, *_: object) -> list[list[float]]:
        return [[3.0]] if subject is ours else [[2.0]]

    monkeypatch.setattr("ssal.training.probe.step_times", times)
    assert step_ratio(ours, theirs, 8, "32") == 1.5


@pytest.mark.parametrize(
    ("few", "many", "chosen", "batches"),
    [(9.0, 9.0, "32", [8]), (1.5, 0.9, "bf16", [8, 64]), (1.5, 0.97, "32", [8, 64])],
)
def test_bfloat16_in_software_is_not_tried_on_a_full_batch(
    monkeypatch: pytest.MonkeyPatch, few: float, many: float, chosen: str, batches: list[int]
) -> None:
    tried: list[int] = []

    def times(model: object, batch: int, precisions: list[str], *rest: object) -> list[list[float]]:
        assert precisions == ["32", "bf16"]
        tried.append(batch)
        return [[2.0, 1.0], [few if batch == 8 else many, 12.0]]

    monkeypatch.setattr("ssal.training.probe.step_times", times)
    assert choose_precision(None, 128) == chosen  # type: ignore[arg-type]
    assert tried == batches


@pytest.mark.parametrize(
    ("threads", "system", "clock"),
    [(1, "linux", time.process_time), (2, "linux", time.perf_counter), (1, "win32", time.perf_counter)],
)
def test_precision_goes_by_the_work_where_that_can_be_told(
    monkeypatch: pytest.MonkeyPatch, threads: int, system: str, clock: Callable[[], float]
) -> None:
    """Another process on the same core must not decide it."""
    clocks: list[object] = []

    def times(model: object, batch: int, precisions: object, steps: int, now: object) -> list[list[float]]:
        clocks.append(now)
        return [[1.0], [2.0]]

    monkeypatch.setattr("ssal.training.probe.step_times", times)
    monkeypatch.setattr("ssal.training.probe.torch.get_num_threads", lambda: threads)
    monkeypatch.setattr("ssal.training.probe.sys.platform", system)
    monkeypatch.setattr("ssal.training.probe.default_device", lambda: torch.device("cpu"))
    choose_precision(None, 128)  # type: ignore[arg-type]
    assert set(clocks) == {clock}


def test_objectives_take_turns_on_each_batch() -> None:
    """Two objectives are two optimiser steps a batch, as a plain loop of torch does them."""

    class Squares:
        def __call__(self, model: GroupedNetwork, images: Tensor, targets: Tensor) -> Step:
            outputs = model(images)
            return Step(outputs.main.square().mean() + outputs.groups[0].square().mean(), outputs)

    plan = TrainingPlan(epochs=2, momentum=0.5, nesterov=False)
    fitted = fit(model(nn.GroupNorm), *loaders(), plan, objectives=[JointLoss(), Squares()])

    twin = model(nn.GroupNorm).train()
    optimizer = make_optimizer(twin, plan)
    batches = loaders()[0](rank=0, world_size=1)
    schedule = make_schedule(optimizer, plan, 2 * len(batches))
    for epoch in range(2):
        batches.set_epoch(epoch)
        for batch in batches:
            for objective in (JointLoss(), Squares()):
                optimizer.zero_grad()
                objective(twin, batch.images, batch.targets).loss.backward()
                optimizer.step()
            schedule.step()
    for name, value in twin.state_dict().items():
        torch.testing.assert_close(fitted.model.state_dict()[name], value)


def alone_processes_are_forked_after_threads_were_at_work(tmp_path: Path) -> None:
    torch.set_num_threads(2)
    torch.nn.functional.conv2d(torch.randn(64, 32, 32, 32), torch.randn(64, 32, 3, 3))
    # Lightning leaves a number that is set to the processes.
    os.environ["OMP_NUM_THREADS"] = "2"
    fitted = fit(model(), *loaders(), TrainingPlan(epochs=1, devices=2))
    assert all(torch.isfinite(value).all() for value in fitted.model.state_dict().values())


def test_two_processes_follow_one() -> None:
    """In a process of its own: what other tests did with autograd's threads cannot be forked."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "python_functions=alone_*",
    ]
    done = subprocess.run([*command, __file__], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
