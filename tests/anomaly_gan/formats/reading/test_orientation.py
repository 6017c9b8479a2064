"""Pictures are turned as their EXIF says, and what was drawn on them lies where it was drawn."""

import io
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from anomaly_gan.formats.reading import coco, folder, labelme, mvtec
from anomaly_gan.formats.reading.frames import STORED_NOTE, TURNED_NOTE
from anomaly_gan.formats.reading.options import DEFAULT, ReadingOptions
from anomaly_gan.formats.reading.orientation import turned, unturned
from anomaly_gan.formats.reading.pictures import decode_picture
from anomaly_gan.formats.reading.source import Picture, SourceItem
from infra.errors import DataError
from tests.support.sources import MemoryTree, gray, png

WIDTH, HEIGHT = 96, 64
STORED = ReadingOptions(orientation="stored")
EXIF = ReadingOptions(orientation="exif")


def tagged(pixels: NDArray[np.uint8], orientation: int, fmt: str = "PNG") -> bytes:
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(stream, fmt, exif=exif, **({"lossless": True} if fmt == "WEBP" else {}))
    return stream.getvalue()


def scratched(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """A dark scratch, as the sensor saw it, in the lower right."""
    picture = np.full((height, width), 200, np.uint8)
    picture[height - 19 : height - 9, width - 36 : width - 11] = 20
    return picture


def only(items: list[SourceItem]) -> Picture:
    return next(picture for picture in (item.load() for item in items) if picture.masks)


def level_below_the_mask(picture: Picture) -> float:
    (mask,) = picture.masks.values()
    return float(picture.image[mask > 0].mean())


def box_of(pixels: NDArray[Any]) -> list[list[int]]:
    rows, columns = np.nonzero(pixels)
    left, top, right, bottom = columns.min(), rows.min(), columns.max(), rows.max()
    return [[int(left), int(top)], [int(right), int(top)], [int(right), int(bottom)], [int(left), int(bottom)]]


def labelme_tree(picture: bytes, drawn: NDArray[Any], **stated: int) -> MemoryTree:
    shape = {"label": "scratch", "points": box_of(drawn), "shape_type": "polygon"}
    return MemoryTree(
        {"a.png": picture, "a.json": json.dumps({"shapes": [shape], "imagePath": "a.png"} | stated).encode()}
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [(), (3,)])
def test_turning_is_what_pillow_does_and_can_be_undone(orientation: int, channels: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, *channels), dtype=np.uint8)
    with Image.open(io.BytesIO(tagged(pixels, orientation))) as stored:
        np.testing.assert_array_equal(turned(pixels, orientation), np.asarray(ImageOps.exif_transpose(stored)))
    np.testing.assert_array_equal(unturned(turned(pixels, orientation), orientation), pixels)


@pytest.mark.parametrize("fmt", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_of_every_format_are_turned_as_their_exif_says(fmt: str, orientation: int) -> None:
    stored = scratched()
    image = decode_picture(tagged(stored, orientation, fmt), "a")
    difference = np.abs((image if image.ndim == 2 else image[..., 0]).astype(int) - turned(stored, orientation))
    assert difference.max() <= (40 if fmt == "JPEG" else 0)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (64, 64)])
def test_labelme_shapes_lie_on_the_picture_that_labelme_shows(orientation: int, size: tuple[int, int]) -> None:
    stored = scratched(*size)
    shown = turned(stored, orientation)
    height, width = shown.shape
    tree = labelme_tree(tagged(stored, orientation), shown < 100, imageHeight=height, imageWidth=width)
    picture = only(labelme.read(tree))
    assert level_below_the_mask(picture) == 20
    assert picture.masks["scratch"].sum() == 250
    assert picture.notes == (TURNED_NOTE,)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_shapes_whose_stated_size_fits_only_the_stored_picture_are_turned_with_it(orientation: int) -> None:
    stored = scratched()
    tree = labelme_tree(tagged(stored, orientation), stored < 100, imageHeight=HEIGHT, imageWidth=WIDTH)
    picture = only(labelme.read(tree))
    assert level_below_the_mask(picture) == 20
    assert picture.instances["scratch"].shape == picture.image.shape == (WIDTH, HEIGHT)
    assert picture.notes == (STORED_NOTE,)


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("is_drawn_on_shown", [True, False])
def test_coco_annotations_lie_where_the_stated_size_says(orientation: int, is_drawn_on_shown: bool) -> None:
    stored = scratched()
    frame = turned(stored, orientation) if is_drawn_on_shown or orientation == 3 else stored
    (height, width), polygon = frame.shape, np.ravel(box_of(frame < 100)).tolist()
    image = {"id": 1, "file_name": "a.jpg", "height": height, "width": width}
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [polygon]}
    file = {"images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "scratch"}]}
    tree = MemoryTree({"a.jpg": tagged(stored, orientation), "all.json": json.dumps(file).encode()})
    assert level_below_the_mask(only(coco.read(tree))) == 20


@pytest.mark.parametrize("orientation", [2, 3, 6])
def test_a_mask_is_turned_by_its_own_exif(orientation: int) -> None:
    stored = scratched()
    mask = ((stored < 100) * 255).astype(np.uint8)
    files = {"scratch/a.png": tagged(stored, orientation), "scratch/masks/a.png": tagged(mask, orientation)}
    assert level_below_the_mask(only(folder.read(MemoryTree(files)))) == 20


@pytest.mark.parametrize("is_drawn_on_shown", [True, False])
def test_a_mask_without_exif_lies_where_its_size_says(is_drawn_on_shown: bool) -> None:
    stored = scratched()
    mask = ((stored < 100) * 255).astype(np.uint8)
    files = {"test/scratch/a.jpg": tagged(stored, 8)}
    files["ground_truth/scratch/a_mask.png"] = png(turned(mask, 8) if is_drawn_on_shown else mask)
    picture = only(mvtec.read(MemoryTree(files)))
    assert level_below_the_mask(picture) == 20
    assert picture.notes == ((TURNED_NOTE,) if is_drawn_on_shown else (TURNED_NOTE, STORED_NOTE))


@pytest.mark.parametrize(("orientation", "size"), [(3, (HEIGHT, WIDTH)), (6, (64, 64)), (2, (HEIGHT, WIDTH))])
def test_a_mask_without_exif_that_fits_both_ways_is_refused_until_the_user_says_which(
    orientation: int, size: tuple[int, int]
) -> None:
    stored = scratched(*size)
    mask = ((stored < 100) * 255).astype(np.uint8)
    files = {"scratch/a.jpg": tagged(stored, orientation), "scratch/masks/a.png": png(mask)}
    (item,) = folder.read(MemoryTree(files), DEFAULT)
    with pytest.raises(
        DataError, match=rf"^scratch/masks/a.png: its image is turned by EXIF \(orientation {orientation}"
    ):
        item.load()
    assert level_below_the_mask(only(folder.read(MemoryTree(files), STORED))) == 20
    files["scratch/masks/a.png"] = png(turned(mask, orientation))
    assert level_below_the_mask(only(folder.read(MemoryTree(files), EXIF))) == 20


@pytest.mark.parametrize("fmt", ["PNG", "TIFF"])
def test_stored_takes_the_pixels_as_the_file_has_them(fmt: str) -> None:
    files = {"normal/a.png": tagged(gray(), 6, fmt)}
    (item,) = folder.read(MemoryTree(files), STORED)
    np.testing.assert_array_equal(item.load().image, gray())


def test_a_damaged_exif_block_is_passed_over() -> None:
    data = tagged(gray(), 6, "JPEG")
    broken = data.replace(b"MM\x00*", b"\xff\xff\xff\xff").replace(b"II*\x00", b"\xff\xff\xff\xff")
    assert broken != data
    assert decode_picture(broken, "a.png").shape == gray().shape
