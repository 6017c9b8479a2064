"""Picture files of any origin -> arrays; the header is checked before a pixel is decoded."""

import io
import posixpath
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from anomaly_gan.samples.sample import MASK_THRESHOLD, MAX_PIXELS
from infra.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
GRAY_MODES = ("1", "L", "LA")
COLOR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")


def is_picture(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)


def stem(path: str) -> str:
    return posixpath.splitext(posixpath.basename(path))[0]


def decode_picture(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode to [H, W] grey or [H, W, 3] RGB, uint8.

    Alpha is dropped, palettes and CMYK become RGB. An EXIF orientation is ignored: masks carry none.

    Raises:
        DataError: no readable picture, more than MAX_PIXELS pixels, or deeper than 8 bits.
    """
    try:
        with _header(data, name) as image:
            if image.mode in GRAY_MODES:
                return np.asarray(image.convert("L"))
            if image.mode in COLOR_MODES:
                return np.asarray(image.convert("RGB"))
            raise DataError(f"{name}: has pixels of type {image.mode}; convert the picture to 8 bits a channel")
    except (OSError, ValueError, SyntaxError) as err:  # what Pillow raises on cut or damaged files
        raise DataError(f"{name}: the picture is corrupt ({err}); copy it again or remove it") from err


def decode_levels(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode to grey levels, [H, W] uint8; raises as `decode_picture` does."""
    levels = decode_picture(data, name)
    return levels if levels.ndim == 2 else np.asarray(Image.fromarray(levels).convert("L"))


def decode_mask(data: bytes, name: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Decode a mask picture to [H, W] uint8 {0, 1}: 1 where its grey level is at least 128.

    Args:
        data: the file.
        name: how messages call it.
        shape: [H, W] of its image.

    Raises:
        DataError: unreadable, of another size than its image, or empty.
    """
    levels = decode_levels(data, name)
    if levels.shape != shape[:2]:
        raise DataError(f"{name}: the mask has {_size(levels.shape)} pixels, its image {_size(shape)}; make them equal")
    mask = (levels >= MASK_THRESHOLD).astype(np.uint8)
    if not mask.any():
        raise DataError(
            f"{name}: the mask is empty, its highest level is {levels.max()} and anomalous pixels need"
            f" {MASK_THRESHOLD}; draw it, or move the picture to the normal ones"
        )
    return mask


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"


def _header(data: bytes, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as err:
        raise DataError(_gigantic(name)) from err
    except UnidentifiedImageError as err:
        raise DataError(f"{name}: not a readable picture ({len(data)} bytes); replace or remove it") from err
    if image.width * image.height > MAX_PIXELS:
        raise DataError(_gigantic(name))
    return image


def _gigantic(name: str) -> str:
    return f"{name}: the picture has more than {MAX_PIXELS >> 20} megapixels; cut it into smaller ones"
