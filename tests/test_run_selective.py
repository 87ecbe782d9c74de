"""Calibration, abstaining and backing off of a trained run (digits), from Python and the command line."""

import contextlib
import csv
import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import brier_score_loss, roc_auc_score
from typer.testing import CliRunner

import ssal
from ssal.cli import main
from ssal.cli.app import app
from ssal.config import make_settings
from ssal.data import open_data
from ssal.errors import InputError, RunError
from ssal.run import evaluate_run, start_training
from ssal.run.saved import load_model
from ssal.run.verdict import verdict_lines

RISK = 0.2


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ssal.Run:
    settings = {"data": "digits", "width": 8, "groups": "2,5", "epochs": 5, "precision": "32"}
    made = make_settings(settings, {"holdout": 0.3, "batch_size": 32})
    return start_training(made, tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture(scope="module")
def test_images() -> list[np.ndarray]:
    data = open_data("digits").test
    return [data.image(index) for index in range(len(data))]


@pytest.fixture(scope="module")
def test_names() -> list[str]:
    data = open_data("digits").test
    return [data.class_names[target] for target in data.targets]


@pytest.fixture
def pictures(tmp_path: Path, test_images: list[np.ndarray]) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(40):
        Image.fromarray(test_images[number][..., 0]).save(folder / f"{number:02}.png")
    return folder


def command(*arguments: object) -> tuple[int, str, str]:
    """Exit status and what was printed."""
    out, err, argv, code = io.StringIO(), io.StringIO(), sys.argv, 0
    sys.argv = ["ssal", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    finally:
        sys.argv = argv
    return code, out.getvalue(), err.getvalue()


def test_calibration_is_measured_for_each_way(run: ssal.Run) -> None:
    found = run.metrics["calibration"]
    assert set(found) == {"baseline", "TR", "JP", "LC", "JP1", "TR_scaled"}
    for way, row in found.items():
        assert set(row) == {"nll", "ece", "brier", "reliability"}
        assert sum(row["reliability"]["count"]) == 359
        assert {len(values) for values in row["reliability"].values()} == {15}
        if way in run.metrics:
            assert row["nll"] == run.metrics[way]["nll"] and row["ece"] == run.metrics[way]["ece"]
            answered = [
                count * accuracy
                for count, accuracy in zip(
                    row["reliability"]["count"], row["reliability"]["accuracy"], strict=True
                )
                if count
            ]
            assert 100 * sum(answered) / 359 == pytest.approx(run.metrics[way]["top1"])
    # A temperature leaves the answers as they are.
    assert found["TR_scaled"]["nll"] != found["TR"]["nll"]
    assert json.loads((run.path / "metrics.json").read_text()) == run.metrics


def test_the_brier_score_is_that_of_the_predictions(run, test_images, test_names) -> None:
    predictions = run.predictor().predict(test_images)
    probabilities = np.stack([prediction.probabilities for prediction in predictions])
    names = run.predictor().class_names
    target = [names.index(name) for name in test_names]
    probabilities = probabilities.astype(float) / probabilities.sum(axis=1, dtype=float, keepdims=True)
    reference = brier_score_loss(target, probabilities, labels=np.arange(10), scale_by_half=False)
    assert run.metrics["calibration"]["JP"]["brier"] == pytest.approx(reference, abs=1e-4)


def test_scores_are_judged_on_the_test_images(run, test_images, test_names) -> None:
    found = run.metrics["selective"]
    predictions = run.predictor().predict(test_images)
    correct = [
        prediction.class_name == name for prediction, name in zip(predictions, test_names, strict=True)
    ]
    reference = roc_auc_score(correct, [prediction.probability for prediction in predictions])
    assert found["scores"]["JP"]["auroc"] == pytest.approx(reference, abs=2e-3)
    assert set(found["scores"]) >= {
        "baseline",
        "TR",
        "main",
        "energy",
        "JP",
        "margin",
        "entropy",
        "agreement",
    }
    assert found["best"] in found["scores"]
    for name, score in found["scores"].items():
        assert score["of"] == (name if name in ("baseline", "TR") else "JP")
        curve = score["risk_coverage"]
        assert len(curve["coverage"]) == len(curve["risk"]) <= 101
        assert curve["coverage"][-1] == 1
        assert 100 * (1 - curve["risk"][-1]) == pytest.approx(run.metrics[score["of"]]["top1"])
        assert 0 <= score["aurc"] <= 1
    assert set(found["gain"]) == {"baseline", "TR", "main"}


def test_what_is_promised_is_what_the_predictor_does(run, test_images, test_names) -> None:
    """The figures of metrics.json, found again by answering the test images one way and the other."""
    row = next(entry for entry in run.metrics["selective"]["guarantee"] if entry["risk"] == 0.1)
    wide = next(entry for entry in run.metrics["back_off"]["guarantee"] if entry["risk"] == 0.1)
    predictor = run.predictor()
    for entry, careful in ((row, predictor.abstaining), (wide, predictor.backing_off)):
        if not entry["possible"]:
            with pytest.raises(InputError, match="cannot be guaranteed"):
                careful(0.1)
            continue
        predictions = careful(0.1).predict(test_images)
        decisions = [prediction.decision for prediction in predictions]
        answered = [decision for decision in decisions if decision.abstained is None]
        wrong = [
            name not in decision.answer
            for decision, name in zip(decisions, test_names, strict=True)
            if decision.abstained is None
        ]
        # Batches of other sizes may change the last digit of a score.
        assert len(answered) == pytest.approx(entry["test_answered"], abs=1)
        assert sum(wrong) == pytest.approx(entry["test_wrong"], abs=1)
        assert np.mean([len(decision.answer) for decision in answered]) == pytest.approx(
            entry["test_size"], abs=0.01
        )


def test_the_curve_of_backing_off_runs_to_single_classes(run: ssal.Run) -> None:
    curve = run.metrics["back_off"]["curve"]
    coverage, single = ([point[name] for point in curve] for name in ("coverage", "single"))
    assert coverage == sorted(coverage) and single == sorted(single)
    assert curve[-1]["coverage"] == curve[-1]["single"] == curve[-1]["size"] == 1
    assert 100 * (1 - curve[-1]["risk"]) == pytest.approx(run.metrics["JP"]["top1"])
    assert max(point["size"] for point in curve) > 1
    assert len(curve) <= 101


def test_a_decision_says_what_and_why(run, test_images) -> None:
    predictions = run.predictor().backing_off(RISK).predict(test_images)
    groups = {
        branch.tap: [set(branch.grouping.members(group)) for group in range(branch.grouping.num_groups)]
        for branch in run.predictor().saved.model.specs
    }
    for prediction in predictions:
        decision = prediction.decision
        if decision.abstained is not None:
            assert decision.answer == () and "is needed" in decision.abstained
        elif decision.tap is None:
            assert decision.answer == (prediction.class_name,)
        else:
            assert {int(name) for name in decision.answer} in groups[decision.tap]
            assert decision.score.endswith("%")
    assert run.predictor().predict(test_images[0]).decision is None


def test_promises_need_the_branches_and_the_calibration(run: ssal.Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mode joint, not main"):
        ssal.load(run.path, mode="main").abstaining(RISK)
    shutil.copytree(run.path / "model", tmp_path / "old")
    (tmp_path / "old" / "selective.json").unlink()
    predictor = ssal.load(tmp_path / "old")
    assert predictor.predict(np.zeros((8, 8), np.uint8)).decision is None
    with pytest.raises(RunError, match="without calibration, by an older version.*train it again"):
        predictor.backing_off(RISK)
    with pytest.raises(InputError, match="share between 0 and 1"):
        run.predictor().abstaining(5)


@pytest.mark.parametrize("content", ["", "{}", '{"format": 2}', "[" * 100_000])
def test_a_damaged_selector_is_never_loaded(run: ssal.Run, tmp_path: Path, content: str) -> None:
    shutil.copytree(run.path / "model", tmp_path / "model")
    (tmp_path / "model" / "selective.json").write_text(content)
    with pytest.raises(RunError, match=r"selective\.json is damaged or of another version") as caught:
        ssal.load(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_the_model_folder_knows_what_came_of_the_promise(run: ssal.Run) -> None:
    selector = load_model(run.path / "model").selector
    assert selector is not None
    assert selector.classes.test is not None and selector.classes.test.images == 359
    assert "on 359 test images" in str(run.predictor().abstaining(RISK).rule.guarantee)


def test_measuring_again_gives_the_same_figures_and_more(run: ssal.Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    (tmp_path / "parity.json").write_text(json.dumps({str(k): "odd" if k % 2 else "even" for k in range(10)}))
    text = evaluate_run(tmp_path / "run", hierarchy=tmp_path / "parity.json")
    for part in ("Brier", "AUROC", "class or group", "mean severity of mistakes over 2 superclasses"):
        assert part in text
    again = json.loads((tmp_path / "run" / "eval" / "metrics.json").read_text())
    assert again["data"] == "digits"
    for key in ("selective", "back_off", "repairs", "JP"):
        assert again[key] == run.metrics[key]
    assert 1 <= again["severity"]["JP"] <= 2 and run.metrics["severity"] is None
    assert any("leave the true superclass" in line for line in verdict_lines(again))


def test_an_older_run_is_measured_without_promises(run: ssal.Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    (tmp_path / "run" / "model" / "selective.json").unlink()
    text = evaluate_run(tmp_path / "run")
    assert "no promise on errors" in text and "JP, all exponents 1" in text and "temperature" not in text
    metrics = json.loads((tmp_path / "run" / "eval" / "metrics.json").read_text())
    assert metrics["selective"]["guarantee"] == [] and metrics["selective"]["best"] == "JP"
    assert metrics["back_off"]["curve"] and metrics["back_off"]["guarantee"] == []


def test_the_table_of_a_run_ends_with_two_sentences(run: ssal.Run) -> None:
    lines = str(run).splitlines()
    assert "find errors" in lines[-2] or "Nothing can be said" in lines[-2]
    assert "of answers wrong" in lines[-1] or "guaranteed" in lines[-1]


def test_predict_abstains_on_the_command_line(run: ssal.Run, pictures: Path) -> None:
    code, out, err = command("predict", run.path, pictures, "--abstain", RISK)
    assert code == 0, err
    assert err.startswith("at most 20 % of the answers given are wrong, with 90 % confidence")
    records = [json.loads(line) for line in out.splitlines()]
    for record in records:
        assert (record["answer"] == [record["class"]]) == (record["abstained"] is None)
    table = pictures.parent / "rows.csv"
    code, out, err = command("predict", run.path, pictures, "--abstain", RISK, "--back-off", "--out", table)
    assert code == 0 and err == "" and out.startswith("at most 20 %")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    counts = [
        sum(" | " not in row["answer"] and row["answer"] != "" for row in rows),
        sum(" | " in row["answer"] for row in rows),
        sum(row["abstained"] != "" for row in rows),
    ]
    assert sum(counts) == 40
    groups = f", {counts[1]} with a group" if counts[1] else ""
    assert f"40 predictions in {table}: {counts[0]} with a class{groups}, {counts[2]} without" in out


def test_rows_without_a_promise_are_as_before(run: ssal.Run, pictures: Path) -> None:
    _, out, err = command("predict", run.path, pictures / "00.png")
    assert err == "" and not {"answer", "abstained"} & set(json.loads(out))


def test_sentences_say_what_is_answered(run: ssal.Run, test_images) -> None:
    from ssal.run.rows import _sentence, as_record

    for careful in (run.predictor().abstaining(RISK), run.predictor().backing_off(RISK)):
        for prediction in careful.predict(test_images):
            first = _sentence(as_record(Path("x.png"), prediction)).splitlines()[0]
            decision = prediction.decision
            if decision.abstained is not None:
                assert first.startswith("x.png: no answer: ") and "most probable: " in first
            elif len(decision.answer) > 1:
                assert first.startswith(f"x.png: one of {', '.join(decision.answer)}; most probable")
            else:
                assert first.startswith(f"x.png: {prediction.class_name}  ")


def test_evidence_is_written_beside_the_predictions(run: ssal.Run, pictures: Path) -> None:
    (pictures / "more").mkdir()
    shutil.copy(pictures / "00.png", pictures / "more" / "00.png")
    (pictures / "bad.png").write_text("no image")
    chosen = [pictures / "00.png", pictures / "more" / "00.png", pictures / "bad.png"]
    out = pictures.parent / "rows.jsonl"
    code, _, _ = command("predict", run.path, *chosen, "--explain", "--out", out)
    assert code == 1
    records = [json.loads(line) for line in out.read_text().splitlines()]
    folder = pictures.parent / "rows-explained"
    assert [record.get("explanation") for record in records] == [
        os.fspath(folder / "00" / "explain.png"),
        os.fspath(folder / "00-2" / "explain.png"),
        None,
    ]
    for record in records[:2]:
        assert Path(record["explanation"]).stat().st_size > 1000
        evidence = json.loads(Path(record["explanation"]).with_name("evidence.json").read_text())
        assert evidence["class"] == record["class"]
    code, _, _ = command("predict", run.path, pictures / "00.png", "--explain")
    assert code == 0 and (run.path / "explain" / "00" / "explain.png").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--abstain", 2], "did you mean 0.02, which is 2 %?"),
        (["--abstain", 0.0001], "the smallest that can be is 0.0"),
        (["--abstain", "nan"], "share between 0 and 1"),
        (["--back-off"], "--back-off needs --abstain RISK"),
        (["--abstain", 0.2, "--mode", "main"], "needs the branches"),
        (["--explain", "--mode", "main"], "--explain needs the branches"),
    ],
)
def test_what_cannot_be_asked_for_gets_one_line(run, pictures, arguments, part) -> None:
    code, out, err = command("predict", run.path, pictures / "00.png", *arguments)
    assert code == 2 and out == "" and len(err.strip().splitlines()) == 1
    assert err.startswith("ssal: ") and part in err


def test_eval_takes_a_hierarchy(run: ssal.Run, tmp_path: Path) -> None:
    (tmp_path / "h.json").write_text('{"0": "round"}')
    code, _, err = command("eval", run.path, "--hierarchy", tmp_path / "h.json")
    assert code == 2 and "lacks the class '1' and 8 more classes" in err
    assert "--hierarchy" in CliRunner().invoke(app, ["eval", "--help"]).output


def test_data_with_a_single_held_out_image_of_each_class_run_without_promises(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 2)):
        for label in range(4):
            folder = tmp_path / "data" / part / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(generator.normal(60 * label, 20, (8, 8)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    said: list[str] = []
    settings = make_settings(
        {"data": str(tmp_path / "data"), "width": 4, "groups": "2", "epochs": 1, "precision": "32"}
    )
    run = start_training(settings, tmp_path / "run", echo=said.append)
    assert any("4 held out (4 to fit exponents, 0 to calibrate)" in line for line in said)
    assert "no held-out image is left to calibrate on" in str(run)
    row = run.metrics["selective"]["guarantee"][0]
    assert not row["possible"] and row["images"] == 0 and run.metrics["selective"]["smallest_risk"] is None
    with pytest.raises(InputError, match="train with a larger --holdout"):
        run.predictor().abstaining(0.5)
    assert "cannot be promised" in evaluate_run(run.path)
