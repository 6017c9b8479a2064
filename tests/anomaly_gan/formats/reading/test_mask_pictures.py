"""Which pictures are masks, and that all others are refused with what was found."""

import io
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from anomaly_gan.formats.reading.mask_pictures import decode_masks
from anomaly_gan.formats.reading.options import DEFAULT
from anomaly_gan.formats.reading.pictures import Decoded
from infra.errors import DataError
from tests.support.sources import blob, png

HEIGHT, WIDTH = 64, 96
Pixels = NDArray[Any]


def crack(on: int = 255, off: int = 0, dtype: Any = np.uint8) -> Pixels:
    pixels = np.full((HEIGHT, WIDTH), off, dtype)
    pixels[10:22, 20:32] = on
    return pixels


def saved(image: Image.Image, fmt: str = "PNG", **more: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, fmt, **more)
    return stream.getvalue()


def paletted(numbers: Pixels, colours: dict[int, tuple[int, int, int]], **more: Any) -> bytes:
    image = Image.fromarray(numbers.astype(np.uint8))
    image.putpalette([value for number in range(256) for value in colours.get(number, (0, 0, 0))])
    return saved(image, **more)


def smooth(scale: int = 4) -> tuple[Pixels, Pixels]:
    """Anti-aliased ellipse and slanted stroke, and where they cover half a pixel or more."""
    large = Image.new("L", (WIDTH * scale, HEIGHT * scale))
    draw = ImageDraw.Draw(large)
    draw.ellipse([10 * scale, 10 * scale, 40 * scale, 31 * scale], fill=255)
    draw.line([50 * scale, 8 * scale, 90 * scale, 55 * scale], fill=255, width=5 * scale)
    pixels = np.asarray(large.resize((WIDTH, HEIGHT), Image.Resampling.BOX))
    return pixels, pixels > 127


def decode(data: bytes) -> Pixels:
    masks, notes = decode_masks(data, "m.png", Decoded(np.zeros((HEIGHT, WIDTH), np.uint8), 1), "crack", DEFAULT)
    assert notes == () and list(masks) == ["crack"]
    return masks["crack"]


def alpha(grey: Pixels, opacity: Pixels) -> bytes:
    return saved(Image.fromarray(np.dstack([grey, grey, grey, opacity])))


@pytest.mark.parametrize(
    "data",
    [
        png(crack()),
        png(crack(on=1)),
        png(crack(on=250, off=4)),
        png(crack(on=1 << 15, dtype=np.uint16) * 2 - crack(on=1, dtype=np.uint16)),
        png(crack() > 0),
        png(np.dstack([crack()] * 3)),
        alpha(crack(), np.full((HEIGHT, WIDTH), 255, np.uint8)),
        alpha(crack(), crack()),
        paletted(crack(on=1), {1: (255, 255, 255)}),
        paletted(crack(on=0, off=7), {0: (255, 255, 255)}),
        saved(Image.fromarray(crack()), "JPEG", quality=75),
        saved(Image.fromarray(np.dstack([crack()] * 3)), "JPEG", quality=50),
        saved(Image.fromarray(crack()), "BMP"),
        saved(Image.fromarray(crack()), "GIF"),
        saved(Image.fromarray(crack()), "TIFF"),
    ],
)
def test_two_levels_near_black_and_white_or_0_and_1_are_a_mask(data: bytes) -> None:
    difference = decode(data) != (crack() > 0)
    assert difference.sum() <= (4 if data.startswith(b"\xff\xd8") else 0)


def test_a_smoothed_rim_is_cut_at_the_middle_between_black_and_white() -> None:
    pixels, covered = smooth()
    np.testing.assert_array_equal(decode(png(pixels)), covered)


def test_a_mask_that_was_a_jpeg_once_is_still_a_mask() -> None:
    pixels, covered = smooth()
    with Image.open(io.BytesIO(saved(Image.fromarray(pixels), "JPEG", quality=80))) as image:
        assert (decode(png(np.asarray(image))) != covered).mean() < 0.01


def void() -> Pixels:
    """A class numbered 1 with a rim of 255, as labelme and VOC write what is to be ignored."""
    pixels = cv2.dilate(crack(), np.ones((3, 3), np.uint8))
    pixels[crack() > 0] = 1
    return pixels


def beside(first: Pixels, level: int) -> Pixels:
    first = first.copy()
    first[40:50, 60:80] = level
    return first


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (void(), "0 (5948 px), 1 (144 px), 255 (52 px)"),
        (crack(on=200), "0 (6000 px), 200 (144 px)"),
        (crack(on=100), "0 (6000 px), 100 (144 px)"),
        (crack(on=2), "0 (6000 px), 2 (144 px)"),
        (beside(crack(on=1), 2), "0 (5800 px), 2 (200 px), 1 (144 px)"),
        (beside(crack(), 127), "0 (5800 px), 127 (200 px), 255 (144 px)"),
        (beside(crack(), 254), "0 (5800 px), 254 (200 px), 255 (144 px)"),
        (beside(smooth()[0] * np.uint8(1), 20), "20 (200 px)"),
        (crack(on=255, dtype=np.uint16), "0 (6000 px), 255 (144 px)"),
        (cv2.GaussianBlur(crack(), (0, 0), 4), "0 ("),
        (np.full((HEIGHT, WIDTH), 77, np.uint8), "77 (6144 px)"),
    ],
)
def test_other_levels_are_refused_with_those_found(pixels: Pixels, found: str) -> None:
    with pytest.raises(DataError, match=r"^m.png: has the levels .*--mask-colour") as error:
        decode(png(pixels))
    assert found in str(error.value)


def test_a_small_class_in_a_ring_of_void_is_no_rim() -> None:
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[9:13, 9:13], pixels[10:12, 10:12] = 255, 1
    with pytest.raises(DataError, match=r"^m.png: has the levels"):
        decode(png(pixels))


def test_numbers_of_many_classes_with_a_void_of_255_are_no_mask() -> None:
    pixels = np.repeat(np.arange(24, dtype=np.uint8), 4)[None].repeat(HEIGHT, axis=0)
    pixels[:8] = 255
    with pytest.raises(DataError, match=r"^m.png: has the levels"):
        decode(png(pixels))


def coloured(*patches: tuple[int, int, int], background: tuple[int, int, int] = (0, 0, 0)) -> Pixels:
    pixels = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:] = background
    for number, patch in enumerate(patches):
        pixels[10:20, 5 + 20 * number : 15 + 20 * number] = patch
    return pixels


@pytest.mark.parametrize(
    "data",
    [
        png(coloured((255, 0, 204), background=(0, 215, 255))),
        png(coloured((250, 50, 83), (51, 221, 255))),
        png(coloured((255, 255, 255), (255, 255, 0))),
        paletted(crack(on=6), {6: (0, 128, 128)}),
        paletted(crack(on=1), {1: (128, 0, 0)}),
        saved(Image.fromarray(coloured((255, 0, 0))), "JPEG"),
        saved(Image.fromarray(coloured((255, 0, 0))), "WEBP"),
    ],
)
def test_coloured_masks_are_refused_with_the_colours_found(data: bytes) -> None:
    with pytest.raises(DataError, match=r"^m.png: is a coloured mask with \d+,\d+,\d+ \(\d+ px\), .*--mask-colour"):
        decode(data)


WHITE = np.full((HEIGHT, WIDTH), 255, np.uint8)


@pytest.mark.parametrize("grey", [WHITE, WHITE * 0, crack()[::-1]])
def test_a_shape_in_the_alpha_channel_is_refused(grey: Pixels) -> None:
    with pytest.raises(DataError, match=r"^m.png: its alpha channel shows another shape"):
        decode(alpha(grey, crack()))


def test_a_transparent_palette_entry_that_is_part_of_the_mask_is_refused() -> None:
    data = paletted(crack(on=3), {0: (255, 255, 255), 3: (255, 255, 255)}, transparency=0)
    with pytest.raises(DataError, match=r"^m.png: its alpha channel shows another shape"):
        decode(data)


@pytest.mark.parametrize("level", [0, 1])
def test_an_empty_mask_is_refused_and_a_full_one_is_full(level: int) -> None:
    if level:
        assert decode(png(np.full((HEIGHT, WIDTH), level, np.uint8))).all()
    else:
        with pytest.raises(DataError, match=r"^m.png: the mask is empty, every pixel is black"):
            decode(png(np.zeros((HEIGHT, WIDTH), np.uint8)))


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(DataError, match=r"^m.png: the mask has 32 x 24 pixels, its image 96 x 64; make them equal"):
        decode(png(blob()))


@pytest.mark.parametrize(("mode", "fmt"), [("F", "TIFF"), ("CMYK", "TIFF"), ("I", "TIFF")])
def test_other_pixel_types_are_refused_by_name(mode: str, fmt: str) -> None:
    with pytest.raises(DataError, match=rf"^m.png: a mask of pixel type {mode} is not read"):
        decode(saved(Image.new(mode, (WIDTH, HEIGHT)), fmt))
