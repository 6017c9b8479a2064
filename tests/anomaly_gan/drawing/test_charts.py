"""Charts as text: what lies where, and nothing that could be taken for markup."""

import re

from anomaly_gan.drawing.charts import band_chart


def test_a_band_chart_has_each_value_where_it_lies_of_the_band() -> None:
    svg = band_chart({"below": -4.0, "<in>": 0.5, "above": 3.0}, (-1.0, 0.0, 2.0), "contrast")
    [(left, width)] = re.findall(r'<rect class="band" x="([\d.]+)" y="\d+" width="([\d.]+)"', svg)
    below, inside, above = (float(x) for x in re.findall(r'<circle cx="([\d.]+)"', svg))
    assert below < float(left) < inside < float(left) + float(width) < above
    assert "&lt;in&gt;" in svg and "<in>" not in svg
