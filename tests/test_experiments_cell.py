"""One small training from its description to its folder, in this process."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ssal.config import make_settings
from ssal.confusion import load_confusion
from ssal.data import open_data
from ssal.errors import RunError
from ssal.experiments.cell import do_training
from ssal.experiments.equaltime import equal_time_epochs
from ssal.experiments.measure import standard_metrics
from ssal.experiments.pictures import choose_images, find_examples
from ssal.experiments.store import BusyError, Store
from ssal.experiments.training import Training
from ssal.experiments.worker import follow
from ssal.files import write_json
from ssal.grouping import Grouping, group_classes
from ssal.run.saved import load_model
from ssal.training import collect_outputs

SETTINGS: dict[str, Any] = {
    "data": "digits",
    "model": "resnet18_cifar",
    "width": 4,
    "epochs": 1,
    "batch_size": 128,
    "precision": "32",
    "images_per_class": 40,
    "groups_from": "baseline",
}


def baseline(**settings: Any) -> Training:
    return Training(make_settings(SETTINGS, settings), keep_weights=True)


def branches(source: Training | None, **settings: Any) -> Training:
    given = {"groups": [3, 5], "taps": ["layer1", "layer2"], **settings}
    digest = None if source is None else source.digest
    return Training(make_settings(SETTINGS, given), "ssal", {}, digest, keep_weights=True)


def silent(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("experiments"))
    do_training(baseline(), store, silent)
    do_training(branches(baseline()), store, silent)
    return store


def test_what_a_training_leaves(store: Store) -> None:
    made = branches(baseline())
    result, parts = store.read(made.digest), store.outputs(made.digest)
    assert result["training"] == made.describe()
    assert parts["test"].outputs.main.shape == (359, 10)
    assert [logits.shape[1] for logits in parts["test"].outputs.groups] == [3, 5]
    assert len(parts["heldout"].targets) + len(parts["calibration"].targets) == 40, "a tenth of 400"
    labels = [torch.tensor(grouping["labels"]) for grouping in result["groupings"]]
    assert result["metrics"] == json.loads(json.dumps(standard_metrics(parts, labels)))
    assert len(result["curve"]) == 1 and result["curve"][0]["epoch"] == 1
    assert result["whole"]["parameters"] > result["main"]["parameters"] > 0
    assert {"training", "grouping", "outputs"} <= result["seconds"].keys()
    assert result["environment"]["versions"]["torch"]
    assert result["yardstick"] > 0


def test_groups_come_from_the_confusion_of_the_baseline(store: Store) -> None:
    source = baseline()
    confusion = load_confusion(store.folder(source.digest) / "confusion.npz")[0]
    found = store.read(branches(source).digest)["groupings"]
    for grouping, count in zip(found, (3, 5), strict=True):
        expected = group_classes(confusion, count, seed=0)
        assert grouping["labels"] == expected.labels.tolist()
        assert grouping["share"] == pytest.approx(Grouping.from_labels(grouping["labels"]).share(confusion))


def test_as_many_epochs_as_take_the_same_time(store: Store, tmp_path: Path) -> None:
    own = Store(tmp_path)
    source, other = baseline(), branches(baseline())
    # The second machine is twice as fast.
    for made, seconds, yardstick in ((source, 2.0, 0.5), (other, 1.7, 0.25)):
        stages = {"training": seconds, "grouping": 0.125, "confusion": 0.35}
        machine = {"environment": {"processor": f"of {yardstick} s"}}
        result = store.read(made.digest) | machine | {"seconds": stages, "yardstick": yardstick}

        def fill(folder: Path, result: dict[str, Any] = result) -> None:
            write_json(folder / "training.json", result)

        own.write(made.digest, fill)
    whole = Training(source.settings, same_time_as=other.digest, counted_in=source.digest)
    assert equal_time_epochs(whole, own) == 3, "(2 + 0.35 + 2 * (0.125 + 1.7)) / 2"
    half = replace(whole, time_share=0.6)
    do_training(half, own, silent)
    result = own.read(half.digest)
    assert result["epochs"] == len(result["curve"]) == 2
    with pytest.raises(RunError, match="cannot read"):
        equal_time_epochs(whole, Store(tmp_path / "empty"))


def test_times_of_two_machines_without_a_yardstick_are_not_taken_for_equal(
    store: Store, tmp_path: Path
) -> None:
    own = Store(tmp_path)
    source, other = baseline(), branches(baseline())
    for made, processor in ((source, "x, AVX2"), (other, "x, AVX512")):
        result = store.read(made.digest) | {"environment": {"processor": processor}}
        del result["yardstick"]

        def fill(folder: Path, result: dict[str, Any] = result) -> None:
            write_json(folder / "training.json", result)

        own.write(made.digest, fill)
    with pytest.raises(RunError, match=f"no yardstick: .*{other.digest}, .*{source.digest}; remove"):
        equal_time_epochs(Training(source.settings, same_time_as=other.digest, counted_in=source.digest), own)


def test_a_finished_training_is_left_alone(store: Store) -> None:
    path = store.folder(baseline().digest) / "training.json"
    before = path.stat().st_mtime_ns
    do_training(baseline(), store, silent)
    assert path.stat().st_mtime_ns == before


def test_it_is_repeated_where_weights_are_needed_that_were_not_kept(tmp_path: Path) -> None:
    store, bare = Store(tmp_path), replace(baseline(), keep_weights=False)
    needed = replace(baseline(), needs_weights=True)
    do_training(bare, store, silent)
    first = store.outputs(bare.digest)["test"].outputs.main
    assert store.is_done(bare) and store.is_done(baseline()) and not store.is_done(needed)
    do_training(needed, store, silent)
    assert store.is_done(needed)
    # Trained in a process that had done other trainings meanwhile, and from the same description.
    assert torch.equal(store.outputs(bare.digest)["test"].outputs.main, first)


def test_kept_weights_give_the_stored_outputs(store: Store) -> None:
    made = branches(baseline())
    model = load_model(store.folder(made.digest) / "model").model
    data = open_data("digits")
    from ssal.data import eval_loader

    loader = eval_loader(data.test, data.preprocess, batch_size=250)
    seen = collect_outputs(model, loader)
    kept = store.outputs(made.digest)["test"]
    torch.testing.assert_close(seen.outputs.main, kept.outputs.main, rtol=1e-4, atol=1e-4)
    assert torch.equal(seen.targets, kept.targets)


def test_groups_without_a_baseline(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for method in ("random", "refined"):
        items: list[Any] = [3, 5] if method == "random" else ["all", "all"]
        made = branches(None, groups=items, method=method)
        do_training(made, store, silent)
        found = [grouping["labels"] for grouping in store.read(made.digest)["groupings"]]
        if method == "random":
            assert found == [Grouping.random(10, k, seed=0).labels.tolist() for k in (3, 5)]
        else:
            assert found == [list(range(10))] * 2


def test_hard_confusion_is_counted_on_the_held_out_part(store: Store) -> None:
    source = baseline()
    made = branches(source, confusion="hard", groups=[3], taps=["layer1"])
    do_training(made, store, silent)
    seen = store.outputs(source.digest)["heldout"]
    counts = np.zeros((10, 10))
    np.add.at(counts, (seen.targets.numpy(), seen.outputs.main.argmax(dim=1).numpy()), 1)
    expected = group_classes(counts, 3, seed=0).labels.tolist()
    assert store.read(made.digest)["groupings"][0]["labels"] == expected


def test_groups_need_a_finished_baseline(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not finished"):
        do_training(branches(baseline()), Store(tmp_path), silent)


def test_two_processes_do_not_do_the_same(tmp_path: Path) -> None:
    store, made = Store(tmp_path), baseline()
    with store.locked(made.digest), pytest.raises(BusyError):
        do_training(made, store, silent)


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    store, made = Store(tmp_path), baseline()
    left = tmp_path / "trainings" / f".{made.digest}.123.abcd"
    left.mkdir(parents=True)
    (left / "training.json").write_text("{}", encoding="utf-8")
    assert not store.is_done(made)
    do_training(made, store, silent)
    assert store.is_done(made) and not left.exists()


def ask(training: Training, store: Store) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    send: Callable[[dict[str, Any]], None] = said.append
    order = {"training": training.to_json(), "digest": training.digest, "store": str(store.root)}
    follow(order, send)
    return said


def test_a_child_reports_a_failure_and_what_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = baseline(model="resnet18_cifra")
    [said] = ask(made, store)
    assert said["event"] == "failed" and "did you mean 'resnet18_cifar'" in said["error"]
    assert store.error(made.digest) == said["error"]
    record = json.loads((store.folder(made.digest) / "error.json").read_text(encoding="utf-8"))
    assert "Traceback" in record["traceback"]
    assert not store.is_done(made)


def test_a_child_reports_epochs_and_the_end(tmp_path: Path) -> None:
    store, made = Store(tmp_path), baseline()
    store.write_error(made.digest, "an earlier failure", "")
    first, last = ask(made, store)
    assert first["event"] == "line" and "baseline 1/1" in first["line"]
    assert last == {"event": "done"}
    assert store.error(made.digest) is None


def test_a_child_reports_that_another_process_is_at_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.locked(baseline().digest):
        assert ask(baseline(), store) == [{"event": "busy"}]


def test_pictures_show_the_first_wrong_and_the_first_right_images(store: Store) -> None:
    source = baseline()
    made = branches(source)
    chosen = choose_images(store, made.digest)
    examples = find_examples(store, source.digest, made.digest, open_data("digits"))
    assert [example.index for example in examples] == chosen
    verdicts = [example.evidence.class_name == example.truth for example in examples]
    assert verdicts == sorted(verdicts), "wrong ones first"
    for example in examples:
        record = example.to_json()
        assert [part["part"] for part in record["parts"]][2:] == ["layer1", "layer2"]
        assert len(example.baseline.parts) == 1
