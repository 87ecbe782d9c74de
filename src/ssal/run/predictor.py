"""Predictions of a trained model, with the groups that its branches saw."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ssal.data import IMAGE_SUFFIXES, in_chunks_ahead
from ssal.errors import DataError, InputError, RunError, unknown_name
from ssal.evidence import Evidence, MapSource, explain, find_sources
from ssal.joint import Exponents, Outputs, joint_log_prob
from ssal.run.decision import Decision, Rule, class_rule, group_rule
from ssal.run.saved import SavedModel, load_model
from ssal.selective import CONFIDENCE, Selector

Mode = Literal["joint", "main"]
_BATCH = 64


@dataclass(frozen=True)
class GroupPrediction:
    """What one branch says of an image.

    Attributes:
        tap: layer that the branch reads.
        group: number of the predicted group.
        members: names of the classes in that group.
        probability: probability of the group, 0–1.
        agrees: whether the predicted class is in the group.
    """

    tap: str
    group: int
    members: tuple[str, ...]
    probability: float
    agrees: bool


@dataclass(frozen=True)
class Prediction:
    """A class with its evidence.

    Attributes:
        class_name: the predicted class.
        class_index: its number.
        probability: its probability, 0–1.
        top: the five most probable classes with their probabilities.
        groups: what each branch says; empty in mode `main`.
        probabilities: of all classes, float32 [C].
        decision: what is answered under the promise of a predictor that made one; else None.
    """

    class_name: str
    class_index: int
    probability: float
    top: tuple[tuple[str, float], ...]
    groups: tuple[GroupPrediction, ...]
    probabilities: NDArray[np.float32] = field(repr=False, compare=False)
    decision: Decision | None = None

    @property
    def agreement(self) -> int:
        """Number of branches whose group holds the predicted class."""
        return sum(group.agrees for group in self.groups)


class Predictor:
    """Turns images into predictions.

    Args:
        saved: the model with its classes and preprocessing.
        mode: `joint` for the product of all parts, `main` for the main classifier alone.
        device: where to compute; the first GPU, else the CPU, if None.

    Attributes:
        rule: when to answer, with the promise behind it; None if every image is answered.
    """

    rule: Rule | None = None

    def __init__(self, saved: SavedModel, mode: Mode = "joint", device: str | None = None) -> None:
        self.mode = mode
        self.saved = saved
        self.class_names = saved.class_names
        self.preprocess = saved.preprocess
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        network = saved.model.release() if mode == "main" else saved.model
        self.network: nn.Module = network.to(self.device).eval()

    @property
    def exponents(self) -> Exponents:
        """η_0 and η_b of the joint prediction."""
        return self.saved.exponents

    def abstaining(self, risk: float, confidence: float = CONFIDENCE) -> Predictor:
        """The same predictor, which answers only where it is sure enough; see `Prediction.decision`.

        Of the answers given for images like those of training, at most a share `risk` is wrong; this fails
        with probability 1 - `confidence` at most, over the draw of the calibration images.

        Args:
            risk: allowed share of wrong answers, between 0 and 1.
            confidence: probability with which that holds, between 0 and 1.

        Raises:
            InputError: the risk cannot be guaranteed, and the message says which can be; or mode is `main`.
            RunError: the model has no calibration.
        """
        return self._with_rule(class_rule(self._selector(), risk, confidence))

    def backing_off(self, risk: float, confidence: float = CONFIDENCE) -> Predictor:
        """As `abstaining`, but where the class is unsure and a group of classes is not, that is the answer.

        A group is a wrong answer if it lacks the true class.
        """
        return self._with_rule(group_rule(self._selector(), risk, confidence))

    def _selector(self) -> Selector:
        if self.mode == "main":
            raise InputError("a promise on errors needs the branches; load the run in mode joint, not main")
        if self.saved.selector is None:
            raise RunError(
                "this model was saved without calibration, by an older version of ssal; "
                "train it again to get answers with a promise on their errors"
            )
        return self.saved.selector

    def _with_rule(self, rule: Rule) -> Predictor:
        other = copy.copy(self)
        other.rule = rule
        return other

    @torch.inference_mode()
    def outputs(self, images: Tensor) -> Outputs:
        """Logits of all parts for preprocessed images [N, C, H, W]; without groups in mode `main`."""
        result = self.network(images.to(self.device))
        return result if isinstance(result, Outputs) else Outputs(result)

    def log_prob(self, outputs: Outputs) -> Tensor:
        """Log-probabilities of the classes [N, C]: joint, or of the main classifier in mode `main`."""
        if self.mode == "main":
            return torch.log_softmax(outputs.main, dim=1)
        main, branches = self.exponents
        return joint_log_prob(outputs, self.saved.model.labels, branches, main)

    def predict(self, images: Any) -> Prediction | list[Prediction]:
        """Predict one image, or several.

        Args:
            images: a path, the bytes of an image file, PIL image, array [H, W] or [H, W, C], or tensor
                [C, H, W], of pixels 0–255 or 0–1; a folder, a sequence of these, an array [N, H, W, C] or a
                tensor [N, C, H, W] gives a list.

        Raises:
            DataError: an image cannot be read, or a folder holds none.
        """
        if isinstance(images, str | Path) and Path(images).is_dir():
            images = image_files([Path(images)])
        if (several := _as_list(images)) is not None:
            results = list(self.predict_each(several))
            for result in results:
                if isinstance(result, DataError):
                    raise result
            return [result for result in results if isinstance(result, Prediction)]
        return self._predict([self.preprocess(images)])[0]

    @cached_property
    def _map_sources(self) -> tuple[MapSource | None, ...]:
        # Found by trial runs, which take longer than the explanation of an image.
        return find_sources(self.saved.model)

    @overload
    def explain(self, images: list[Any] | tuple[Any, ...]) -> list[Evidence]: ...
    @overload
    def explain(self, images: str | Path | NDArray[Any] | Tensor | Image.Image) -> Evidence: ...
    def explain(self, images: Any) -> Evidence | list[Evidence]:
        """Take the prediction of one image, or of each in a list, apart: see `ssal.evidence.Evidence`.

        Args:
            images: a path, PIL image, array or tensor as `predict` takes it, or several, but no folder.

        Raises:
            DataError: an image cannot be read.
            InputError: the model was loaded in mode `main`, without its branches.
        """
        if self.mode == "main":
            raise InputError("an explanation needs the branches; load the run in mode joint, not main")
        several = _as_list(images)
        tensors = [self.preprocess(image) for image in ([images] if several is None else several)]
        if not tensors:
            return []
        batch = torch.stack(tensors).to(self.device)
        found = explain(self.saved.model, batch, self.exponents, self.class_names, sources=self._map_sources)
        return found[0] if several is None else found

    def predict_each(
        self, images: Iterable[Any], batch_size: int = _BATCH
    ) -> Iterator[Prediction | DataError]:
        """Predict image by image, batch-wise inside; an unreadable image gives its error in its place.

        Images are decoded in threads, those of a batch while the one before it is predicted.
        """
        for tensors in in_chunks_ahead(images, self._read, batch_size):
            good = [tensor for tensor in tensors if isinstance(tensor, Tensor)]
            predictions = iter(self._predict(good) if good else [])
            for tensor in tensors:
                yield next(predictions) if isinstance(tensor, Tensor) else tensor

    def _read(self, image: Any) -> Tensor | DataError:
        try:
            return self.preprocess(image)
        except DataError as error:
            return error

    def _predict(self, tensors: Sequence[Tensor]) -> list[Prediction]:
        outputs = self.outputs(torch.stack(list(tensors)))
        log_prob = self.log_prob(outputs)
        probabilities = log_prob.exp().float().cpu()
        groups = [torch.softmax(logits.float(), dim=1).cpu() for logits in outputs.groups]
        decisions = self._decide(outputs, log_prob)
        return [
            self._describe(probabilities[i], [group[i] for group in groups], decisions[i])
            for i in range(len(tensors))
        ]

    def _decide(self, outputs: Outputs, log_prob: Tensor) -> Sequence[Decision | None]:
        if self.rule is None:
            return [None] * len(log_prob)
        logits = Outputs(outputs.main.float().cpu(), tuple(group.float().cpu() for group in outputs.groups))
        return self.rule.decide(logits, log_prob.float().cpu(), self.saved.model.specs, self.class_names)

    def _describe(
        self, probabilities: Tensor, groups: Sequence[Tensor], decision: Decision | None
    ) -> Prediction:
        values, indices = probabilities.topk(min(5, len(self.class_names)))
        winner = int(indices[0])
        return Prediction(
            class_name=self.class_names[winner],
            class_index=winner,
            probability=float(values[0]),
            top=tuple(
                (self.class_names[index], value)
                for index, value in zip(indices.tolist(), values.tolist(), strict=True)
            ),
            groups=tuple(self._describe_group(number, group, winner) for number, group in enumerate(groups)),
            probabilities=probabilities.numpy(),
            decision=decision,
        )

    def _describe_group(self, number: int, probabilities: Tensor, winner: int) -> GroupPrediction:
        spec = self.saved.model.specs[number]
        group = int(probabilities.argmax())
        members = [int(member) for member in spec.grouping.members(group)]
        return GroupPrediction(
            tap=spec.tap,
            group=group,
            members=tuple(self.class_names[member] for member in members),
            probability=float(probabilities[group]),
            agrees=winner in members,
        )


def _as_list(images: Any) -> list[Any] | None:
    """The images one by one, if they are several."""
    if isinstance(images, Tensor | np.ndarray):
        return list(images) if images.ndim == 4 else None
    one = isinstance(images, str | bytes | bytearray | memoryview)
    return list(images) if isinstance(images, Sequence) and not one else None


def image_files(paths: Sequence[Path]) -> list[Path]:
    """Files as given, and the images inside folders in the order of their names.

    Raises:
        DataError: a path does not exist, or a folder holds no image.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
            if not found:
                raise DataError(f"no image in the folder {path}")
            files += found
        elif path.exists():
            files.append(path)
        else:
            raise DataError(f"no file or folder at {path}")
    return files


def load(
    run: str | Path,
    mode: Mode = "joint",
    *,
    backbone: Callable[..., nn.Module] | None = None,
    device: str | None = None,
) -> Predictor:
    """Load a trained model for prediction; only the `model/` folder of the run is read.

    Args:
        run: a run directory, or a `model/` folder.
        mode: `joint`, or `main` for the main classifier alone, at the cost of the bare backbone: the
            branches are neither read nor built.
        backbone: function from `num_classes` to the backbone, for models whose backbone is no named network.
        device: such as `cpu` or `cuda:1`; the first GPU, else the CPU, if None.

    Raises:
        RunError: there is no finished model, or its files are damaged.
        InputError: the mode is unknown.
    """
    if mode not in ("joint", "main"):
        raise unknown_name("mode", mode, ["joint", "main"])
    folder = Path(run)
    if not folder.is_dir():
        raise RunError(f"no run directory at {folder}")
    inner = folder / "model"
    if inner.is_dir():
        folder = inner
    elif (folder / "config.yaml").exists():
        raise RunError(f"the run in {folder} is not finished; go on with: ssal train --resume {folder}")
    return Predictor(load_model(folder, backbone, branches=mode == "joint"), mode, device)
