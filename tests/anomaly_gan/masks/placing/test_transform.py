"""Turned and scaled shapes: their area, their box, and what holds together."""

from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from anomaly_gan.masks.placing.transform import cut_to, random_pixel, random_pixel_of_region, transform

Mask = NDArray[np.uint8]
Points = list[tuple[int, int]]

ELL = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]], np.uint8)
ZIGZAG = [(5, 40), (20, 30), (33, 50), (47, 20), (60, 44), (84, 38)]


def disc(radius: int) -> Mask:
    rows, columns = np.indices((2 * radius + 1, 2 * radius + 1)) - radius
    return (rows**2 + columns**2 <= radius**2).astype(np.uint8)


def crack(points: Points, width: int, joined_by: int = cv2.LINE_8) -> Mask:
    """A polyline of 1 px, whose pixels touch at sides (LINE_4) or corners (LINE_8), or widened to `width`."""
    mask = np.zeros((99, 99), np.uint8)
    cv2.polylines(mask, [np.array(points, np.int32)], isClosed=False, color=[1], thickness=1, lineType=joined_by)
    mask = cv2.dilate(mask, np.ones((width, width), np.uint8)).astype(np.uint8)
    left, top, columns, rows = cv2.boundingRect(mask)
    return mask[top : top + rows, left : left + columns].copy()


def pieces(mask: Mask) -> int:
    """Number of 8-connected parts."""
    return cv2.connectedComponents(mask, connectivity=8)[0] - 1


SHAPES = {
    "disc": disc(10),
    "bar": np.ones((12, 30), np.uint8),
    "triangle": np.tril(np.ones((24, 24), np.uint8)),
    "crack of 1 px": crack(ZIGZAG, 1),
    "crack of 2 px": crack(ZIGZAG, 2),
    "upright line": np.ones((57, 1), np.uint8),
    "slanted line": np.eye(57, dtype=np.uint8),
    "bar that shrinks to between two rows": np.ones((6, 20), np.uint8),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("scale", [0.7, 0.77, 1.0, 1.23, 1.4])
def test_a_turned_and_scaled_shape_keeps_its_area_at_every_angle(shape: Mask, scale: float) -> None:
    wanted = shape.sum() * scale**2
    for angle in (*range(0, 360, 5), 0.1, 44.9, 270.1):
        assert transform(shape, angle, scale).sum() == pytest.approx(wanted, rel=0.02), angle


blobs = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(0, 1), fill=st.just(1)
).filter(lambda shape: bool(shape.any()))
angles, scales = st.floats(0, 360), st.floats(0.7, 1.4)


@settings(max_examples=300, deadline=None)
@given(blobs, angles, scales)
def test_any_shape_keeps_its_area_to_the_nearest_pixel(shape: Mask, angle: float, scale: float) -> None:
    turned = transform(shape, angle, scale)
    assert turned.dtype == np.uint8 and set(np.unique(turned)) <= {0, 1}
    assert turned.sum() == max(1, round(int(shape.sum()) * scale**2))


@pytest.mark.parametrize(
    ("width", "joined_by", "least", "most"),
    [(2, cv2.LINE_8, 0.7, 1.4), (1, cv2.LINE_4, 1.2, 2.0)],
    ids=["2 px", "1 px, joined at the sides and enlarged"],
)
def test_a_crack_stays_in_one_piece(width: int, joined_by: int, least: float, most: float) -> None:
    """Of 15,000 random ones, half of them at multiples of 45 degrees, fewer than ten do not."""
    rng = np.random.default_rng(0)
    whole = 0
    for _ in range(1000):
        points = [(int(x), int(y)) for x, y in rng.integers(5, 91, (rng.integers(2, 6), 2))]
        angle = float(rng.uniform(0, 360)) if rng.random() < 0.5 else 45.0 * int(rng.integers(8))
        whole += pieces(transform(crack(points, width, joined_by), angle, float(rng.uniform(least, most)))) == 1
    assert whole > 995


@settings(max_examples=50, deadline=None)
@given(blobs, angles, scales)
def test_a_turned_shape_is_cut_to_its_box(shape: Mask, angle: float, scale: float) -> None:
    turned = transform(shape, angle, scale)
    assert turned[0].any() and turned[-1].any() and turned[:, 0].any() and turned[:, -1].any()


@pytest.mark.parametrize("angle", range(0, 360, 30))
def test_a_turned_shape_lies_where_geometry_puts_it(angle: int) -> None:
    """A flag: its pole, and a cloth to the left of it seen from the foot."""
    flag = np.zeros((60, 40), np.uint8)
    flag[:, 30:34] = flag[:20, :30] = 1
    turned = transform(flag, angle, 1.3)
    rows, columns = np.nonzero(turned)
    before = np.argwhere(flag)[:, ::-1] - np.argwhere(flag)[:, ::-1].mean(0)
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    moved = 1.3 * before @ np.array([[cosine, -sine], [sine, cosine]])  # counter-clockwise, y pointing down
    x, y = columns - columns.mean(), rows - rows.mean()
    assert [np.mean(x * x), np.mean(y * y), np.mean(x * y)] == pytest.approx(
        [np.mean(moved[:, 0] ** 2), np.mean(moved[:, 1] ** 2), np.mean(moved[:, 0] * moved[:, 1])], rel=0.08, abs=3
    )
    assert [np.mean(x**3), np.mean(y**3)] == pytest.approx(np.mean(moved**3, axis=0).tolist(), rel=0.1, abs=300)


@pytest.mark.parametrize("height", [3, 4])
@pytest.mark.parametrize("width", [2, 3])
def test_no_turn_and_a_half_turn_keep_every_pixel(height: int, width: int) -> None:
    shape = ELL[-height:, :width]
    assert np.array_equal(transform(shape, 0, 1), shape)
    assert np.array_equal(transform(shape, 180, 1), shape[::-1, ::-1])


def test_a_turn_goes_counter_clockwise() -> None:
    bar = np.zeros((9, 9), np.uint8)
    bar[4, 4:] = 1  # points right
    bar[3:6, 4] = 1  # a mark at its root
    turned = transform(bar, 90, 1)
    assert turned.shape == (5, 3)
    assert turned[-1].all() and turned[0].tolist() == [0, 1, 0]


def test_an_outline_scaled_to_almost_nothing_is_no_larger_than_its_box() -> None:
    outline = np.ones((20, 20), np.uint8)
    outline[1:-1, 1:-1] = 0
    for scale in np.linspace(0.02, 0.3, 57):
        for angle in (0, 45):
            turned = transform(outline, angle, float(scale))
            assert turned.any()
            assert turned.sum() <= max(4, (29 * scale + 1) ** 2), scale


def test_a_shape_that_fits_the_view_is_not_cut() -> None:
    rng = np.random.default_rng(0)
    assert cut_to(ELL, (4, 3), rng) == (ELL, None)
    assert rng.random() == np.random.default_rng(0).random()


@settings(max_examples=100, deadline=None)
@given(blobs, st.integers(1, 40), st.integers(0, 99))
def test_of_a_shape_larger_than_the_view_a_part_that_holds_some_of_it_is_left(
    shape: Mask, size: int, seed: int
) -> None:
    cut, box = cut_to(shape, (size, size + 2), np.random.default_rng(seed))
    assert cut.shape == (min(shape.shape[0], size), min(shape.shape[1], size + 2))
    assert cut.any()
    left, top, width, height = box or (0, 0, shape.shape[1], shape.shape[0])
    assert np.array_equal(cut, shape[top : top + height, left : left + width])


def test_every_pixel_of_a_mask_is_drawn() -> None:
    rng = np.random.default_rng(0)
    assert {random_pixel(ELL, rng) for _ in range(100)} == {(int(y), int(x)) for y, x in np.argwhere(ELL)}


def test_every_pixel_of_a_region_is_drawn_alike_and_a_sparse_one_too() -> None:
    rng = np.random.default_rng(0)
    half = np.zeros((4, 6), np.uint8)
    half[:, 3:] = 1
    drawn = Counter(random_pixel_of_region(half, rng) for _ in range(2400))
    assert set(drawn) == {(int(y), int(x)) for y, x in np.argwhere(half)}
    assert max(drawn.values()) < 1.35 * min(drawn.values())
    sparse = np.zeros((300, 300), np.uint8)
    sparse[7, 290] = 1
    assert random_pixel_of_region(sparse, rng) == (7, 290)
