"""Charts as text: what lies where, and nothing that could be taken for markup."""

import re

import pytest

from anomaly_gan.drawing.charts import band_chart, curves_chart


def test_a_band_chart_has_each_value_where_it_lies_of_the_band() -> None:
    svg = band_chart({"below": -4.0, "<in>": 0.5, "above": 3.0}, (-1.0, 0.0, 2.0), "contrast")
    [(left, width)] = re.findall(r'<rect class="band" x="([\d.]+)" y="\d+" width="([\d.]+)"', svg)
    below, inside, above = (float(x) for x in re.findall(r'<circle cx="([\d.]+)"', svg))
    assert below < float(left) < inside < float(left) + float(width) < above
    assert "&lt;in&gt;" in svg and "<in>" not in svg


def test_curves_stand_at_the_logarithm_of_x_with_their_intervals() -> None:
    curve = [(100.0, (1.0, 0.0, 2.0)), (200.0, (2.0, 1.0, 4.0)), (400.0, (3.0, 3.0, 3.0))]
    svg = curves_chart({"a": curve, "<b>": curve[:1]}, "steps", "<points>")
    points = [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)]
    first, second, third, other = points
    assert second[0] - first[0] == pytest.approx(third[0] - second[0], abs=0.2)
    assert first[1] > second[1] > third[1]
    assert other[0] > first[0] and other[1] == first[1]
    ends = [
        (float(y1), float(y2))
        for y1, y2 in re.findall(r'<line x1="[\d.]+" x2="[\d.]+" y1="([\d.]+)" y2="([\d.]+)" s', svg)
    ]
    assert len(ends) == 4 and ends[0][0] > first[1] > ends[0][1] and ends[2][0] == ends[2][1]
    assert [tick for tick in re.findall(r">(\d+)</text>", svg) if len(tick) == 3] == ["100", "200", "400"]
    assert "&lt;points&gt;" in svg and "<points>" not in svg


def test_a_curve_of_one_point_is_drawn() -> None:
    assert curves_chart({"a": [(100.0, (1.0, 1.0, 1.0))]}, "steps", "points").count("<circle") == 1
