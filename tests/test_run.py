"""One whole run on real data (digits), and everything that can be done with it afterwards."""

import csv
import json
import shutil
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits

import ssal
from ssal.checkpoint import load_state, save_state
from ssal.config import make_settings
from ssal.data import open_data
from ssal.errors import DataError, InputError, RunError
from ssal.run import evaluate_run, resume_training, start_training, write_predictions
from ssal.run.epochs import epochs_in_time
from ssal.run.heads import heads_of
from ssal.run.log import read_rows
from ssal.run.resolve import check_groups, default_groups

SETTINGS = {
    "data": "digits",
    "model": "resnet18_cifar",
    "width": 8,
    "groups": "2,5,all",
    "epochs": 4,
    "precision": "32",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> ssal.Run:
    said: list[str] = []
    path = tmp_path_factory.mktemp("runs") / "digits"
    run = start_training(make_settings(SETTINGS), path, echo=said.append)
    assert any("branch at layer1: 2 groups" in line for line in said)
    assert str(path) in said[-1]
    return run


def test_the_run_directory_has_what_it_promises(finished: ssal.Run) -> None:
    files = {str(file.relative_to(finished.path)) for file in finished.path.rglob("*") if file.is_file()}
    promised = {
        "config.yaml",
        "env.json",
        "train.log",
        "metrics.csv",
        "metrics.json",
        "confusion.npz",
        "groups/layer1.json",
        "groups/layer2.json",
        "groups/layer3.json",
        "checkpoints/last.ckpt",
        "checkpoints/best.ckpt",
        "model/model.safetensors",
        "model/config.json",
        "model/README.md",
        "eval/predictions.parquet",
        "eval/explanations.json",
    }
    assert promised <= files
    assert yaml.safe_load((finished.path / "config.yaml").read_text())["epochs"] == 4
    assert "torch" in json.loads((finished.path / "env.json").read_text())["versions"]


def test_the_maps_were_checked(finished: ssal.Run) -> None:
    record = json.loads((finished.path / "eval" / "explanations.json").read_text())
    assert record["images"] == 48 and record["findings"]
    log = (finished.path / "train.log").read_text()
    assert all(sentence in log for sentence in record["findings"])


def test_a_check_of_the_maps_that_fails_costs_nothing_but_itself(tmp_path: Path) -> None:
    said: list[str] = []
    settings = make_settings(SETTINGS, {"epochs": 1, "groups": "2", "explanation_images": 1})
    run = start_training(settings, tmp_path / "run", echo=said.append)
    assert run.metrics["JP"]["top1"] > 0
    assert any(line.startswith("the maps were not checked: the checks need two images") for line in said)
    assert not (run.path / "eval" / "explanations.json").exists()


def test_a_network_that_maps_cannot_be_made_of_is_trained_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no gradient\nfor this layer")

    monkeypatch.setattr("ssal.run.finish.check_model", broken)
    said: list[str] = []
    settings = make_settings(SETTINGS, {"epochs": 1, "groups": "2"})
    run = start_training(settings, tmp_path / "run", echo=said.append)
    assert (run.path / "metrics.json").exists()
    assert "the maps were not checked: no gradient for this layer" in said


def test_metrics_have_the_agreed_keys(finished: ssal.Run) -> None:
    metrics = json.loads((finished.path / "metrics.json").read_text())
    assert metrics == finished.metrics
    for way in ("baseline", "TR", "JP", "LC"):
        assert set(metrics[way]) >= {"top1", "top5", "nll", "ece"}
        assert 50 < metrics[way]["top1"] <= 100
        assert metrics["params"][way] > 0 and metrics["seconds"][way] > 0
    assert [branch["num_groups"] for branch in metrics["branches"]] == [2, 5, 10]
    assert all(
        set(branch) == {"tap", "num_groups", "top1", "weight", "exponent"} for branch in metrics["branches"]
    )
    assert set(metrics["error_detection"]) == {"baseline", "TR", "JP", "LC"}


def test_metrics_are_those_of_the_predictions_on_file(finished: ssal.Run) -> None:
    table = pq.read_table(finished.path / "eval" / "predictions.parquet").to_pydict()
    target = np.array(table["target"])
    for way in ("baseline", "TR", "JP", "LC"):
        assert 100 * (np.array(table[way]) == target).mean() == pytest.approx(finished.metrics[way]["top1"])
    assert set(table["agreement"]) <= {0, 1, 2, 3}


def test_one_row_per_epoch_and_stage(finished: ssal.Run) -> None:
    rows = read_rows(finished.path / "metrics.csv")
    assert [(row["stage"], row["epoch"]) for row in rows] == [
        (stage, str(epoch)) for stage in ("baseline", "joint") for epoch in (1, 2, 3, 4)
    ]
    assert rows[-1]["val_top1_branch3"] and not rows[0]["val_top1_branch3"]


def test_the_model_folder_is_enough_to_predict(finished: ssal.Run, tmp_path: Path) -> None:
    shutil.copytree(finished.path / "model", tmp_path / "alone")
    data = open_data("digits")
    images = [data.test.image(index) for index in range(60)]
    predictor = ssal.load(tmp_path / "alone")
    predictions = predictor.predict(images)
    table = pq.read_table(finished.path / "eval" / "predictions.parquet").to_pydict()
    assert [prediction.class_name for prediction in predictions] == table["JP"][:60]
    for row, prediction in enumerate(predictions):
        assert prediction.probability == pytest.approx(table["JP_probability"][row], abs=1e-4)
        assert prediction.agreement == table["agreement"][row]
        assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-5)
        for group in prediction.groups:
            assert group.agrees == (prediction.class_name in group.members)
    main = ssal.load(finished.path, mode="main").predict(images)
    assert [prediction.class_name for prediction in main] == table["TR"][:60]
    assert main[0].groups == ()


def test_one_image_in_every_form_gives_one_prediction(finished: ssal.Run, tmp_path: Path) -> None:
    predictor = finished.predictor()
    array = open_data("digits").test.image(3)
    picture = Image.fromarray(array[..., 0])
    picture.save(tmp_path / "digit.png")
    file = tmp_path / "digit.png"
    forms = [array, array[..., 0], picture, file, str(file), file.read_bytes()]
    results = [predictor.predict(form) for form in forms]
    assert all(result == results[0] for result in results)
    assert predictor.predict(tmp_path) == results[:1]
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    for several in ([file], array[None], tensor[None], (tensor,)):
        assert predictor.predict(several) == results[:1]
        assert [evidence.class_name for evidence in predictor.explain(several)] == [results[0].class_name]


def test_an_unreadable_image_keeps_its_place(finished: ssal.Run, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    Image.new("L", (8, 8)).save(tmp_path / "good.png")
    first, second = finished.predictor().predict_each([tmp_path / "bad.png", tmp_path / "good.png"])
    assert isinstance(first, DataError) and "bad.png" in str(first)
    assert isinstance(second, ssal.Prediction)
    with pytest.raises(DataError, match=r"bad\.png"):
        finished.predictor().predict([tmp_path / "bad.png"])


def test_measuring_again_gives_the_same_table(finished: ssal.Run) -> None:
    text = evaluate_run(finished.path)
    for way in ("baseline", "TR", "JP", "LC"):
        assert f"{finished.metrics[way]['top1']:.2f}" in text


def test_other_data_leave_the_predictions_on_the_test_data(finished: ssal.Run, tmp_path: Path) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    digits = load_digits()
    (tmp_path / "x").mkdir()
    for number, (image, target) in enumerate(zip(digits.images[:200], digits.target, strict=False)):
        for part in ("train", "test"):
            file = tmp_path / "others" / part / str(target) / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image * 15).astype(np.uint8)).save(file)
    kept = (tmp_path / "run" / "eval" / "predictions.parquet").read_bytes()
    text = evaluate_run(tmp_path / "run", data=str(tmp_path / "others"))
    assert (tmp_path / "run" / "eval" / "predictions.parquet").read_bytes() == kept
    written = tmp_path / "run" / "eval" / "others" / "predictions.parquet"
    assert text.splitlines()[-1] == f"written: {written}"
    assert pq.read_table(written)["target"].to_pylist() == sorted(map(str, digits.target[:200]))
    assert json.loads(written.with_name("metrics.json").read_text())["data"] == str(tmp_path / "others")
    # Once more, and others of the same name.
    assert evaluate_run(tmp_path / "run", data=str(tmp_path / "x" / ".." / "others")).endswith(str(written))
    shutil.copytree(tmp_path / "others", tmp_path / "elsewhere" / "others")
    further = evaluate_run(tmp_path / "run", data=str(tmp_path / "elsewhere" / "others"))
    assert further.endswith(str(tmp_path / "run" / "eval" / "others-2" / "predictions.parquet"))


def test_data_without_a_test_part_are_measured_as_a_whole(finished: ssal.Run, tmp_path: Path) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    for name in map(str, range(10)):
        (tmp_path / "flat" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("L", (8, 8)).save(tmp_path / "flat" / name / f"{number}.png")
    metrics = (tmp_path / "run" / "metrics.json").read_bytes()
    assert ": 20 images" in evaluate_run(tmp_path / "run", data=str(tmp_path / "flat"))
    # A path that ends in dots has a name all the same.
    evaluate_run(tmp_path / "run", data=str(tmp_path / "flat" / "0" / ".."))
    assert (tmp_path / "run" / "metrics.json").read_bytes() == metrics
    assert {path.name for path in (tmp_path / "run" / "eval").iterdir() if path.is_dir()} == {"flat"}


def test_explanations_never_take_the_place_of_another(finished: ssal.Run, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a-2.png", "a.png", "a.jpg")]
    for file in files:
        Image.new("L", (8, 8)).save(file)
    write_predictions(finished.predictor(), files, tmp_path / "p.csv", explanations=tmp_path / "seen")
    assert {path.name for path in (tmp_path / "seen").iterdir()} == {"a-2", "a", "a-3"}


def test_a_baseline_of_another_network_is_named(finished: ssal.Run, tmp_path: Path) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    save_state(tmp_path / "run" / "checkpoints" / "baseline.ckpt", {"backbone.conv1.weight": torch.zeros(3)})
    with pytest.raises(RunError, match="baseline.ckpt holds the weights of another network"):
        evaluate_run(tmp_path / "run")


def test_a_run_is_not_overwritten_by_accident(finished: ssal.Run) -> None:
    with pytest.raises(RunError, match="holds a run already"):
        start_training(make_settings(SETTINGS), finished.path)
    again = resume_training(finished.path)
    assert again.metrics == finished.metrics


def test_an_interrupted_run_ends_as_if_nothing_had_happened(finished: ssal.Run, tmp_path: Path) -> None:
    """Broken off in the joint training, after the groups were found."""

    class Stop(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("joint 3/"):
            raise Stop

    with pytest.raises(Stop):
        start_training(make_settings(SETTINGS), tmp_path / "run", echo=stop)
    with pytest.raises(RunError, match="is not finished; go on with: ssal train --resume"):
        ssal.load(tmp_path / "run")
    resumed = resume_training(tmp_path / "run")
    expected, got = (
        load_file(path / "model" / "model.safetensors") for path in (finished.path, resumed.path)
    )
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    rows = read_rows(tmp_path / "run" / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"] * 2


def test_a_run_goes_on_with_the_threads_that_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(line: str) -> None:
        if line.startswith("joint 1/"):
            raise KeyError(line)

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("ssal.training.threads.default_device", lambda: torch.device("cpu"))
    settings, said = make_settings(SETTINGS, {"epochs": 1, "groups": "2", "explanation_images": 0}), []
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with pytest.raises(KeyError):
            start_training(settings, tmp_path / "run", echo=stop)
        torch.set_num_threads(2)
        resume_training(tmp_path / "run", echo=said.append)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert any("resnet18_cifar, 1 thread, 32" in line for line in said)


def test_overwriting_replaces_the_run_and_nothing_else(tmp_path: Path) -> None:
    quick = make_settings(SETTINGS, {"epochs": 1, "groups": "5"})
    start_training(quick, tmp_path / "run")
    (tmp_path / "run" / "notes.txt").write_text("mine")
    start_training(make_settings(SETTINGS, {"epochs": 1, "groups": "2"}), tmp_path / "run", overwrite=True)
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"
    assert len(list((tmp_path / "run" / "groups").iterdir())) == 1


def test_wrong_settings_leave_no_folder(tmp_path: Path) -> None:
    for change, error, message in [
        ({"data": "digit"}, InputError, "did you mean 'digits'"),
        ({"model": "resnet18_cifra"}, InputError, "did you mean .*'resnet18_cifar'"),
        ({"taps": "layer1,layr2,layer3"}, InputError, "unknown layer 'layr2'"),
        ({"taps": "layer1"}, InputError, "1 taps for 3 groupings"),
        ({"groups": "1"}, InputError, "1 groups asked for, but 10 classes allow 2 to 5"),
        ({"groups": "6"}, InputError, "6 groups asked for"),
        ({"layout": "cbr 8 | gap; light"}, InputError, "2 values for layout, but 3 branches"),
        ({"layout": "cbt 8 | gap"}, InputError, "unknown block 'cbt'"),
        ({"branch": {"weights": [1, 2]}}, InputError, "2 values for branch.weights"),
        ({"weights": "none.pt"}, RunError, "no weights file"),
        ({"batch_size": 33, "devices": 2}, InputError, "multiple of the 2 processes"),
    ]:
        with pytest.raises(error, match=message):
            start_training(make_settings(SETTINGS, change), tmp_path / "run")
        assert not (tmp_path / "run").exists(), change


def test_arrays_are_no_name_of_data(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"not ndarray; arrays become a data set by ssal\.data\.register_source$"
    ):
        ssal.train(np.zeros((4, 8, 8, 1), np.uint8), out=tmp_path / "run")  # pyright: ignore[reportArgumentType]
    assert not (tmp_path / "run").exists()


def test_a_time_budget_sets_the_epochs_for_good(tmp_path: Path) -> None:
    said: list[str] = []
    settings = make_settings(SETTINGS, {"epochs": None, "time_budget": 0.001})
    start_training(settings, tmp_path / "run", echo=said.append)
    assert any("fit the time budget" in line for line in said)
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["epochs"] == 1


@pytest.mark.parametrize(
    ("baseline_step", "given", "expected"),
    [(0.02, None, (10, 6.0)), (None, None, (16, 3.6)), (0.02, "same-time", (8, 7.2)), (0.02, 10, (10, 3.6))],
)
def test_a_time_is_for_all_that_is_trained(
    baseline_step: float | None, given: int | Literal["same-time"] | None, expected: tuple[int, float]
) -> None:
    epochs, seconds = epochs_in_time(1.0, 100, 0.03, baseline_step, given)
    assert (epochs, seconds) == (expected[0], pytest.approx(expected[1]))


def test_a_baseline_that_takes_all_the_time_is_refused(tmp_path: Path) -> None:
    settings = make_settings(SETTINGS, {"epochs": None, "time_budget": 0.001, "baseline_epochs": 1000})
    with pytest.raises(InputError, match="1000 epochs of the baseline leave no time .* in 0.001 minutes"):
        start_training(settings, tmp_path / "run")


@pytest.mark.parametrize(("given", "epochs"), [(3, 3), ("same-time", 4)])
def test_the_baseline_may_have_epochs_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: int | str, epochs: int
) -> None:
    monkeypatch.setattr("ssal.run.job.step_ratio", lambda *_: 2.2)
    said: list[str] = []
    settings = make_settings(SETTINGS, {"epochs": 2, "baseline_epochs": given, "explanation_images": 0})
    run = start_training(settings, tmp_path / "run", echo=said.append)
    with (run.path / "metrics.csv").open() as file:
        stages = [row["stage"] for row in csv.DictReader(file)]
    assert stages == ["baseline"] * epochs + ["joint"] * 2
    assert yaml.safe_load((run.path / "config.yaml").read_text())["baseline_epochs"] == epochs
    assert any("4 epochs of the baseline for 2 with branches" in line for line in said) == (given != 3)
    # What was decided is what a run goes on with.
    resume_training(run.path, changes=[{"baseline_epochs": "same-time"}] if given != 3 else [])
    with pytest.raises(RunError, match=f"baseline_epochs was {epochs}, asked 9"):
        resume_training(run.path, changes=[{"baseline_epochs": 9}])


def test_weights_from_a_file_are_used_and_reported(finished: ssal.Run, tmp_path: Path) -> None:
    said: list[str] = []
    settings = make_settings(
        SETTINGS, {"weights": str(finished.path / "model" / "model.safetensors"), "epochs": 1, "lr": 1e-6}
    )
    run = start_training(settings, tmp_path / "run", echo=said.append)
    assert any("122 of 122 tensors loaded; unused: " in line for line in said), said
    # At this rate of learning, an epoch from random weights stays near one in ten.
    assert run.metrics["baseline"]["top1"] > 60


def test_a_grouping_file_for_other_classes_is_refused(tmp_path: Path) -> None:
    ssal.Grouping.random(12, 3, seed=0).save(tmp_path / "groups.json")
    with pytest.raises(InputError, match="groups 12 classes, the data have 10"):
        start_training(make_settings(SETTINGS, {"groups": str(tmp_path / "groups.json")}), tmp_path / "run")


def test_groups_from_a_file_are_used_as_they_are(tmp_path: Path) -> None:
    grouping = ssal.Grouping.from_labels([0, 1, 0, 1, 0, 1, 0, 1, 2, 2])
    grouping.save(tmp_path / "own.json")
    settings = make_settings(SETTINGS, {"groups": str(tmp_path / "own.json"), "epochs": 1})
    start_training(settings, tmp_path / "run")
    saved = ssal.Grouping.load(tmp_path / "run" / "groups" / "layer3.json")
    assert saved.labels.tolist() == grouping.labels.tolist()


def test_default_groups_are_always_allowed() -> None:
    for classes in range(2, 300):
        heads = heads_of(default_groups(classes))
        check_groups([head.item for head in heads], [str(number) for number in range(classes)])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").write_text("{"), "no description of a model"),
        (lambda folder: (folder / "config.json").unlink(), r"config\.json is missing"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot read weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 100), "cannot read weights"),
        (lambda folder: _edit(folder, "fc.weight", None), "is missing from"),
        (lambda folder: _edit(folder, "fc.weight", torch.zeros(10, 3)), r"has shape \(10, 3\)"),
        (lambda folder: _edit(folder, "extra", torch.zeros(1)), "is not expected in"),
        (lambda folder: _describe(folder, format=2), "reads format 1"),
        (lambda folder: _describe(folder, class_names=["a"]), "names 1 classes for 10 outputs"),
        (lambda folder: _describe(folder, unknown=1), "no description of a model: unknown"),
    ],
)
def test_a_damaged_model_is_never_loaded(
    finished: ssal.Run, tmp_path: Path, damage: object, message: str
) -> None:
    shutil.copytree(finished.path / "model", tmp_path / "model")
    damage(tmp_path / "model")
    with pytest.raises(RunError, match=message):
        ssal.load(tmp_path)


def _edit(folder: Path, name: str, value: torch.Tensor | None) -> None:
    state = load_file(folder / "model.safetensors")
    key = f"backbone.{name}"
    if value is None:
        del state[key]
    else:
        state[key] = value
    save_file(state, folder / "model.safetensors")


def _describe(folder: Path, **changes: object) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | changes))


def test_a_shared_model_cannot_choose_what_is_imported(finished: ssal.Run, tmp_path: Path) -> None:
    shutil.copytree(finished.path / "model", tmp_path / "model")
    content = json.loads((tmp_path / "model" / "config.json").read_text())
    content["backbone"]["name"] = "os:getcwd"
    (tmp_path / "model" / "config.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match="to allow it, pass it as backbone"):
        ssal.load(tmp_path)


def test_a_second_run_in_the_same_folder_is_refused_at_once(finished: ssal.Run) -> None:
    from ssal.directory import RunDirectory

    directory = RunDirectory(finished.path)
    with directory.locked(), pytest.raises(RunError, match="another process is working"), directory.locked():
        pass
    with directory.locked():
        pass


def test_baseline_weights_are_kept(finished: ssal.Run) -> None:
    state = load_state(finished.path / "checkpoints" / "baseline.ckpt")
    assert "backbone.conv1.weight" in state


def test_log_tells_the_time_of_each_line(finished: ssal.Run) -> None:
    lines = (finished.path / "train.log").read_text().splitlines()
    assert all(line[:4].isdigit() and line[10] == " " for line in lines)
    with (finished.path / "metrics.csv").open() as file:
        assert next(csv.reader(file))[:2] == ["stage", "epoch"]
