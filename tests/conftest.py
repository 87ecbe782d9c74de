import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# A shell that starts tests in the background has them ignore Ctrl-C, and the children of tests with them.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

FolderMaker = Callable[..., Path]


@pytest.fixture
def cifar100_dir() -> Path:
    """The real CIFAR-100 as Parquet files, where the folder of shared data lies beside the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data" / "cifar100"
    if not (folder / "train.parquet").is_file():
        pytest.skip("needs CIFAR-100 as Parquet files in ../shared/data/cifar100")
    return folder


@pytest.fixture
def image_folder(tmp_path: Path) -> FolderMaker:
    """Make class folders of noisy images, a brightness per class: image_folder("x/train", {"cat": 3})."""

    def make(
        name: str,
        counts: dict[str, int],
        *,
        size: tuple[int, int] = (12, 12),
        suffix: str = ".png",
        mode: str = "RGB",
    ) -> Path:
        root = tmp_path / name
        for label, (class_name, count) in enumerate(counts.items()):
            folder = root / class_name
            folder.mkdir(parents=True)
            for number in range(count):
                rng = np.random.default_rng([label, number])
                level = 255 * (label + 1) // (len(counts) + 1)
                pixels = np.clip(rng.normal(level, 20, (size[1], size[0], 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).convert(mode).save(folder / f"{number:03}{suffix}")
        return root

    return make
