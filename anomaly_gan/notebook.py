"""Generation with NumPy arrays in and out, for notebooks and other programs; `anomaly_gan` hands these names on."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from anomaly_gan.config import GenerationConfig, MaskConfig
from anomaly_gan.generation.description import DESCRIPTION, WEIGHTS
from anomaly_gan.generation.generate import draw, seed_of_drawing
from anomaly_gan.generation.paste import paste
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.generation.snapshot import Snapshot, load_snapshot
from anomaly_gan.masks.pool.pool import MaskPool
from anomaly_gan.metrics import mask_change
from anomaly_gan.metrics.mask_change import MeasureSummary, summarise
from anomaly_gan.samples.arrays import abnormal_samples, normal_samples
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError, NotFoundError, UsageError

_DEFAULTS = GenerationConfig()


@dataclass(frozen=True)
class GeneratedImages:
    """Generated images with their masks, and what they were made from.

    Attributes:
        images: [N, S, S] or [N, S, S, 3] uint8, the finished images.
        masks: [N, S, S] uint8 {0, 1}, 1 = anomaly.
        normals: as `images`, the views of normal pictures that they began with.
        raw: as `images`, what the generator drew, before the normal picture was put back around the masks.
        feather_px: farther than this from its mask, an image has the pixels of its normal picture.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    normals: NDArray[np.uint8]
    raw: NDArray[np.uint8]
    feather_px: int


def load_generator(folder: Path | str) -> Snapshot:
    """The model that a train job made, on the CPU and ready to generate; `.generator.cuda()` moves it to a GPU.

    Args:
        folder: holds `generator.safetensors` and `model.json`, as does `model` of what `agan results pull` writes.

    Raises:
        NotFoundError: one of them is not there.
        DataError: one is damaged, or they do not belong together.
    """
    weights, description = Path(folder, WEIGHTS), Path(folder, DESCRIPTION)
    for file in (weights, description):
        if not file.is_file():
            raise NotFoundError(
                f"{folder}: has no {file.name}; name the folder `model` of what `agan results pull` writes"
            )
    return load_snapshot(weights.read_bytes(), description.read_bytes(), str(folder), torch.device("cpu"))


def place_masks(
    model: Snapshot,
    pool: MaskPool,
    pictures: Iterable[NDArray[np.uint8]],
    count: int,
    *,
    seed: int = 0,
    rules: MaskConfig | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Choose normal pictures and place elements of the pool in them, as a generate job does.

    Args:
        model: its view says what is cut out of a picture: a window at native scale, or the whole frame.
        pictures: normal ones, [H, W] grey or [H, W, 3] RGB uint8 each; of the view's size where it is the whole frame.
        count: how many masks to place, at least 1.
        seed: decides the pictures, the windows and the places. The first masks stay the same when `count` grows.
        rules: how elements are placed; None = as when the model was trained.

    Returns:
        The views, [count, S, S] or [count, S, S, 3] uint8, and their masks, [count, S, S] uint8 {0, 1}.

    Raises:
        DataError: a picture does not fit, or none has room for what the rules ask for.
        UsageError: there is nothing to place, or the rules ask for a contrast, which only generate jobs give.
    """
    rules = model.config.masks if rules is None else rules
    if rules.contrast != "any":
        raise UsageError(f"rules.contrast: only generate jobs set it, got {rules.contrast!r}; leave it at 'any'")
    if count < 1:
        raise UsageError(f"count: expected at least 1, got {count}")
    normals = normal_samples(pictures)
    if model.view.kind == "whole":
        _check_size(normals, model.view.size)
    plan = GenerationPlan(normals, pool, model.view, rules, GenerationConfig(seed=seed))
    placed = [plan.planned(index).mask for index in range(count)]
    return np.stack([one.view.image for one in placed]), np.stack([one.mask for one in placed])


def generate(
    model: Snapshot,
    views: Iterable[NDArray[np.uint8]],
    masks: Iterable[NDArray[Any]],
    *,
    seed: int = 0,
    feather_px: int = _DEFAULTS.feather_px,
) -> GeneratedImages:
    """Draw an anomaly into each view, where its mask says.

    The first try of each is taken; unlike a generate job, nothing judges it.

    Args:
        views: of normal pictures, [S, S] grey or [S, S, 3] RGB uint8 each, where S is the side of the model's view.
        masks: [S, S] each, bool, or uint8 of {0, 1} or {0, 255}: those of `place_masks`, or your own.
        seed: decides, with the number of the image, what is left to chance: another one gives other anomalies.
        feather_px: width of the blend around a mask, 0..64; 0 = a hard edge.

    Raises:
        DataError: an array is of another shape or type, a mask is empty, or their numbers differ.
    """
    config = GenerationConfig(feather_px=feather_px)
    samples = abnormal_samples(views, masks, model.class_name)
    _check_size(samples, model.view.size)
    normals, where = [one.image for one in samples], [one.masks[model.class_name] for one in samples]
    raw: list[NDArray[np.uint8]] = []
    for start in range(0, len(samples), config.batch_size):
        batch = slice(start, start + config.batch_size)
        seeds = [seed_of_drawing(seed, number) for number in range(start, start + len(normals[batch]))]
        raw += [one.image for one in draw(model.generator, normals[batch], where[batch], seeds, nullcontext())]
    images = [paste(*each, feather_px) for each in zip(normals, raw, where, strict=True)]
    return GeneratedImages(np.stack(images), np.stack(where), np.stack(normals), np.stack(raw), feather_px)


def measure(made: GeneratedImages) -> dict[str, MeasureSummary]:
    """Mean, median and count of every measure of `MaskChange` over the images: what was changed, and where."""
    each = zip(made.normals, made.raw, made.images, made.masks, strict=True)
    return summarise([mask_change.measure(*arrays, made.feather_px) for arrays in each])


def _check_size(samples: Sequence[Sample], size: int) -> None:
    for number, (height, width) in enumerate(sample.image.shape[:2] for sample in samples):
        if (height, width) != (size, size):
            raise DataError(
                f"picture {number}: is {width}x{height} px, and the model's view is {size}x{size}; cut or resize it"
            )
