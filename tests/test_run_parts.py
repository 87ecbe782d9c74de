"""What training images are used for: the calibration part is seen by nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssal.config import make_settings
from ssal.errors import DataError, InputError
from ssal.run.parts import split_training_data
from ssal.run.prepare import prepare


@given(st.lists(st.integers(2, 40), min_size=1, max_size=12), st.floats(0.02, 0.9), st.integers(0, 2**31 - 1))
@settings(max_examples=100, deadline=None)
def test_each_image_has_one_use_and_each_class_is_held_out(sizes, share, seed):
    targets = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    parts = split_training_data(targets, share, seed)
    together = np.concatenate([parts.fitting, parts.heldout, parts.calibration])
    assert sorted(together) == list(range(len(targets)))
    assert sorted([*parts.known, *parts.calibration]) == list(range(len(targets)))
    per_class = [
        np.bincount(targets[part], minlength=len(sizes)) for part in (parts.heldout, parts.calibration)
    ]
    assert (per_class[0] > 0).all()
    # Halves, as far as whole images allow it; a single one is not for calibration.
    assert (np.abs(per_class[0] - per_class[1]) <= 1).all()
    assert (per_class[1][per_class[0] + per_class[1] > 1] > 0).all()
    for part in (parts.fitting, parts.heldout, parts.calibration, parts.known):
        assert (np.diff(part) > 0).all() and part.dtype == np.int64


def test_the_parts_follow_from_the_seed():
    targets = np.arange(400) % 7
    same = [split_training_data(targets, 0.3, seed).calibration.tolist() for seed in (3, 3, 4)]
    assert same[0] == same[1] != same[2]
    # The images that train a network are those of a split without calibration.
    from ssal.data import holdout_split

    assert split_training_data(targets, 0.3, 3).fitting.tolist() == holdout_split(targets, 0.3, 3)[0].tolist()


def test_one_held_out_image_of_each_class_leaves_none_to_calibrate_on():
    parts = split_training_data([0, 0, 1, 1, 2, 2], 0.1, seed=0)
    assert len(parts.heldout) == 3 and len(parts.calibration) == 0
    mixed = split_training_data([0] * 2 + [1] * 40, 0.1, seed=0)
    assert len(mixed.calibration) >= 1 and set(mixed.calibration) <= set(range(2, 42))


def test_bad_shares_and_single_images_are_named():
    with pytest.raises(InputError, match="between 0 and 1"):
        split_training_data([0, 0, 1, 1], 1.0, seed=0)
    with pytest.raises(DataError, match="class 'cat' has a single image"):
        split_training_data([0, 0, 1], 0.5, seed=0, class_names=["dog", "cat"])


def test_a_job_has_the_parts_and_says_how_many():
    job = prepare(make_settings({"data": "digits", "width": 4, "groups": "2", "epochs": 1}))
    counts = [len(part) for part in (job.fitting, job.heldout, job.calibration)]
    assert sum(counts) == len(job.data.train) and len(job.known) == counts[0] + counts[1]
    assert job.describe_data() == (
        f"digits: {counts[0]:,} images to train on, {counts[1] + counts[2]} held out ({counts[1]} to fit "
        f"exponents, {counts[2]} to calibrate), 359 to test on, 10 classes"
    )
    assert set(np.unique(job.heldout.targets)) == set(np.unique(job.calibration.targets)) == set(range(10))
