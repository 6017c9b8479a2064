"""Polygons that reach over the border of a canvas."""

import pytest

from anomaly_gan.masks.drawn.canvas import area, cut_polygon

Points = list[tuple[float, float]]

SIZE = (20, 10)
SQUARE: Points = [(2, 2), (6, 2), (6, 6), (2, 6)]
ELL: Points = [(-4, 0), (8, 0), (8, 2), (0, 2), (0, 8), (-4, 8)]


@pytest.mark.parametrize(
    ("points", "whole", "inside"),
    [
        (SQUARE, 16, 16),
        ([(-2, 2), (2, 2), (2, 6), (-2, 6)], 16, 8),
        ([(-5, -5), (25, -5), (25, 15), (-5, 15)], 600, 200),
        ([(18, 8), (22, 8), (22, 12), (18, 12)], 16, 4),
        (ELL, 48, 16),
        ([(0, 0), (-10, 0), (-10, 10)], 50, 0),
        ([(30, 30), (40, 30), (40, 40)], 50, 0),
        ([(1, 1), (5, 5)], 0, 0),
        ([], 0, 0),
    ],
)
def test_the_area_inside_is_that_of_the_part_inside(points: Points, whole: float, inside: float) -> None:
    assert area(points) == pytest.approx(whole)
    assert area(cut_polygon(points, SIZE)) == pytest.approx(inside)
