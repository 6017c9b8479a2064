import numpy as np
import pytest

from anomaly_gan.masks.drawn.regions import match_regions, read_region, resize_region
from infra.errors import DataError
from tests.support.sources import MemoryTree, blob, gray, png

SOURCES = {"k0": ("train/good/000.jpg", 32, 24), "k1": ("test/good/000.jpg", 16, 12), "k2": ("x.jpg", 32, 24)}


def test_a_region_is_one_where_its_level_is_at_least_128() -> None:
    levels = np.array([[0, 127, 128, 255]], np.uint8)
    for picture in (levels, np.stack([levels] * 3, axis=-1)):
        region = read_region(png(picture), "r.png")
        assert region.dtype == np.uint8
        assert region.tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 128, 128), (255, 255, 0)])
def test_a_coloured_region_is_refused(colour: tuple[int, int, int]) -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[1:3] = colour
    with pytest.raises(DataError, match=r"^r.png: has colours, and only black and white mean something here"):
        read_region(png(picture), "r.png")


def test_a_region_that_allows_nothing_is_refused_with_its_highest_level() -> None:
    told = r"^r.png: no pixel of the region is white, its highest level is 127 and white begins at 128; paint"
    with pytest.raises(DataError, match=told):
        read_region(png(blob(level=127)), "r.png")


def test_an_unreadable_region_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"^r.png: not a readable picture"):
        read_region(b"no", "r.png")


def test_each_pixel_of_a_resized_region_takes_the_value_under_its_centre() -> None:
    region = np.array([[1, 0, 0], [0, 0, 1]], np.uint8)
    assert resize_region(region, 6, 2, "r.png").tolist() == [[1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1]]


def test_a_region_that_vanishes_when_resized_is_refused() -> None:
    with pytest.raises(DataError, match=r"^r.png: the region allows no pixel once it is resized to 1 x 1; widen it"):
        resize_region(np.array([[1, 0, 0]], np.uint8), 1, 1, "r.png")


def test_regions_are_found_by_path_or_stem_and_resized_to_their_sample() -> None:
    files = {
        "test/good/000.png": png(blob()),
        "train/good/000.jpg": png(np.full((24, 32), 255, np.uint8)),
        "deep/x.png": png(blob(48, 64)),
        "README.md": b"",
    }
    regions = match_regions(MemoryTree(files), SOURCES)
    assert {key: region.shape for key, region in regions.items()} == {"k0": (24, 32), "k1": (12, 16), "k2": (24, 32)}
    assert regions["k0"].all()
    np.testing.assert_array_equal(regions["k1"], blob()[1::2, 1::2] // 255)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"y.png": png(blob())}, "y.png: 'y.png' fits no picture of the data set"),
        (
            {"000.png": png(blob())},
            "000.png: '000.png' fits 2 pictures of the data set, such as train/good/000.jpg and",
        ),
        ({"a/x.png": png(blob()), "b/x.png": png(blob())}, "b/x.png: is a second region of x.jpg after a/x.png; keep"),
        ({"x.png": png(gray() // 2)}, "x.png: no pixel of the region is white"),
        ({"README.md": b""}, "memory://source: holds no region"),
    ],
)
def test_a_folder_of_regions_that_do_not_fit_is_refused_by_path(files: dict[str, bytes], told: str) -> None:
    with pytest.raises(DataError) as raised:
        match_regions(MemoryTree(files), SOURCES)
    assert str(raised.value).startswith(told)
