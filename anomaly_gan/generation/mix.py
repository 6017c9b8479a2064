"""Several anomalies in one picture: what is made later keeps clear of what is there."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from anomaly_gan.masks.placing.planning import PlannedMask
from anomaly_gan.samples.sample import Sample
from anomaly_gan.samples.views import cut_window


def laid_onto(planned: PlannedMask, onto: Sample, feather_px: int) -> PlannedMask | None:
    """The same mask in the same view of a picture that has anomalies already; None where it would touch one.

    Args:
        planned: for the normal picture that `onto` was made from.
        onto: the whole picture, with the masks of all that is in it.
        feather_px: pixels up to this distance from the mask may change, so no other anomaly may have any there.
    """
    # [H, W] {0, 1}: everything anomalous in the picture, of whatever class
    taken = np.any(list(onto.masks.values()), axis=0).astype(np.uint8)
    # a square reaches at least as far as the round feather in every direction
    near = cv2.dilate(planned.mask, np.ones((2 * feather_px + 1, 2 * feather_px + 1), np.uint8))
    if np.logical_and(near, _view_of(taken, planned)).any():
        return None
    # the generator sees the anomalies that are there, so what it draws fits beside them
    return replace(planned, view=replace(planned.view, image=_view_of(onto.image, planned)))


def _view_of(picture: NDArray[np.uint8], planned: PlannedMask) -> NDArray[np.uint8]:
    """What the planned view shows of a whole picture or of its mask."""
    window = planned.view.meta.get("window")
    if window is None:
        return picture
    left, top, size = window
    return cut_window(picture, top, left, size)
