"""Picture files of any origin -> arrays; the header is checked before a pixel is decoded."""

import io
import posixpath
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from anomaly_gan.formats.reading.depth import ADVICE, decode_deep, is_deep
from anomaly_gan.formats.reading.options import DEFAULT, ReadingOptions
from anomaly_gan.formats.reading.orientation import UPRIGHT, orientation_of, stored_shape, turned, unturned
from anomaly_gan.samples.sample import MAX_PIXELS
from infra.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif")
"""Of the pictures that are read."""
FOREIGN_SUFFIXES = (
    *(".heic", ".heif", ".avif", ".jp2", ".j2k", ".jpx", ".jxl", ".pgm", ".ppm", ".pbm", ".pnm", ".tga", ".exr"),
    *(".hdr", ".psd", ".ico", ".dcm", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2"),
)
"""Of pictures that are not read: they are refused by name, so that none is passed over."""
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF")
GRAY_MODES = ("1", "L", "LA")
GREY_TOLERANCE = 8
"""Channels that differ by no more show grey; JPEG rounds them apart."""
COLOR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


@dataclass(frozen=True)
class Decoded:
    """A picture as it is shown.

    Attributes:
        pixels: [H, W] grey or [H, W, 3] RGB, uint8, turned as the picture's EXIF says.
        orientation: by which it was turned, 1 (not at all) to 8.
    """

    pixels: NDArray[np.uint8]
    orientation: int

    @property
    def shape(self) -> tuple[int, int]:
        """[H, W] as shown."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def stored_shape(self) -> tuple[int, int]:
        """[H, W] of the pixels as the file has them."""
        return stored_shape(self.shape, self.orientation)


def is_picture(path: str) -> bool:
    """Does the name say that this is a picture, be it one that is read or one that is refused?"""
    return path.lower().endswith((*SUFFIXES, *FOREIGN_SUFFIXES))


def stem(path: str) -> str:
    return posixpath.splitext(posixpath.basename(path))[0]


def decode_picture(data: bytes, name: str) -> NDArray[np.uint8]:
    """The pixels of `open_picture`."""
    return open_picture(data, name).pixels


def open_picture(data: bytes, name: str, options: ReadingOptions = DEFAULT) -> Decoded:
    """Decode, and turn as the EXIF orientation says.

    Alpha is dropped, palettes and CMYK become RGB.

    Args:
        data: the file.
        name: how messages call it; its suffix tells what is not read.
        options: whether it is turned, and how 16 bits become 8.

    Raises:
        DataError: no readable picture, more than MAX_PIXELS pixels, several frames, or deeper than 8 bits.
    """
    with opened(data, name) as image:
        deep = is_deep(image)  # before the EXIF block, for which some formats are decoded
        orientation = orientation_of(image)
        if deep:
            if options.depth is None:
                raise DataError(f"{name}: has 16 bits a channel ({image.mode}); {ADVICE}")
            image.load()  # tells what is cut off or damaged, which OpenCV fills with black
            pixels = turned(options.depth.apply(decode_deep(data, name)), orientation)
        elif image.mode not in GRAY_MODES + COLOR_MODES:
            raise DataError(f"{name}: has pixels of type {image.mode}; convert the picture to 8 bits a channel")
        else:
            shown = ImageOps.exif_transpose(image)
            pixels = np.asarray(shown.convert("L" if image.mode in GRAY_MODES else "RGB"))
    if options.orientation == "stored":
        return Decoded(unturned(pixels, orientation), UPRIGHT)
    return Decoded(pixels, orientation)


def decode_levels(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode to grey levels, [H, W] uint8; raises as `decode_picture` does, and where there are colours.

    How bright a colour is says nothing about what it means: half of them would count as black.
    """
    levels = decode_picture(data, name)
    if levels.ndim == 2:
        return levels
    if np.ptp(levels.astype(np.int16), axis=2).max() > GREY_TOLERANCE:
        raise DataError(f"{name}: has colours, and only black and white mean something here; save it in grey")
    return levels[..., 1].copy()


DAMAGED = (OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, struct.error)
"""What Pillow raises on cut or damaged files."""


@contextmanager
def opened(data: bytes, name: str) -> Iterator[ImageFile.ImageFile]:
    """A picture whose header is sound; what is wrong with its pixels is told as well.

    Raises:
        DataError: see `open_picture`.
    """
    suffix = posixpath.splitext(name)[1].lower()
    if suffix in FOREIGN_SUFFIXES:
        raise DataError(f"{name}: {suffix} is not read; convert the picture to PNG")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow, about odd tags and sizes: what it cannot read is an error
            with _header(data, name) as image:
                yield image
    except DAMAGED as err:
        raise DataError(f"{name}: the picture is corrupt ({err}); copy it again or remove it") from err


def _header(data: bytes, name: str) -> ImageFile.ImageFile:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as err:
        raise DataError(_gigantic(name)) from err
    except DAMAGED as err:
        raise DataError(f"{name}: not a readable picture ({len(data)} bytes); replace or remove it") from err
    if image.width * image.height > MAX_PIXELS:
        raise DataError(_gigantic(name))
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # the further pictures of a phone's JPEG are previews of the first
        raise DataError(f"{name}: holds {frames} frames or pages; save each as a picture of its own")
    return image


def _gigantic(name: str) -> str:
    return f"{name}: the picture has more than {MAX_PIXELS >> 20} megapixels; cut it into smaller ones"
