"""What surrounds a mask."""

import cv2
import numpy as np
from numpy.typing import NDArray

GAP_PX, RING_PX = 2, 8
"""Distances at which the surroundings of a mask begin and end; the anomaly's own soft edge lies before them."""


def surroundings(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """[H, W]: pixels farther than GAP_PX and at most RING_PX from the mask."""
    around = np.zeros(mask.shape, np.bool_)
    left, top, width, height = cv2.boundingRect(mask)
    near = np.s_[max(top - RING_PX, 0) : top + height + RING_PX, max(left - RING_PX, 0) : left + width + RING_PX]
    distance = cv2.distanceTransform(1 - mask[near], cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    around[near] = (distance > GAP_PX) & (distance <= RING_PX)
    return around
