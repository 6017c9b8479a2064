"""Snapshot + normal images + mask pool -> synthetic samples; each a pure function of (plan, index)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from anomaly_gan.config import GenerationConfig, MaskConfig, ViewConfig
from anomaly_gan.data import Sample, from_planes, to_planes
from anomaly_gan.masks.planning import MaskPlanner, PlannedMask
from anomaly_gan.masks.pool import MaskPool
from anomaly_gan.masks.severity import Severity, contrast, gain_for
from anomaly_gan.metrics.mask_change import measure
from anomaly_gan.networks.generator import Generator
from anomaly_gan.tensors import to_model_range, to_uint8
from infra.errors import DataError

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

    def planned(self, index: int) -> "PlannedImage":
        """The view, the mask and how strong the anomaly is to be, of one index.

        Raises:
            DataError: no picture or no place takes an element; names what and why.
        """
        rng = np.random.default_rng([self.config.seed, index])
        normal = self._fitting[int(rng.integers(len(self._fitting)))]
        mask = self._planner.plan(normal, rng)
        if self.masks.contrast == "any":
            return PlannedImage(normal, mask, None)
        return PlannedImage(normal, mask, float(rng.uniform(*self.severity.limits("contrast", self.masks.contrast))))

    @cached_property
    def severity(self) -> Severity:
        if self.pool.severity is None:
            raise DataError(
                f"mask pool: knows no real contrasts of class {self.pool.class_name}; leave contrast at any"
            )
        return self.pool.severity

    @cached_property
    def _fitting(self) -> Sequence[Sample]:
        return self._planner.fitting(self.normals)

    @cached_property
    def _planner(self) -> MaskPlanner:
        return MaskPlanner(self.pool, self.view, self.masks)


@dataclass(frozen=True)
class PlannedImage:
    """One image before the generator.

    Attributes:
        normal: the picture that it begins with.
        mask: the view of it, and where the anomaly is to be.
        contrast: grey levels that the anomaly is to stand out by; None = as generated.
    """

    normal: Sample
    mask: PlannedMask
    contrast: float | None


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
    planned = [plan.planned(index) for index in indices]
    device = next(generator.parameters()).device
    images = torch.from_numpy(np.stack([to_planes(one.mask.view.image) for one in planned])).to(device)
    masks = torch.from_numpy(np.stack([one.mask.mask for one in planned])[:, None]).to(device)
    with torch.inference_mode():
        raw_planes = to_uint8(generator(to_model_range(images), masks.float())).cpu().numpy()
    return [_finished(plan, *each) for each in zip(indices, planned, raw_planes, strict=True)]


def _finished(plan: GenerationPlan, index: int, planned: PlannedImage, planes: NDArray[np.uint8]) -> Generated:
    view, mask = planned.mask.view, planned.mask.mask
    raw = from_planes(planes, gray=view.image.ndim == 2)
    gain, pasted = 1.0, paste(view.image, raw, mask, plan.config.feather_px)
    if planned.contrast is not None:
        gain = gain_for(view.image, pasted, mask, planned.contrast)
        pasted = paste(view.image, raw, mask, plan.config.feather_px, gain)
    meta = {
        "index": index,
        "seed": plan.config.seed,
        "class": plan.pool.class_name,
        "normal": planned.normal.key,
        "group": str(planned.normal.meta.get("group", planned.normal.key)),
        "window": view.meta.get("window"),
        "mask_area_px": cv2.countNonZero(mask),
        "placements": [asdict(placement) for placement in planned.mask.placements],
        "rationality": planned.mask.rationality,
        "severity": _severity(plan.pool, pasted, mask, gain),
        "measures": asdict(measure(view.image, raw, pasted, mask, plan.config.feather_px)),
    }
    sample = Sample(f"gen-{index:0{KEY_DIGITS}d}", pasted, {plan.pool.class_name: mask}, meta=meta)
    return Generated(sample, view.image, raw, mask)


def _severity(pool: MaskPool, image: NDArray[np.uint8], mask: NDArray[np.uint8], gain: float) -> dict[str, object]:
    """The thirds of the real images that the sample falls into, and what it was measured by."""
    levels = contrast(image, mask)
    known: dict[str, object] = {"contrast_levels": levels, "gain": gain}
    if pool.severity is not None:
        known["area"] = pool.severity.third("area_px", cv2.countNonZero(mask))
        known["contrast"] = pool.severity.third("contrast", levels)
    return known


def paste(
    normal: NDArray[np.uint8], raw: NDArray[np.uint8], mask: NDArray[np.uint8], feather_px: int, gain: float = 1.0
) -> NDArray[np.uint8]:
    """The generated pixels in the mask, the normal ones beyond the feather, a blend between.

    Args:
        normal, raw: [H, W] or [H, W, 3] uint8.
        mask: [H, W] uint8 {0, 1}.
        feather_px: distance from the mask at which the normal image is untouched again; 0 = a hard edge.
        gain: what the generated change is multiplied by.
    """
    distance = cv2.distanceTransform(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    alpha = np.clip(1 - distance / (feather_px + 1), 0, 1)
    alpha[distance > feather_px] = 0
    if normal.ndim == 3:
        alpha = alpha[:, :, None]
    before = normal.astype(np.float32)
    blended = before + (raw.astype(np.float32) - before) * (gain * alpha)
    return np.rint(np.clip(blended, 0, 255)).astype(np.uint8)
