"""Puts what was generated back into its view, and the view into the frame that it was cut from."""

from dataclasses import replace
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.masks.placing.planning import PlannedMask
from anomaly_gan.samples.sample import Sample
from anomaly_gan.samples.views import cut_window

Pixels = TypeVar("Pixels", bound=np.generic)


def paste(
    normal: NDArray[np.uint8], raw: NDArray[np.uint8], mask: NDArray[np.uint8], feather_px: int, gain: float = 1.0
) -> NDArray[np.uint8]:
    """The generated pixels in the mask, the normal ones beyond the feather, a blend between.

    Args:
        normal, raw: [H, W] or [H, W, 3] uint8.
        mask: [H, W] uint8 {0, 1}.
        feather_px: distance from the mask at which the normal image is untouched again; 0 = a hard edge.
        gain: what the generated change is multiplied by.

    Returns:
        Of the same shape as `normal`, a copy.
    """
    pasted = normal.copy()
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return pasted
    # the mask is a small part of the picture, and beyond its box and the feather nothing changes
    near = np.s_[
        max(top - feather_px, 0) : top + height + feather_px, max(left - feather_px, 0) : left + width + feather_px
    ]
    distance = cv2.distanceTransform(1 - mask[near], cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # [h, w] 1 in the mask, then falling linearly; beyond the feather exactly 0, so that pixels there stay untouched
    alpha = np.clip(1 - distance / (feather_px + 1), 0, 1)
    alpha[distance > feather_px] = 0
    if normal.ndim == 3:
        alpha = alpha[:, :, None]
    before = normal[near].astype(np.float32)
    blended = before + (raw[near].astype(np.float32) - before) * (gain * alpha)
    # rounded: truncation would make the picture darker
    pasted[near] = np.rint(np.clip(blended, 0, 255))
    return pasted


def centred(planned: PlannedMask, normal: Sample) -> PlannedMask:
    """The same mask at the same place of its picture, in a window that has the mask in its middle.

    Where the frame goes on beyond the window, a border of the window must not cut the feather. In the middle the mask
    has the most room on each side. At a border of the frame the window ends with the frame.
    """
    size = len(planned.mask)
    frame_height, frame_width = normal.image.shape[:2]
    old_left, old_top, _ = planned.view.meta["window"]
    x, y, width, height = cv2.boundingRect(planned.mask)
    left = _start(old_left + x + width // 2, frame_width, size)
    top = _start(old_top + y + height // 2, frame_height, size)
    right, down = old_left - left, old_top - top
    window = Sample(
        normal.key, cut_window(normal.image, top, left, size), meta={**normal.meta, "window": [left, top, size]}
    )
    # only empty rows and columns come round the edge, because the new window holds the whole mask
    moved = np.roll(planned.mask, (down, right), axis=(0, 1))
    placements = tuple(replace(one, left=one.left + right, top=one.top + down) for one in planned.placements)
    return PlannedMask(window, moved, placements, planned.rationality)


def _start(middle: int, length: int, size: int) -> int:
    """Where a window of `size` around `middle` begins in a frame of `length`."""
    return min(max(middle - size // 2, 0), max(length - size, 0))


def into_frame(frame: NDArray[Pixels], window: NDArray[Pixels], left: int, top: int) -> NDArray[Pixels]:
    """A copy of the frame with the window in its place; what a window has beyond a smaller frame is left out."""
    whole = frame.copy()
    place = whole[top : top + len(window), left : left + window.shape[1]]
    place[...] = window[: place.shape[0], : place.shape[1]]
    return whole
