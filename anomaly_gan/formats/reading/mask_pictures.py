"""Masks that come as pictures: what counts as one, and what is refused with what was found in it.

A mask has two levels, near 0 and near the highest, or 0 and 1, and between them at most the rim that drawing programs
smooth. Colours and numbers of classes have a meaning only where the user states it (`mask_colours`).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from anomaly_gan.formats.reading.frames import STORED_NOTE
from anomaly_gan.formats.reading.mask_colours import listed, split
from anomaly_gan.formats.reading.options import ReadingOptions
from anomaly_gan.formats.reading.orientation import UPRIGHT, Scalar, orientation_of, turned, unturned
from anomaly_gan.formats.reading.pictures import GREY_TOLERANCE, Decoded, opened
from anomaly_gan.samples.sample import MASK_THRESHOLD
from infra.errors import DataError

NEAR = 32
"""Levels of 8 bits that still count as black, and, from the other end, as white: what JPEG makes of either."""
RIM_PX = 4
"""How far the smoothed rim of a mask may reach from black to white."""
STRAY_SHARE = 0.15
"""Smoothed pixels beyond the rim, as faint strokes have, may be this share of the anomalous ones."""
FEW_LEVELS = 16
"""A picture of at most so many levels may be one of numbered classes."""
JPEG = ("JPEG", "MPO")
NORMAL_ADVICE = "draw it, or move the picture to the normal ones"
COLOUR_ADVICE = "say what each means with --mask-colour COLOUR=CLASS, or save the mask black and white"


@dataclass(frozen=True)
class Levels:
    """A mask picture before anybody says what is anomalous; everything as shown, turned by its own EXIF.

    Attributes:
        numbers: [H, W] grey levels, or indices of a palette; None for a picture of colours.
        pixels: [H, W, 3] RGB; None for a grey one.
        alpha: [H, W]; None where all pixels have the same.
        highest: level that white has.
        is_jpeg: black and white may be a few levels off.
        orientation: of EXIF.
    """

    numbers: NDArray[np.integer] | None
    pixels: NDArray[np.uint8] | None
    alpha: NDArray[np.uint8] | None
    highest: int
    is_jpeg: bool
    orientation: int


def decode_masks(
    data: bytes, name: str, picture: Decoded, folder: str, options: ReadingOptions, *, may_be_empty: bool = False
) -> tuple[dict[str, NDArray[np.uint8]], tuple[str, ...]]:
    """Decode a mask picture.

    Args:
        data: the file.
        name: how messages call it.
        picture: what it is the mask of.
        folder: the class that its place means.
        options: what colours mean, and whether pictures are turned.
        may_be_empty: a mask whose colours mean no class gives no label.

    Returns:
        Label -> [H, W] uint8 {0, 1} of the picture as shown, not empty; and what is worth telling.

    Raises:
        DataError: unreadable, of another size than its picture, empty, or no mask.
    """
    levels = _levels(data, name)
    masks = _masks(levels, name, folder, options, may_be_empty)
    return _fit(masks, levels.orientation, picture, name, options) if masks else ({}, ())


def decode_numbers(data: bytes, name: str, picture: Decoded, options: ReadingOptions) -> NDArray[np.uint16]:
    """The numbers of a palette or grey picture, [H, W] of its picture as shown; colours are numbered, black is 0.

    Raises:
        DataError: unreadable, or of another size than its picture.
    """
    levels = _levels(data, name)
    numbers = levels.numbers
    if levels.pixels is not None and numbers is None:
        codes = levels.pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        _, places = np.unique(np.append(codes, 0), return_inverse=True)  # with a 0, so that black is the first
        numbers = places[:-1].reshape(codes.shape)
    assert numbers is not None, "a mask has numbers or colours"
    shown, _ = _fit({"": numbers.astype(np.uint16)}, levels.orientation, picture, name, options)
    return shown[""]


def _levels(data: bytes, name: str) -> Levels:
    with opened(data, name) as stored:
        mode, rest = stored.mode, (stored.format in JPEG, orientation_of(stored))
        image = ImageOps.exif_transpose(stored)
        if mode in ("1", "L"):
            return Levels(np.asarray(image.convert("L")), None, _alpha(image), 255, *rest)
        if mode.startswith("I;16"):
            return Levels(np.asarray(image).astype(np.uint16), None, None, (1 << 16) - 1, *rest)
        if mode in ("P", "PA"):
            numbers = np.asarray(image if mode == "P" else image.getchannel(0))
            return Levels(numbers, np.asarray(image.convert("RGB")), _alpha(image), 255, *rest)
        if mode in ("RGB", "RGBA", "LA", "YCbCr"):
            pixels = np.asarray(image.convert("RGB"))
            if (pixels == pixels[..., :1]).all():
                return Levels(pixels[..., 1], None, _alpha(image), 255, *rest)
            return Levels(None, pixels, _alpha(image), 255, *rest)
    raise DataError(f"{name}: a mask of pixel type {mode} is not read; save it black and white with 8 bits")


def _alpha(image: Image.Image) -> NDArray[np.uint8] | None:
    if image.mode not in ("LA", "PA", "RGBA") and "transparency" not in image.info:
        return None
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    return None if alpha.min() == alpha.max() else alpha


def _masks(
    levels: Levels, name: str, folder: str, options: ReadingOptions, may_be_empty: bool
) -> dict[str, NDArray[np.uint8]]:
    if options.mask_colours:
        return split(levels.numbers, levels.pixels, options.mask_colours, folder, name, may_be_empty=may_be_empty)
    numbers = levels.numbers
    if levels.pixels is not None:
        grey = np.ptp(levels.pixels.astype(np.int16), axis=2) <= GREY_TOLERANCE
        if not grey.all():
            found = listed(levels.pixels.reshape(-1, 3))
            raise DataError(f"{name}: is a coloured mask with {found}; {COLOUR_ADVICE}")
        numbers = levels.pixels[..., 1]  # a palette of black and white: what is shown counts, not the index
    assert numbers is not None, "what is not coloured is grey"
    mask = _two_levels(numbers, levels, name)
    if levels.alpha is not None and not np.array_equal(levels.alpha >= MASK_THRESHOLD, mask > 0):
        raise DataError(f"{name}: its alpha channel shows another shape than its colours; save the mask without alpha")
    if not mask.any():
        raise DataError(f"{name}: the mask is empty, every pixel is black; {NORMAL_ADVICE}")
    return {folder: mask}


def _two_levels(numbers: NDArray[np.integer], levels: Levels, name: str) -> NDArray[np.uint8]:
    """[H, W] of grey levels -> uint8 {0, 1}; see the top of the file for what is taken."""
    highest, near = levels.highest, NEAR * levels.highest // 255
    lowest_found, highest_found = int(numbers.min()), int(numbers.max())
    if highest_found <= 1:
        return numbers.astype(np.uint8)
    has_ends = highest_found >= highest - near and (lowest_found <= near or lowest_found >= highest - near)
    if not has_ends or not _is_rim_smooth(numbers, near, highest, levels.is_jpeg):
        told = listed(numbers.reshape(-1, 1))
        raise DataError(f"{name}: has the levels {told}; a mask has two, black and white: {COLOUR_ADVICE}")
    return (numbers > highest // 2).astype(np.uint8)


def _is_rim_smooth(numbers: NDArray[np.integer], near: int, highest: int, is_jpeg: bool) -> bool:
    """Are all levels but black and white those of a smoothed rim, and none that of a class or of a void?

    A level of its own shows in flat squares. Of few levels none may be one, as small as it is; among many, as a
    mask has that was a JPEG once, there are flat squares of a few pixels by chance.
    """
    found, counts = np.unique(numbers, return_counts=True)
    if len(found) <= 2:
        return True
    dark, bright = numbers <= near, numbers >= highest - near
    black, white = (numbers == _mode(found, counts, ends) for ends in (found <= near, found >= highest - near))
    others, is_gradual = ~black & ~white, not (dark | bright).all()
    if len(found) <= FEW_LEVELS and not is_jpeg:
        return not (others & ~_reach(black, white)).any() and not _has_flat(numbers, others, 3 if is_gradual else 2)
    stray = ~dark & ~bright & ~_reach(dark, bright)
    is_sharp = int(stray.sum()) <= STRAY_SHARE * int((numbers > highest // 2).sum())
    return (
        is_sharp
        and not _has_flat(numbers, stray, 3)
        and (is_jpeg or not _has_flat(numbers, others, 5 if is_gradual else 3))
    )


def _mode(levels: NDArray[np.integer], counts: NDArray[np.integer], among: NDArray[np.bool_]) -> int:
    """The most frequent of the levels that are `among`; -1, which no pixel has, where there is none."""
    return int(levels[among][counts[among].argmax()]) if among.any() else -1


def _reach(dark: NDArray[np.bool_], bright: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[H, W] where both black and white are at most RIM_PX away."""
    window = np.ones((2 * RIM_PX + 1,) * 2, np.uint8)
    near_dark, near_bright = (cv2.dilate(there.astype(np.uint8), window) > 0 for there in (dark, bright))
    return near_dark & near_bright


def _has_flat(numbers: NDArray[np.integer], where: NDArray[np.bool_], side: int) -> bool:
    """Is there a square of so many pixels a side, all of one level, among the pixels of `where`?"""
    levels, window = numbers.astype(np.uint16), np.ones((side, side), np.uint8)
    lowest, highest = (change(levels, window, borderType=cv2.BORDER_REPLICATE) for change in (cv2.erode, cv2.dilate))
    inside = cv2.erode(where.astype(np.uint8), window, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return bool(((lowest == highest) & (inside > 0)).any())


def _fit(
    masks: dict[str, NDArray[Scalar]], orientation: int, picture: Decoded, name: str, options: ReadingOptions
) -> tuple[dict[str, NDArray[Scalar]], tuple[str, ...]]:
    """Turn masks like their picture, where only that fits.

    Args:
        masks: label -> [H, W], turned by the mask's own EXIF.
        orientation: of that EXIF.
        picture, name, options: as in `decode_masks`.
    """
    if options.orientation == "stored":
        masks = {label: unturned(mask, orientation) for label, mask in masks.items()}
    shape = next(iter(masks.values())).shape
    fits_both = shape == picture.shape == picture.stored_shape
    if fits_both and picture.orientation != UPRIGHT and orientation == UPRIGHT and options.orientation is None:
        raise DataError(
            f"{name}: its image is turned by EXIF (orientation {picture.orientation}), the mask says nothing and fits"
            " both ways; give --orientation exif where masks were drawn on the image as viewers show it, else stored"
        )
    if shape == picture.shape:
        return masks, ()
    if shape == picture.stored_shape:
        return {label: turned(mask, picture.orientation) for label, mask in masks.items()}, (STORED_NOTE,)
    raise DataError(
        f"{name}: the mask has {shape[1]} x {shape[0]} pixels, its image {picture.shape[1]} x {picture.shape[0]};"
        " make them equal"
    )
