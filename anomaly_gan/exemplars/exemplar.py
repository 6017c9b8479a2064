"""An example of what an anomaly looks like: one real anomaly with a margin of what is around it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from anomaly_gan.exemplars.direction import Direction
from anomaly_gan.exemplars.setting import Setting
from anomaly_gan.exemplars.surroundings import surroundings
from anomaly_gan.samples.contrast import contrast_to
from anomaly_gan.samples.instances import instance_masks
from anomaly_gan.samples.sample import Sample
from anomaly_gan.samples.tensors import to_model_range

MARGIN_PX = 12
"""What is kept around an anomaly: its surroundings are the level from which its contrast is taken."""
LEAST_PX = 4
"""A part of fewer pixels is a speck."""
OUTLINE_PX = 2
"""How far around a mask the picture is not taken for surroundings: outlines are drawn by hand."""
MOST = 64
"""More examples of a class show little that is new."""


@dataclass(frozen=True)
class Exemplar:
    """One real anomaly.

    Attributes:
        source: key of its picture.
        image: [h, w] or [h, w, 3] uint8, the anomaly and its margin, in which surroundings must be seen.
        mask: [h, w] uint8 {0, 1}.
    """

    source: str
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]

    @cached_property
    def contrast(self) -> NDArray[np.float32]:
        """[h, w, 1 or 3] in -1..1: how the picture differs from its smooth surroundings.

        A share of the way to black or white (`contrast_to`), so that it can be laid into a picture of any level.
        """
        planes = to_model_range(torch.from_numpy(np.atleast_3d(self.image).transpose(2, 0, 1))[None])
        smooth = surroundings(planes, torch.from_numpy(self.hidden.astype(np.float32))[None, None])
        return contrast_to(planes, smooth)[0].numpy().transpose(1, 2, 0)

    @cached_property
    def hidden(self) -> NDArray[np.uint8]:
        """[h, w] {0, 1}, where no surroundings are seen: the mask and OUTLINE_PX around it."""
        wide: NDArray[np.uint8] = cv2.dilate(self.mask, np.ones((2 * OUTLINE_PX + 1,) * 2, np.uint8)).astype(np.uint8)
        return wide

    @cached_property
    def depth(self) -> NDArray[np.float32]:
        """[h, w], see `signed_depth`."""
        return signed_depth(self.mask)

    @cached_property
    def area_px(self) -> int:
        return cv2.countNonZero(self.mask)

    @cached_property
    def setting(self) -> Setting | None:
        return Setting.of(self.image, self.mask)

    @cached_property
    def direction(self) -> Direction:
        return Direction.of(self.mask)

    @cached_property
    def by_depth(self) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """(depth, row, column), each [area_px], of the mask's pixels, the outermost first."""
        rows, columns = np.nonzero(self.mask)
        order = np.argsort(self.depth[rows, columns], kind="stable")
        return self.depth[rows, columns][order], rows[order], columns[order]

    def flipped(self, *, horizontal: bool, vertical: bool) -> "Exemplar":
        turn = np.s_[:: -1 if vertical else 1, :: -1 if horizontal else 1]
        return Exemplar(self.source, np.ascontiguousarray(self.image[turn]), np.ascontiguousarray(self.mask[turn]))

    def turned(self, degrees: float) -> "Exemplar":
        """Turned counter-clockwise; what comes into sight at the corners is mirrored."""
        height, width = self.mask.shape
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
        side = int(np.ceil(np.hypot(height, width)))
        turn[:, 2] += (side - width) / 2, (side - height) / 2
        # cubic, because linear interpolation would take a part of the texture
        image = cv2.warpAffine(self.image, turn, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        cover = cv2.warpAffine(self.mask * np.uint8(255), turn, (side, side), flags=cv2.INTER_LINEAR)
        mask = (cover >= min(128, int(cover.max()))).astype(np.uint8)
        return Exemplar(self.source, image.astype(np.uint8), mask)


def signed_depth(mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[h, w] distance in px to the mask's outline, above 0 within the mask; the border of the picture is no outline."""
    # a picture of one kind has no outline at all, and cv2 then gives a very large distance
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    depth: NDArray[np.float32] = (inside - outside).astype(np.float32)
    return depth


def cut_exemplars(samples: Iterable[Sample], class_name: str, most_px: int) -> tuple[Exemplar, ...]:
    """The anomalies of a class, at most `MOST`, of all sizes that there are.

    Args:
        samples: of the training split only; those without the class are passed over, and anomalies around which
            nothing is seen, from which they could differ.
        class_name: whose anomalies.
        most_px: largest side; of a larger anomaly a piece of its outline is taken, with what is on both sides.
    """
    cut = [
        _cut(sample, mask, most_px)
        for sample in samples
        if class_name in sample.masks
        for mask in instance_masks(sample, class_name)
        if cv2.countNonZero(mask) >= LEAST_PX
    ]
    cut = [one for one in cut if not one.hidden.all()]
    if len(cut) <= MOST:
        return tuple(cut)
    by_size = sorted(range(len(cut)), key=lambda i: (cut[i].area_px, i))
    chosen = {by_size[i] for i in np.linspace(0, len(cut) - 1, MOST).round().astype(int)}
    return tuple(cut[i] for i in sorted(chosen))


def _cut(sample: Sample, mask: NDArray[np.uint8], most_px: int) -> Exemplar:
    left, top, width, height = cv2.boundingRect(mask)
    y, x = top - MARGIN_PX, left - MARGIN_PX
    height, width = height + 2 * MARGIN_PX, width + 2 * MARGIN_PX
    if max(height, width) > most_px:
        outline = np.argwhere((mask > 0) & (cv2.erode(mask, np.ones((3, 3), np.uint8)) == 0))
        if not len(outline):  # the whole picture is anomalous
            outline = np.argwhere(mask)
        row, column = outline[len(outline) // 2]
        y, height = (row - most_px // 2, most_px) if height > most_px else (y, height)
        x, width = (column - most_px // 2, most_px) if width > most_px else (x, width)
    place = np.s_[max(y, 0) : y + height, max(x, 0) : x + width]
    return Exemplar(sample.key, sample.image[place].copy(), mask[place].copy())
