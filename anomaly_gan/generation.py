"""Snapshot + normal images + mask pool -> synthetic samples; each a pure function of (plan, index)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from anomaly_gan.config import GenerationConfig, MaskConfig, ViewConfig
from anomaly_gan.data import Sample, from_planes, to_model_range, to_planes, to_uint8
from anomaly_gan.masks.placement import place
from anomaly_gan.masks.pool import MaskPool
from anomaly_gan.metrics.mask_change import measure
from anomaly_gan.networks.generator import Generator
from anomaly_gan.views import take_view

KEY_DIGITS = 8


@dataclass(frozen=True)
class GenerationPlan:
    """What decides every image, before any network runs.

    Attributes:
        normals: the training split's normal samples, in the index's order.
        pool: elements of the class to generate.
    """

    normals: Sequence[Sample]
    pool: MaskPool
    view: ViewConfig
    masks: MaskConfig
    config: GenerationConfig


@dataclass(frozen=True)
class Generated:
    """One synthetic sample with what it was made from.

    Attributes:
        sample: the pasted image, its mask, and in `meta` its provenance and measures.
        normal: [H, W] or [H, W, 3] uint8, what it began with.
        raw: of the same shape, what the generator returned before pasting.
        mask: [H, W] uint8 {0, 1}.
    """

    sample: Sample
    normal: NDArray[np.uint8]
    raw: NDArray[np.uint8]
    mask: NDArray[np.uint8]


def generate(plan: GenerationPlan, indices: Sequence[int], generator: Generator) -> list[Generated]:
    """Make the images of these indices, in one forward pass."""
    planned = [_planned(plan, index) for index in indices]
    device = next(generator.parameters()).device
    images = torch.from_numpy(np.stack([to_planes(view.image) for view, _, _ in planned])).to(device)
    masks = torch.from_numpy(np.stack([mask for _, mask, _ in planned])[:, None]).to(device)
    with torch.inference_mode():
        raw_planes = to_uint8(generator(to_model_range(images), masks.float())).cpu().numpy()
    made = []
    for index, (view, mask, provenance), planes in zip(indices, planned, raw_planes, strict=True):
        raw = from_planes(planes, gray=view.image.ndim == 2)
        pasted = paste(view.image, raw, mask, plan.config.feather_px)
        measures = asdict(measure(view.image, raw, pasted, mask, plan.config.feather_px))
        meta = {**provenance, "measures": measures}
        sample = Sample(f"gen-{index:0{KEY_DIGITS}d}", pasted, {plan.pool.class_name: mask}, meta=meta)
        made.append(Generated(sample, view.image, raw, mask))
    return made


def _planned(plan: GenerationPlan, index: int) -> tuple[Sample, NDArray[np.uint8], dict[str, object]]:
    rng = np.random.default_rng([plan.config.seed, index])
    normal = plan.normals[int(rng.integers(len(plan.normals)))]
    view = take_view(normal, plan.view, rng, None)
    mask, placements = place(plan.pool, plan.view.size, plan.masks, rng)
    provenance = {
        "index": index,
        "seed": plan.config.seed,
        "class": plan.pool.class_name,
        "normal": normal.key,
        "group": str(normal.meta.get("group", normal.key)),
        "window": view.meta.get("window"),
        "mask_area_px": int(mask.sum()),
        "placements": [asdict(placement) for placement in placements],
    }
    return view, mask, provenance


def paste(
    normal: NDArray[np.uint8], raw: NDArray[np.uint8], mask: NDArray[np.uint8], feather_px: int
) -> NDArray[np.uint8]:
    """The generated pixels in the mask, the normal ones beyond the feather, a blend between.

    Args:
        normal, raw: [H, W] or [H, W, 3] uint8.
        mask: [H, W] uint8 {0, 1}.
        feather_px: distance from the mask at which the normal image is untouched again; 0 = a hard edge.
    """
    distance = cv2.distanceTransform(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    alpha = np.clip(1 - distance / (feather_px + 1), 0, 1)
    alpha[distance > feather_px] = 0
    if normal.ndim == 3:
        alpha = alpha[:, :, None]
    blended = raw.astype(np.float32) * alpha + normal.astype(np.float32) * (1 - alpha)
    return np.rint(blended).astype(np.uint8)
