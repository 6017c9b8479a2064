"""Points in a plane without axes as inline SVG, for pages that load nothing."""

from collections.abc import Sequence
from html import escape

from anomaly_gan.drawing.charts import Point

SIDE, RIM = 300, 14
POINT_PX = 5.0
"""Half the height of a mark; on a phone two panels share the width."""


def scatter_chart(marked: Sequence[Point], reference: Sequence[Point], rest: Sequence[Point], label: str) -> str:
    """Diamonds for the marked points over circles for those they are compared with, and faint dots for all others.

    Panels with the same points, in whatever part, have the same scale.

    Args:
        marked, reference, rest: (x, y); y grows upwards.
        label: what a screen reader says.

    Returns:
        An <svg> element; the label is escaped.
    """
    every = [*marked, *reference, *rest]
    xs, ys = [x for x, _ in every], [y for _, y in every]
    span = max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0

    def place(point: Point) -> tuple[float, float]:
        # in the middle, with one scale for both directions: t-SNE knows no directions
        right, up = (value - (min(of) + max(of)) / 2 for value, of in zip(point, (xs, ys), strict=True))
        return SIDE / 2 + right / span * (SIDE - 2 * RIM), SIDE / 2 - up / span * (SIDE - 2 * RIM)

    parts = [f'<svg class="map" role="img" viewBox="0 0 {SIDE} {SIDE}" aria-label="{escape(label)}">']
    for x, y in map(place, rest):
        parts.append(f'<circle class="rest" cx="{x:.1f}" cy="{y:.1f}" r="{POINT_PX / 2}"/>')
    for x, y in map(place, reference):
        parts.append(f'<circle class="reference" cx="{x:.1f}" cy="{y:.1f}" r="{POINT_PX}"/>')
    for x, y in map(place, marked):
        sides = f"M{x:.1f} {y - POINT_PX:.1f}l{POINT_PX} {POINT_PX}l-{POINT_PX} {POINT_PX}l-{POINT_PX} -{POINT_PX}z"
        parts.append(f'<path class="marked" d="{sides}"/>')
    return "".join([*parts, "</svg>"])
