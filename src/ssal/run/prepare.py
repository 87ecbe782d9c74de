"""From settings to a training that is ready to start: whatever can be checked is checked here."""

from __future__ import annotations

from dataclasses import replace

from ssal.backbones import PublishedInput, create_backbone, list_backbones, published_input
from ssal.config import Settings
from ssal.data import FileIndex, Interpolation, Preprocess, draw_per_class, open_data
from ssal.run.backbone import BackboneSpec
from ssal.run.heads import heads_of, layouts_of, taps_of, weights_of
from ssal.run.job import Job
from ssal.run.parts import split_training_data
from ssal.run.resolve import check_confusion, check_groups, default_groups, with_data_defaults
from ssal.training import check_loggers


def _published(settings: Settings) -> PublishedInput | None:
    """What the weights that a training starts from expect of images, if they are published ones."""
    return published_input(settings.model) if settings.pretrained else None


def interpolation_of(settings: Settings) -> Interpolation:
    """How images of another size are resized: as for the published weights that a training starts from."""
    published = _published(settings)
    return "bilinear" if published is None else published.interpolation


def _as_published(preprocess: Preprocess, published: PublishedInput) -> Preprocess:
    """The values that published weights were trained with; what is not cropped stays whole."""
    mean, std = published.normalisation(preprocess.channels)
    share = published.crop_share if preprocess.crop_share < 1 else 1.0
    return replace(preprocess, mean=mean, std=std, crop_share=share)


def prepare(settings: Settings, index: FileIndex | None = None) -> Job:
    """Open the data and check everything that can be checked before the first step.

    Args:
        settings: what to train, on what.
        index: what is known of the files of the data from before; what is found is added to it.

    Raises:
        DataError: the data cannot be used.
        InputError: model, taps, layouts or groups are not known, or do not fit the data or each other.
    """
    check_loggers(settings.logger)
    settings = with_data_defaults(settings, settings.model in list_backbones())
    published = _published(settings)
    data = open_data(
        settings.data,
        data_dir=settings.data_dir,
        image_size=settings.image_size,
        interpolation=interpolation_of(settings),
        skip_bad=settings.skip_bad,
        index=index,
    )
    data_seed = settings.seed if settings.data_seed is None else settings.data_seed
    if settings.images_per_class is not None:
        chosen = draw_per_class(data.train.targets, settings.images_per_class, data_seed)
        data = replace(data, train=data.train.select(chosen))
    classes = len(data.class_names)
    branches = default_groups(classes) if settings.groups == "auto" else settings.groups
    heads = heads_of(branches)
    items = [head.item for head in heads]
    check_groups(items, data.class_names, data.hierarchy)
    check_confusion(settings, items, classes)
    backbone = BackboneSpec(
        name=settings.model,
        num_classes=classes,
        in_chans=data.channels,
        input_size=data.image_size,
        width=settings.width,
    )
    network = create_backbone(
        backbone.name,
        classes,
        in_chans=backbone.in_chans,
        input_size=backbone.input_size,
        width=backbone.width,
    )
    if published is not None:
        data = replace(data, preprocess=_as_published(data.preprocess, published))
    parts = split_training_data(data.train.targets, settings.holdout, data_seed, class_names=data.class_names)
    job = Job(
        settings=settings,
        data=data,
        fitting=data.train.select(parts.fitting),
        heldout=data.train.select(parts.heldout),
        calibration=data.train.select(parts.calibration),
        known=data.train.select(parts.known),
        backbone=backbone,
        heads=heads,
        taps=taps_of(network, (data.channels, *data.image_size), settings.taps, heads),
        layouts=layouts_of(settings.layout, heads),
        weights=weights_of(settings.branch.weights, heads),
    )
    # A trial with arbitrary groups: taps and layouts must fit before hours go into a baseline.
    job.make_model(job.blank_groupings())
    job.train_loader()(rank=0, world_size=settings.devices)
    return job
