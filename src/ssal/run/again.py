"""Measure a finished run again, on its own test data or on other data with the same classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from ssal.config import make_settings, read_yaml
from ssal.data import TEST_SHARE, FileIndex, align_classes, eval_loader, open_data
from ssal.directory import RunDirectory
from ssal.errors import RunError
from ssal.files import write_bytes, write_json
from ssal.model import SSALModel
from ssal.run.backbone import build_backbone
from ssal.run.finish import costs, measure
from ssal.run.hierarchy import align_hierarchy, read_hierarchy
from ssal.run.results import format_table, predictions_table
from ssal.run.saved import load_model
from ssal.run.stages import read_baseline
from ssal.run.tables import format_calibration, format_promises, format_scores, format_severity
from ssal.training import collect_outputs


def _is_same(data: str, own: str) -> bool:
    """Whether data are those of the run, however their path is written."""
    paths = Path(data), Path(own)
    return data == own or (all(path.exists() for path in paths) and paths[0].samefile(paths[1]))


def _place(data: str) -> str:
    """Data as they are called wherever one stands: a name, or an absolute path."""
    return str(Path(data).expanduser().resolve()) if Path(data).expanduser().exists() else data


def evaluate_run(
    path: Path,
    *,
    data: str | None = None,
    data_dir: Path | None = None,
    hierarchy: Path | None = None,
    backbone: Callable[..., nn.Module] | None = None,
) -> str:
    """Measure a finished run; writes `predictions.parquet` and `metrics.json`.

    They go to its folder `eval/`, those on other data to `eval/NAME/`.

    Args:
        path: the run directory.
        data: name, folder or file of other data, whose test part is used, or all of it if it has none; the
            run's own data if None.
        data_dir: where the files of named data are; as in the run if None.
        hierarchy: JSON file with the superclass of each class; those that come with the data if None.
        backbone: function from `num_classes` to the backbone, where it is no named network.

    Returns:
        The result table, calibration, error detection and what is promised of the answers.

    Raises:
        RunError: the run is not finished, or its files are damaged.
        DataError: the data hold a class that the model does not know.
        InputError: the hierarchy cannot be used.
    """
    directory = RunDirectory(path)
    if directory.is_empty() or not directory.metrics.exists():
        raise RunError(f"no finished run in {path}")
    settings = make_settings(read_yaml(directory.config))
    saved = load_model(directory.model, backbone)
    given = None if hierarchy is None else read_hierarchy(hierarchy, saved.class_names)
    other = None if data is None or _is_same(data, settings.data) else data
    bundle = open_data(
        other or settings.data,
        # Data that nothing was trained on are measured as a whole.
        test_share=TEST_SHARE if other is None else 1.0,
        data_dir=data_dir or settings.data_dir,
        image_size=saved.preprocess.image_size,
        channels=saved.preprocess.channels,
        interpolation=saved.preprocess.interpolation,
        skip_bad=settings.skip_bad,
        # It is of the run's own data.
        index=FileIndex.load(directory.index) if other is None else None,
    )
    images = align_classes(bundle.test, saved.class_names)
    loader = eval_loader(images, saved.preprocess, batch_size=250, workers=settings.workers)
    plain, seen = None, collect_outputs(saved.model, loader)
    if settings.baseline:
        baseline = SSALModel(build_backbone(saved.backbone, backbone), [], saved.model.input_shape)
        plain = collect_outputs(read_baseline(directory.baseline, baseline), loader)
    above = given or align_hierarchy(bundle.hierarchy, bundle.class_names, saved.class_names)
    metrics, ways = measure(seen, saved, plain, above)
    table = predictions_table(seen.indices, seen.targets, ways, seen.outputs, saved.model, saved.class_names)
    name = bundle.name if other is None else _place(other)
    predictions = directory.predictions if other is None else directory.predictions_on(name)
    predictions.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(predictions, table)
    metrics |= costs(saved, {}, ways) | {"seconds": {}}
    write_json(predictions.with_name("metrics.json"), {"data": name} | metrics)
    parts = [
        "\n".join(bundle.notes),
        f"{bundle.name}: {len(images):,} images\n{format_table(metrics)}",
        format_calibration(metrics),
        format_scores(metrics),
        format_promises(metrics),
        format_severity(metrics),
        f"written: {predictions}",
    ]
    return "\n\n".join(part for part in parts if part)
