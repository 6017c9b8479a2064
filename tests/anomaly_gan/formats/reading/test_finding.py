"""Which picture an annotation means that was written elsewhere."""

import unicodedata

import pytest

from anomaly_gan.formats.reading.finding import PictureFinder
from infra.errors import DataError

PATHS = ["a/0.png", "b/0.png", "b/1.png", "raw/line 7/2.jpg", "raw/ä.png", "ann/x.json", "b/x.txt"]


@pytest.mark.parametrize(
    ("reference", "base", "path", "is_exact"),
    [
        ("0.png", "a", "a/0.png", True),
        ("a/0.png", "ann", "a/0.png", True),
        ("../b/0.png", "ann", "b/0.png", True),
        ("..\\b\\0.png", "ann", "b/0.png", True),
        ("./1.png", "ann", "b/1.png", True),
        ("line 7/2.jpg", "ann", "raw/line 7/2.jpg", True),
        ("..\\..\\..\\raw\\1.png", "ann", "b/1.png", False),
        ("C:\\Users\\x\\data\\1.png", "ann", "b/1.png", False),
        ("D:1.png", "ann", "b/1.png", True),
        ("\\\\server\\share\\b\\0.png", "ann", "b/0.png", False),
        ("/home/me/set/a/0.png", "ann", "a/0.png", False),
        ("../../elsewhere/1.png", "", "b/1.png", False),
        (unicodedata.normalize("NFD", "ä.png"), "raw", "raw/ä.png", True),
        (unicodedata.normalize("NFD", "/mnt/ä.png"), "", "raw/ä.png", False),
    ],
)
def test_a_reference_means_the_picture_in_its_place_else_the_one_whose_path_ends_alike(
    reference: str, base: str, path: str, is_exact: bool
) -> None:
    assert PictureFinder(PATHS).find(reference, base, "x.json") == (path, is_exact)


def test_a_picture_whose_stored_name_is_decomposed_is_found_by_its_composed_name() -> None:
    stored = unicodedata.normalize("NFD", "raw/ä.png")
    assert PictureFinder([stored]).find("ä.png", "raw", "x.json") == (stored, True)


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("gone.png", "no picture of that name"),
        ("/home/me/0.png", "2 pictures of that name"),
        ("c/1.png", "b/1.png instead"),
        ("x.txt", "no picture of that name"),
        ("", "no picture of that name"),
        ("..", "no picture of that name"),
    ],
)
def test_a_reference_that_fits_none_or_several_is_refused_with_what_there_is(reference: str, told: str) -> None:
    with pytest.raises(DataError, match=rf"^x.json: names '.*', but the imported folder holds {told}; mend the path$"):
        PictureFinder(PATHS).find(reference, "ann", "x.json")
