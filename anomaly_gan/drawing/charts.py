"""Line charts and intervals as inline SVG, for pages that load nothing."""

import math
from collections.abc import Mapping, Sequence
from html import escape

Point = tuple[float, float]
Interval = tuple[float, float, float]

COLORS = ("#1f6f8b", "#c8553d", "#5b8c3e", "#8a5aa8", "#b8860b", "#555555", "#2e8b8b", "#a83a6a")
WIDTH, HEIGHT = 460, 230
LEFT, RIGHT, TOP, BOTTOM = 84, 22, 10, 40
ROW_PX = 46
ASIDE_PX = 8
"""Curves stand beside each other by so much, so that their intervals do not hide each other."""
MOST_POINTS = 200
"""More would be finer than the chart's pixels; longer curves are shown as means of equal stretches."""


def line_chart(curve: Sequence[Point], x_label: str, y_label: str) -> str:
    """A curve on linear axes.

    Args:
        curve: (x, y) in rising x; points that are not finite are left out.

    Returns:
        An <svg> element; labels are escaped.
    """
    drawn = _thinned([point for point in curve if all(map(math.isfinite, point))])
    points = drawn or [(0.0, 0.0)]
    x_ticks = _ticks(min(x for x, _ in points), max(x for x, _ in points))
    y_ticks = _ticks(min(0.0, *(y for _, y in points)), max(y for _, y in points))

    def place(x: float, y: float) -> tuple[float, float]:
        right = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (WIDTH - LEFT - RIGHT)
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (HEIGHT - TOP - BOTTOM)
        return LEFT + right, HEIGHT - BOTTOM - up

    title = f"{escape(y_label)} over {escape(x_label)}"
    box = f"0 0 {WIDTH} {HEIGHT}"
    parts = [f'<svg class="chart" role="img" viewBox="{box}" aria-label="{title}">']
    for tick in y_ticks:
        _, y = place(x_ticks[0], tick)
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    for tick in x_ticks:
        x, _ = place(tick, y_ticks[0])
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_number(tick)}</text>')
    parts.append(_label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label))
    parts.append(f'<g transform="translate(15 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">{_label(0, 0, y_label)}</g>')
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in drawn))
    parts.append(f'<polyline fill="none" stroke="{COLORS[0]}" stroke-width="1.6" points="{path}"/>')
    return "".join([*parts, "</svg>"])


def curves_chart(curves: Mapping[str, Sequence[tuple[float, Interval]]], x_label: str, y_label: str) -> str:
    """Curves of few points with their intervals, on one pair of axes; x is drawn by its logarithm, with each x named.

    The curves have `COLORS` in their order; a legend is the caller's.

    Args:
        curves: name -> (x, (mean, low, high)) in rising x, which is above 0.

    Returns:
        An <svg> element; labels are escaped.
    """
    xs = sorted({x for curve in curves.values() for x, _ in curve})
    every = [value for curve in curves.values() for _, interval in curve for value in interval]
    ticks, inner = _ticks(min(every), max(every)), WIDTH - LEFT - RIGHT - 2 * ROW_PX
    span = math.log(xs[-1] / xs[0]) or 1.0

    def at(x: float) -> float:
        return LEFT + ROW_PX + math.log(x / xs[0]) / span * inner

    def height(y: float) -> float:
        return HEIGHT - BOTTOM - (y - ticks[0]) / (ticks[-1] - ticks[0]) * (HEIGHT - TOP - BOTTOM)

    title = f"{escape(y_label)} over {escape(x_label)}"
    parts = [f'<svg class="chart" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{title}">']
    for tick in ticks:
        y = height(tick)
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    for x in xs:
        parts.append(f'<text x="{at(x):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_number(x)}</text>')
    for number, curve in enumerate(curves.values()):
        color, aside = COLORS[number % len(COLORS)], (number - (len(curves) - 1) / 2) * ASIDE_PX
        places = [(at(x) + aside, *(height(y) for y in interval)) for x, interval in curve]
        path = " ".join(f"{x:.1f},{mean:.1f}" for x, mean, _, _ in places)
        parts.append(f'<polyline fill="none" stroke="{color}" stroke-width="1.6" points="{path}"/>')
        for x, mean, low, high in places:
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="{color}"/>')
            parts.append(f'<circle cx="{x:.1f}" cy="{mean:.1f}" r="4" fill="{color}"/>')
    parts.append(_label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label))
    parts.append(f'<g transform="translate(15 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">{_label(0, 0, y_label)}</g>')
    return "".join([*parts, "</svg>"])


def interval_chart(rows: Mapping[str, Interval], x_label: str, zero: float | None = None) -> str:
    """A dot and its interval for each row, below its name, on one axis.

    Args:
        rows: name -> (mean, low, high).
        zero: where a line marks no difference; None = nowhere.

    Returns:
        An <svg> element; names and labels are escaped.
    """
    axis = _RowAxis([value for row in rows.values() for value in row] + ([] if zero is None else [zero]), len(rows))
    parts = []
    if zero is not None:
        x = axis.place(zero)
        ends = f'x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{axis.bottom}"'
        parts.append(f'<line {ends} stroke="#1d2429" stroke-width="1.2"/>')
    for i, (mean, low, high) in enumerate(rows.values()):
        y, color = axis.middle(i), COLORS[i % len(COLORS)]
        ends = f'x1="{axis.place(low):.1f}" x2="{axis.place(high):.1f}" y1="{y}" y2="{y}"'
        parts.append(f'<line {ends} stroke="{color}" stroke-width="2.5" stroke-linecap="round"/>')
        parts.append(f'<circle cx="{axis.place(mean):.1f}" cy="{y}" r="4.5" fill="{color}"/>')
    return axis.drawn(list(rows), parts, x_label)


def band_chart(rows: Mapping[str, float], band: Interval, x_label: str) -> str:
    """A dot for each row, over the band of what is usual, on one axis.

    Args:
        rows: name -> value.
        band: its low end, its middle and its high end.

    Returns:
        An <svg> element; names and labels are escaped.
    """
    low, middle, high = band
    axis = _RowAxis([*rows.values(), *band], len(rows))
    left, right = axis.place(low), axis.place(high)
    across = f'y="{TOP}" width="{right - left:.1f}" height="{axis.bottom - TOP}"'
    parts = [f'<rect class="band" x="{left:.1f}" {across} fill="#1f6f8b" opacity="0.15"/>']
    x = axis.place(middle)
    parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{axis.bottom}" stroke="#1f6f8b" stroke-width="1.2"/>')
    for i, value in enumerate(rows.values()):
        color = COLORS[i % len(COLORS)]
        parts.append(f'<circle cx="{axis.place(value):.1f}" cy="{axis.middle(i)}" r="4.5" fill="{color}"/>')
    return axis.drawn(list(rows), parts, x_label)


class _RowAxis:
    """One axis for rows, each below its name: at its left a name would take a third of a phone.

    Attributes:
        bottom: y of the axis.
    """

    def __init__(self, values: Sequence[float], rows: int) -> None:
        self._ticks = _ticks(min(values), max(values))
        self.bottom = TOP + ROW_PX * rows

    def place(self, value: float) -> float:
        first, last = self._ticks[0], self._ticks[-1]
        return RIGHT + (value - first) / (last - first) * (WIDTH - 2 * RIGHT)

    def middle(self, row: int) -> int:
        return TOP + ROW_PX * row + 32

    def drawn(self, names: Sequence[str], marks: Sequence[str], x_label: str) -> str:
        box, label = f"0 0 {WIDTH} {self.bottom + BOTTOM}", escape(x_label)
        parts = [f'<svg class="chart" role="img" viewBox="{box}" aria-label="{label}">']
        for tick in self._ticks:
            x = self.place(tick)
            parts.append(f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{self.bottom}"/>')
            parts.append(f'<text x="{x:.1f}" y="{self.bottom + 16}" text-anchor="middle">{_number(tick)}</text>')
        for i, name in enumerate(names):
            parts.append(f'<text class="axis name" x="{RIGHT}" y="{self.middle(i) - 14}">{escape(name)}</text>')
        end = _label(WIDTH / 2, self.bottom + BOTTOM - 8, x_label)
        return "".join([*parts, *marks, end, "</svg>"])


def _label(x: float, y: float, text: str) -> str:
    return f'<text class="axis" x="{x:.0f}" y="{y:.0f}" text-anchor="middle">{escape(text)}</text>'


def _thinned(curve: Sequence[Point]) -> list[Point]:
    stretch = math.ceil(len(curve) / MOST_POINTS)
    if stretch <= 1:
        return list(curve)
    return [
        (sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part))
        for part in (curve[start : start + stretch] for start in range(0, len(curve), stretch))
    ]


def _ticks(low: float, high: float) -> list[float]:
    """Four to seven round numbers that enclose low..high."""
    span = (high - low) or abs(high) or 1.0
    power = 10 ** math.floor(math.log10(span / 4))
    step = next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= 5)
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    return [i * step for i in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{value:.10g}" if abs(value) < 10_000 else f"{value / 1000:g}k"
