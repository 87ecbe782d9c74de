"""A run that goes on neither lists its folders nor decodes its files to check them, as long as they hold."""

import time
from pathlib import Path

import pytest
from PIL import Image

from ssal.config import make_settings
from ssal.data import folder
from ssal.demo import samples
from ssal.directory import RunDirectory
from ssal.errors import DataError, RunError
from ssal.report import images
from ssal.report.reading import read_record
from ssal.run import evaluate_run, faithfulness, load, resume_training, start_training


def test_the_index_of_a_run(image_folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = image_folder("set/train", {"a": 12, "b": 12, "c": 12, "d": 12}, size=(90, 70)).parent
    image_folder("set/val", {"a": 2, "b": 2, "c": 2, "d": 2}, size=(90, 70))
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10**10)
    settings = {"data": str(root), "model": "resnet18_cifar", "width": 4, "groups": "2", "taps": "layer2"}
    more = {"epochs": 1, "batch_size": 8, "image_size": 24, "precision": "32", "workers": 0}
    # At 24 of 90×70 pixels they would be held in memory, and need no check.
    monkeypatch.setattr("ssal.data.settle.SMALL_SIDE", 8)
    path = tmp_path / "run"
    run = start_training(make_settings(settings | more | {"explanation_images": 0}), path)
    written = (path / "index.json").read_bytes()

    def forbidden(*_: object, **__: object) -> None:
        raise DataError("looked at again")

    with monkeypatch.context() as patch:
        patch.setattr(folder, "_scan", forbidden)
        patch.setattr("ssal.data.unreadable.open_image", forbidden)
        (path / "metrics.json").unlink()
        again = resume_training(path)
        assert again.metrics["JP"] == run.metrics["JP"]
        assert "JP" in evaluate_run(path)
        predictor = load(path, device="cpu")
        assert len(faithfulness._open(path, None).data(None).test) == 8
        assert len(samples._data(RunDirectory(path), predictor).test) == 8
        assert len(images._open(read_record(path), predictor)) == 8
        (path / "index.json").unlink()
        with pytest.raises(DataError, match="looked at again"):
            evaluate_run(path)
    (path / "index.json").write_bytes(written)
    # What has changed is noticed, and refused as without an index.
    Image.new("RGB", (90, 70)).save(root / "train" / "a" / "new.png")
    (path / "metrics.json").unlink()
    with pytest.raises(RunError):
        resume_training(path)
