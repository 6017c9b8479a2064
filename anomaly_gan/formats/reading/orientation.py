"""EXIF orientations: which way a camera was held, and what that does to the pixels it stored.

Annotation tools show, and annotate, a picture as its orientation turns it. Some programs write masks for the pixels as
they are stored instead; sizes tell the two apart wherever a side becomes the other one.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

UPRIGHT = 1
ORIENTATION_TAG = 0x0112
SWAPPING = (5, 6, 7, 8)
"""Orientations that make the height a width."""

Scalar = TypeVar("Scalar", bound=np.generic)


def orientation_of(image: Image.Image) -> int:
    """1 to 8 as EXIF counts them; 1, upright, where the picture says nothing that EXIF knows."""
    try:
        found = image.getexif().get(ORIENTATION_TAG, UPRIGHT)
    except Exception:  # a damaged EXIF block raises what its parser happens to meet; viewers pass it over as well
        return UPRIGHT
    return found if isinstance(found, int) and UPRIGHT < found <= 8 else UPRIGHT


def turned(pixels: NDArray[Scalar], orientation: int) -> NDArray[Scalar]:
    """[H, W, ...] as stored -> as shown; equal to what `PIL.ImageOps.exif_transpose` does to a picture."""
    if orientation in SWAPPING:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def unturned(pixels: NDArray[Scalar], orientation: int) -> NDArray[Scalar]:
    """The inverse of `turned`."""
    return turned(pixels, {6: 8, 8: 6}.get(orientation, orientation))


def stored_shape(shape: tuple[int, int], orientation: int) -> tuple[int, int]:
    """[H, W] as shown -> as stored, and the other way round."""
    return shape[::-1] if orientation in SWAPPING else shape
