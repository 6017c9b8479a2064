"""What counts as a picture: depth, colours, frames and suffixes."""

import contextlib
import io
import json
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from anomaly_gan.formats.reading.depth import DepthRange, parse_depth_range
from anomaly_gan.formats.reading.options import ReadingOptions
from anomaly_gan.formats.reading.pictures import FOREIGN_SUFFIXES, SUFFIXES, decode_picture, open_picture
from anomaly_gan.formats.reading.readers import reader
from infra.errors import DataError, UsageError
from tests.support.sources import MemoryTree, blob, gray, png

DEEP = np.arange(24 * 32 * 3, dtype=np.uint16).reshape(24, 32, 3) * 28


def encoded(pixels: NDArray[Any], suffix: str = ".png") -> bytes:
    ok, data = cv2.imencode(suffix, pixels)
    assert ok
    return data.tobytes()


def saved(image: Image.Image, fmt: str, **more: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, fmt, **more)
    return stream.getvalue()


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("pixels", [DEEP, DEEP[..., 0]], ids=["colour", "grey"])
def test_16_bits_a_channel_are_refused_with_what_to_do(suffix: str, pixels: NDArray[Any]) -> None:
    with pytest.raises(DataError, match=r"^a.png: has 16 bits a channel .*--depth-range LOW:HIGH or 1%:99%"):
        decode_picture(encoded(pixels, suffix), "a.png")


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_a_depth_range_maps_16_bits_to_8_grey_and_colour_alike(suffix: str) -> None:
    options = ReadingOptions(depth=DepthRange(1000, 1510))
    wanted = np.rint(np.clip((DEEP.astype(float) - 1000) / 2, 0, 255))
    colour = open_picture(encoded(DEEP, suffix), "a", options).pixels
    np.testing.assert_array_equal(colour, wanted[..., ::-1])  # OpenCV writes BGR
    np.testing.assert_array_equal(open_picture(encoded(DEEP[..., 0], suffix), "a", options).pixels, wanted[..., 0])


def test_a_depth_range_of_percentiles_is_that_of_each_picture() -> None:
    options = ReadingOptions(depth=DepthRange(0, 100, is_percentile=True))
    for low in (0, 5000):
        pixels = np.linspace(low, low + 4095, 256, dtype=np.uint16).reshape(16, 16)
        mapped = open_picture(encoded(pixels), "a", options).pixels
        assert np.abs(mapped.ravel().astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize("text", ["0:4095", "1%:99%", "0.5%:99.5%", "100:65535"])
def test_a_depth_range_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_depth_range(text)) == text


@pytest.mark.parametrize(
    "text", ["", "5", "5:5", "9:1", "0:65536", "1%:99", "0%:101%", "-1:5", "nan:5", "1e9:2e9", "9" * 5000]
)
def test_what_is_no_depth_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--depth-range: "):
        parse_depth_range(text)


def test_8_bits_are_read_as_they_are_whatever_the_depth_range() -> None:
    options = ReadingOptions(depth=DepthRange(0, 10))
    np.testing.assert_array_equal(open_picture(png(gray()), "a", options).pixels, gray())


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("pixels", [DEEP, DEEP[..., 0]], ids=["colour", "grey"])
def test_a_cut_picture_of_16_bits_is_refused(suffix: str, pixels: NDArray[Any]) -> None:
    data = encoded(pixels, suffix)
    for end in (len(data) // 2, len(data) - 20) if suffix == ".png" else (len(data) // 2,):
        with pytest.raises(DataError, match=r"^a: "):
            open_picture(data[:end], "a", ReadingOptions(depth=DepthRange(0, 65535)))


SOUND = [
    saved(Image.fromarray(gray()), "PNG"),
    saved(Image.fromarray(gray()), "TIFF"),
    saved(Image.fromarray(gray()), "JPEG"),
    saved(Image.fromarray(gray()), "GIF"),
    saved(Image.fromarray(gray()), "BMP"),
    saved(Image.fromarray(gray()), "WEBP"),
    encoded(DEEP),
    encoded(DEEP[..., 0], ".tiff"),
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SOUND), st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1))
def test_a_damaged_picture_is_read_or_refused_by_name(data: bytes, damage: list[tuple[float, int]]) -> None:
    content = bytearray(data)
    for place, value in damage:
        content[int(place * place * len(content))] = value  # more of them in the header
    with contextlib.suppress(DataError):
        pixels = open_picture(bytes(content), "a", ReadingOptions(depth=DepthRange(0, 65535))).pixels
        assert pixels.dtype == np.uint8


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_pixel_types_that_cannot_be_read_rightly_are_refused_by_name(mode: str) -> None:
    with pytest.raises(DataError, match=rf"^a.tif: has pixels of type {mode}"):
        decode_picture(saved(Image.new(mode, (8, 8)), "TIFF"), "a.tif")


@pytest.mark.parametrize(("ink", "colour"), [((0, 255, 255, 0), (255, 0, 0)), ((0, 0, 0, 255), (0, 0, 0))])
def test_cmyk_becomes_the_colour_it_prints(ink: tuple[int, ...], colour: tuple[int, ...]) -> None:
    image = decode_picture(saved(Image.new("CMYK", (16, 16), ink), "JPEG", quality=100), "a.jpg")
    assert np.abs(image.astype(int) - colour).max() <= 3


@pytest.mark.parametrize("fmt", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_frames_or_pages_are_refused_by_name(fmt: str) -> None:
    frames = [Image.fromarray(gray(seed=i)) for i in range(3)]
    with pytest.raises(DataError, match=r"^a: holds 3 frames or pages; save each"):
        decode_picture(saved(frames[0], fmt, save_all=True, append_images=frames[1:]), "a")


def test_the_preview_in_a_phones_jpeg_does_not_count_as_a_frame() -> None:
    picture = Image.fromarray(gray())
    data = saved(picture, "MPO", save_all=True, append_images=[picture.resize((8, 8))])
    assert decode_picture(data, "a.jpg").shape == gray().shape


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("fmt", ["mvtec", "folder", "labelme", "coco"])
def test_every_suffix_is_read_in_every_format(fmt: str, suffix: str) -> None:
    (item,) = [item for item in listed(fmt, suffix) if "normal" not in item.path and "good" not in item.path]
    np.testing.assert_array_equal(item.load().image, gray())


@pytest.mark.parametrize("suffix", [*FOREIGN_SUFFIXES, ".HEIC"])
@pytest.mark.parametrize("fmt", ["mvtec", "folder", "labelme", "coco"])
def test_pictures_of_other_kinds_are_refused_by_name_and_never_passed_over(fmt: str, suffix: str) -> None:
    refused = [item for item in listed(fmt, suffix) if "normal" not in item.path and "good" not in item.path]
    with pytest.raises(DataError, match=rf"{suffix.lower()} is not read; convert the picture to PNG"):
        refused[0].load()


def listed(fmt: str, suffix: str) -> list[Any]:
    """The items of a tree with one anomalous picture of a suffix; the bytes are a PNG's."""
    image = {"id": 1, "file_name": f"a{suffix}"}
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[4, 4, 9, 4, 9, 9]]}
    shape = {"label": "dent", "points": [[4, 4], [9, 4], [9, 9]], "shape_type": "polygon"}
    trees = {
        "mvtec": {f"test/dent/a{suffix}": b"", "ground_truth/dent/a_mask.png": png(blob()), "train/good/n.png": b""},
        "folder": {f"dent/a{suffix}": b"", "dent/masks/a.png": png(blob())},
        "labelme": {f"a{suffix}": b"", "a.json": json.dumps({"shapes": [shape], "imagePath": f"a{suffix}"}).encode()},
        "coco": {
            f"a{suffix}": b"",
            "all.json": json.dumps(
                {"images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "dent"}]}
            ).encode(),
        },
    }
    files = {path: data or png(gray()) for path, data in trees[fmt].items()}
    return reader(fmt)(MemoryTree(files), ReadingOptions())
