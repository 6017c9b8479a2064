"""Copy-paste, a rival without learning: a real anomaly's pixels, turned and scaled, laid into a normal picture.

It is what generated images must beat. Places, angles, scales and numbers are those that a generator would get, from the
same planner; the pixels are those of the pictures that the pool's elements were cut from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.generation.paste import paste
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.masks.placing.parts import Placement
from anomaly_gan.masks.placing.transform import turned_box
from anomaly_gan.masks.pool.pool import Element
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError

RING_PX = 5
"""Width of the surroundings whose mean grey the pasted pixels keep their distance from."""


@dataclass(frozen=True)
class CopyPaste:
    """Pastes the anomalies of a training split.

    Attributes:
        plan: where anomalies go; it takes prior elements alone, since an expert draws a shape and no pixels.
        abnormals: the pictures that the pool's elements were cut from.
    """

    plan: GenerationPlan
    abnormals: Sequence[Sample]

    def __post_init__(self) -> None:
        has_experts = any(element.is_expert for element in self.plan.pool.elements)
        assert not has_experts or self.plan.masks.pool == "prior_only"
        missing = {one.source for one in self.plan.pool.elements if not one.is_expert} - self._pictures.keys()
        if missing:
            raise DataError(
                f"copy-paste: {len(missing)} elements of the pool have no picture ({min(missing)}); use the pool"
                " of the training split"
            )

    def make(self, index: int) -> Sample:
        """The picture of an index, a pure function of plan and index."""
        planned = self.plan.planned(index).mask
        view = planned.view.image
        laid = view.copy()
        for placement in planned.placements:
            self._lay(laid, placement)
        image = paste(view, laid, planned.mask, self.plan.config.feather_px)
        return Sample(f"copy-paste-{index:08d}", image, {self.plan.pool.class_name: planned.mask})

    def _lay(self, view: NDArray[np.uint8], placement: Placement) -> None:
        """Put the pixels of one element, and of what surrounded it, over the view where the placement says."""
        element = self._elements[placement.element]
        source = self._pictures[element.source]
        is_fixed = self.plan.masks.pose == "fixed"
        turn, (left, top, width, height) = turned_box(
            element.mask, placement.angle_deg if not is_fixed else 0.0, placement.scale if not is_fixed else 1.0
        )
        if placement.cut is not None:
            left, top = left + placement.cut[0], top + placement.cut[1]
            width, height = placement.cut[2:]
        margin = self.plan.config.feather_px + RING_PX
        # from the source picture's pixels to those of a patch that is the placed box and a margin around it
        to_patch = turn.copy()
        to_patch[:, 2] += turn[:, :2] @ (-element.left, -element.top)
        to_patch[:, 2] += margin - left, margin - top
        size = width + 2 * margin, height + 2 * margin
        patch = cv2.warpAffine(source.image, to_patch, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        around = cv2.warpAffine(
            1 - source.masks[self.plan.pool.class_name], to_patch, size, flags=cv2.INTER_NEAREST, borderValue=(0.0,)
        )
        x, y = placement.left - margin, placement.top - margin
        rows, columns = (
            slice(max(start, 0), min(start + length, limit))
            for start, length, limit in ((y, size[1], view.shape[0]), (x, size[0], view.shape[1]))
        )
        inner = np.s_[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
        target = view[rows, columns]
        known = around[inner] > 0
        shifted = patch[inner].astype(np.float32)
        if known.any():
            # the anomaly keeps its contrast to what surrounds it, also on a brighter or darker picture
            shifted += target[known].mean(0) - patch[inner][known].mean(0)
        target[...] = np.rint(np.clip(shifted, 0, 255))

    @cached_property
    def _elements(self) -> Mapping[str, Element]:
        return {element.id: element for element in self.plan.pool.elements}

    @cached_property
    def _pictures(self) -> Mapping[str, Sample]:
        return {sample.key: sample for sample in self.abnormals}
