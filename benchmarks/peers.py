"""The training loops that people use today, on the same network, images and batch size as ours."""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from material import MEAN, STD
from PIL import Image
from timm.data.loader import create_loader
from timm.optim import create_optimizer_v2
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from ssal.data import ArraySet
from ssal.training import Precision

_CROP = 5


class _Pictures(Dataset[Any]):
    """Images as PIL images through a transform, as torchvision's own data sets hand them out."""

    def __init__(self, data: ArraySet, transform: Any = None) -> None:
        self.data, self.transform = data, transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Any:
        picture = Image.fromarray(self.data.pixels[index])
        return self.transform(picture) if self.transform else picture, int(self.data.targets[index])


def _torchvision_loader(data: ArraySet, batch_size: int, workers: int) -> DataLoader[Any]:
    transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=_CROP, padding_mode="reflect"),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    return DataLoader(
        _Pictures(data, transform),
        batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def plain_torch(
    network: nn.Module,
    data: ArraySet,
    batch_size: int,
    workers: int,
    criterion: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> Iterator[float]:
    """Images per second, epoch after epoch, of a loop in single precision with torchvision's transforms."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    loader = _torchvision_loader(data, batch_size, workers)
    network.train()
    while True:
        started, count = time.perf_counter(), 0
        for images, targets in loader:
            optimizer.zero_grad()
            loss = criterion(network(images), targets)
            loss.backward()
            optimizer.step()
            count += len(targets)
        yield count / (time.perf_counter() - started)


def timm_parts(
    network: nn.Module, data: ArraySet, batch_size: int, workers: int, precision: Precision
) -> Iterator[float]:
    """Likewise with timm's loader, augmentation and optimiser; for bfloat16 as `train.py --amp` has it."""
    loader = create_loader(
        _Pictures(data),
        (3, 32, 32),
        batch_size,
        is_training=True,
        use_prefetcher=False,
        no_aug=False,
        scale=(0.6, 1.0),
        hflip=0.5,
        mean=MEAN,
        std=STD,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    optimizer = create_optimizer_v2(network, opt="sgd", lr=0.1, momentum=0.9, weight_decay=5e-4)
    network.to(memory_format=torch.channels_last).train()
    while True:
        started, count = time.perf_counter(), 0
        for images, targets in loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                loss = F.cross_entropy(network(images.contiguous(memory_format=torch.channels_last)), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            count += len(targets)
        yield count / (time.perf_counter() - started)


class _Module(LightningModule):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch: Any, batch_index: int) -> Tensor:
        images, targets = batch
        return F.cross_entropy(self.network(images), targets)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)


def lightning_default(network: nn.Module, data: ArraySet, batch_size: int, workers: int) -> Iterator[float]:
    """Likewise with Lightning's `Trainer` as it comes, bar and logger switched off."""
    loader = _torchvision_loader(data, batch_size, workers)
    module = _Module(network)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    while True:
        with warnings.catch_warnings(), contextlib.suppress(KeyError):
            warnings.simplefilter("ignore")
            trainer = Trainer(
                accelerator="cpu",
                max_epochs=1,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            started = time.perf_counter()
            trainer.fit(module, loader)
        yield len(loader) * batch_size / (time.perf_counter() - started)
