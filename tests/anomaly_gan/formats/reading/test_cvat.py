import numpy as np
import pytest

from anomaly_gan.formats.reading.cvat import fits, read
from anomaly_gan.formats.reading.options import DEFAULT, ReadingOptions
from anomaly_gan.formats.reading.source import Picture
from infra.errors import DataError
from tests.support.sources import MemoryTree, gray, png

POLYGON = '<polygon label="dent" points="4.0,4.0;12.0,4.0;12.0,10.0;4.0,10.0" {}/>'


def xml(*shapes: str, image: str = 'id="0" name="a.png" width="32" height="24"') -> bytes:
    return f"<annotations><version>1.1</version><image {image}>{''.join(shapes)}</image></annotations>".encode()


def load(data: bytes, options: ReadingOptions = DEFAULT) -> Picture:
    (item,) = read(MemoryTree({"images/a.png": png(gray()), "annotations.xml": data}), options)
    return item.load()


def box(mask: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> tuple[int, ...]:
    rows, columns = np.nonzero(mask)
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


def test_polygons_are_anomalies_and_those_of_a_group_are_one() -> None:
    far = '<polygon label="dent" points="20,12;28,12;28,20" group_id="3"/>'
    picture = load(xml(POLYGON.format('group_id="3"'), far, POLYGON.format("").replace("dent", "hole")))
    assert sorted(picture.masks) == ["dent", "hole"]
    assert box(picture.masks["hole"]) == (4, 4, 12, 10)
    assert picture.instances["dent"].max() == 1
    apart = load(xml(POLYGON.format('group_id="0"'), far))
    assert apart.instances["dent"].max() == 2


def test_run_lengths_are_rows_of_their_box() -> None:
    mask = load(xml('<mask label="dent" rle="1, 3, 1, 2, 1" left="5" top="6" width="4" height="2"/>')).masks["dent"]
    assert np.argwhere(mask).tolist() == [[6, 6], [6, 7], [6, 8], [7, 6], [7, 7]]


def test_ellipses_and_polylines_are_drawn() -> None:
    ellipse = load(xml('<ellipse label="dent" cx="16" cy="12" rx="10" ry="4"/>')).masks["dent"]
    assert box(ellipse) == (6, 8, 26, 16) and abs(int(ellipse.sum()) - np.pi * 40) < 40
    turned = load(xml('<ellipse label="dent" cx="16" cy="12" rx="10" ry="4" rotation="90"/>')).masks["dent"]
    assert box(turned) == (12, 2, 20, 22)
    assert load(xml('<polyline label="dent" points="2,12;30,12"/>')).masks["dent"].any()


BOX = '<box label="dent" xtl="10" ytl="8" xbr="20" ybr="12" {}/>'


def test_a_box_is_a_mask_only_where_the_user_says_so() -> None:
    with pytest.raises(DataError, match=r"shape 0 \(dent\): is a box, .*--boxes-as-masks"):
        load(xml(BOX.format("")))
    options = ReadingOptions(boxes_as_masks=True)
    assert box(load(xml(BOX.format("")), options).masks["dent"]) == (10, 8, 20, 12)
    assert box(load(xml(BOX.format('rotation="90"')), options).masks["dent"]) == (13, 5, 17, 15)


def test_a_listed_picture_without_a_shape_is_normal_and_what_is_no_class_is_skipped() -> None:
    assert load(xml()).masks == {}
    assert load(xml('<tag label="ok"/>', POLYGON.format("").replace("dent", "__ignore__"))).masks == {}


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ('<points label="dent" points="1,2"/>', "a points is no area; known are polygon"),
        ('<polygon label="dent" points="1,2;3"/>', "its points are no pairs of numbers"),
        ('<polygon label="dent" points="1,2;3,4"/>', "a polygon needs at least 3 points, got 2"),
        ('<polygon label="dent" points="1,2;3,nan;5,6"/>', "a point lies far outside"),
        ('<mask label="dent" rle="1,9" left="5" top="6" width="4" height="2"/>', "its run lengths are not those"),
        ('<mask label="dent" rle="1,7" left="30" top="6" width="4" height="2"/>', "its run lengths are not those"),
        ('<mask label="dent" rle="1,-1,8" left="5" top="6" width="4" height="2"/>', "its run lengths are not those"),
        ('<mask label="dent" rle="x" left="5" top="6" width="4" height="2"/>', "its run lengths are no numbers"),
        ('<ellipse label="dent" cx="16" cy="12" rx="inf" ry="4"/>', "rx is no number of pixels"),
        ('<ellipse label="dent" cx="16" cy="12"/>', "rx is no number"),
    ],
)
def test_a_broken_shape_is_refused_by_file_picture_and_number(shape: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"^annotations.xml: images/a.png: shape 0 \(dent\): {message}"):
        load(xml(shape))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<annotations>", "not XML"),
        (b"\x00\x01", "not XML"),
        (b"<annotation/>", "not of the form 'CVAT for images'"),
        (b'<annotations><track id="0"/></annotations>', "not of the form 'CVAT for images'"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><annotations/>', "declares entities"),
        (b"\xff\xfe<", "not UTF-8"),
    ],
)
def test_other_xml_is_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=f"^annotations.xml: {message}"):
        read(MemoryTree({"annotations.xml": data}))


def test_a_picture_of_another_size_or_listed_twice_is_refused() -> None:
    with pytest.raises(DataError, match=r"^annotations.xml: says that images/a.png has 32 x 40 pixels, it has 32 x 24"):
        load(xml(image='name="a.png" width="32" height="40"'))
    tree = MemoryTree({"a.png": png(gray()), "x.xml": xml(), "y.xml": xml()})
    (item,) = read(tree)
    with pytest.raises(DataError, match=r"^a.png: is listed twice, by x.xml and by y.xml"):
        item.load()
    assert fits(tree) and not fits(MemoryTree({"a.xml": b"<annotation/>"}))
