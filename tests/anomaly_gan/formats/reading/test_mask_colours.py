"""Masks of several colours or numbers, of which the user says what each means."""

import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.formats.reading.folder import read
from anomaly_gan.formats.reading.mask_colours import MaskColour, parse_mask_colours
from anomaly_gan.formats.reading.options import ReadingOptions
from infra.errors import DataError, UsageError
from tests.anomaly_gan.formats.reading.test_mask_pictures import paletted
from tests.support.sources import MemoryTree, gray, png

RED, TEAL = (250, 50, 83), (51, 221, 255)


def drawn(mask: bytes, *colours: str) -> dict[str, NDArray[np.uint8]]:
    files = {"thing/a.png": png(gray(64, 96)), "thing/masks/a.png": mask}
    (item,) = read(MemoryTree(files), ReadingOptions(mask_colours=parse_mask_colours(colours)))
    return dict(item.load().masks)


def coloured() -> NDArray[np.uint8]:
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[5:15, 5:15], pixels[30:50, 60:70] = RED, TEAL
    return pixels


def numbers(*levels: int) -> NDArray[np.uint8]:
    pixels = np.zeros((64, 96), np.uint8)
    for place, level in enumerate(levels):
        pixels[10:20, 20 * place : 20 * place + 10] = level
    return pixels


def test_each_colour_is_the_class_that_the_user_says() -> None:
    masks = drawn(png(coloured()), "250,50,83=crack", "#33ddff=stain")
    np.testing.assert_array_equal(masks["crack"], (coloured() == RED).all(axis=2))
    np.testing.assert_array_equal(masks["stain"], (coloured() == TEAL).all(axis=2))


def test_a_colour_without_a_class_is_that_of_the_folder_and_colours_of_one_class_unite() -> None:
    masks = drawn(png(coloured()), "250,50,83", "51,221,255")
    np.testing.assert_array_equal(masks["thing"], coloured().any(axis=2))


def test_the_background_may_have_a_colour_of_its_own() -> None:
    pixels = np.where(coloured() == 0, np.uint8(90), coloured())
    masks = drawn(png(pixels), "250,50,83=crack", "51,221,255=__ignore__", "90,90,90=_background_")
    assert {label: mask.sum() for label, mask in masks.items()} == {"crack": 100}


def test_a_colour_that_nobody_explains_is_refused_with_its_pixels() -> None:
    with pytest.raises(DataError, match=r"^thing/masks/a.png: holds 51,221,255 \(200 px\), which no --mask-colour"):
        drawn(png(coloured()), "250,50,83=crack")


def test_numbers_are_grey_levels_and_a_void_means_nothing() -> None:
    masks = drawn(png(numbers(1, 2, 255)), "1=crack", "2=stain", "255=__ignore__")
    assert {label: np.argwhere(mask).min(axis=0).tolist() for label, mask in masks.items()} == {
        "crack": [10, 0],
        "stain": [10, 20],
    }


def test_numbers_are_indices_of_a_palette_whatever_its_colours() -> None:
    data = paletted(numbers(1, 6), {1: (128, 0, 0), 6: (0, 128, 128)})
    assert sorted(drawn(data, "1=crack", "6=stain")) == ["crack", "stain"]
    assert sorted(drawn(data, "128,0,0=crack", "0,128,128=stain")) == ["crack", "stain"]
    with pytest.raises(DataError, match=r"holds 0,128,128 \(100 px\)"):
        drawn(data, "1=crack")


def test_a_mask_without_a_colour_that_means_a_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"^thing/masks/a.png: no pixel has a colour that means a class"):
        drawn(png(numbers(255)), "1=crack", "255=__ignore__")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["red=crack"], "R,G,B or #RRGGBB or a number"),
        (["1,2=crack"], "R,G,B or #RRGGBB or a number"),
        (["1,2,256=crack"], "R,G,B or #RRGGBB or a number"),
        (["#12345=crack"], "R,G,B or #RRGGBB or a number"),
        (["9" * 5000], "R,G,B or #RRGGBB or a number"),
        (["1,2,3=crack", "#010203=stain"], "1,2,3 is given twice"),
    ],
)
def test_what_is_no_colour_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=rf"^--mask-colour: {message}"):
        parse_mask_colours(texts)


def test_what_is_recorded_is_what_was_given() -> None:
    options = ReadingOptions(mask_colours=(MaskColour((1,), "crack"), MaskColour((1, 2, 3), None)))
    assert options.stated() == {"mask_colours": "1=crack 1,2,3"}
