"""The section on realism: what anomalies look like, measure by measure, beside the band of real ones."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup

from anomaly_gan.drawing.charts import band_chart
from anomaly_gan.evaluation.realism import RealismSet, RealismTable
from anomaly_gan.metrics.bands import Band
from anomaly_gan.reports.data import Absent, ReportData
from anomaly_gan.reports.section import Section, absent, section

EXPLAINED: Mapping[str, str] = {
    "unlikeness": "all measures of the look together: how far a picture lies from the real ones, in deviations",
    "contrast": "mean of the mask against its surroundings, as a share of the way to black (negative) or white",
    "visible": "share of the mask that is darker or brighter than nine tenths of the surroundings",
    "texture": "deviation of the Laplacian in the mask against that of the surroundings, in powers of two",
    "fine": "detail of a few pixels against that of the surroundings, in powers of two",
    "middle": "the same of larger detail",
    "coarse": "the same of the largest",
    "edge": "gradient along the outline against that of the surroundings, in powers of two",
    "coherence": "correlation of neighbouring pixels of the mask",
    "grid": "how regular the mask is at the periods at which networks leave grids",
    "red_green": "how much redder than green the mask is than its surroundings, grey levels",
    "yellow_blue": "how much yellower than blue, grey levels",
    "fill_recall": "share of the mask that was changed",
    "fill_precision": "share of what was changed that lies in the mask or its feather",
    "behind": "correlation with what lay behind: about 0 is opaque, towards 1 shines through",
}
"""In the order of the page."""

DRAWN = ("unlikeness", "contrast", "texture", "behind")
"""Measures that have a chart."""


@dataclass(frozen=True)
class _Row:
    """`values`: of each column the figure, and whether it lies beyond the band."""

    name: str
    pictures: str
    kept: str
    within: str
    values: list[tuple[str, bool]]


def realism(data: ReportData) -> Section | None:
    """Realism without a network."""
    title = "What do they look like, beside real ones?"
    if data.realism is None or isinstance(data.realism, Absent):
        return absent(title, data.realism)
    table = data.realism
    columns = [name for name in EXPLAINED if any(name in one.medians for one in table.sets.values())]
    return section(
        title,
        "realism",
        columns=columns,
        rows=[_band_row(table, columns), *(_row(name, one, table, columns) for name, one in table.sets.items())],
        explanations=[(name, EXPLAINED[name]) for name in columns],
        charts=list(_charts(table)),
        n=max((band.n for band in table.bands.values()), default=0),
    )


def _band_row(table: RealismTable, columns: list[str]) -> _Row:
    values = [(_band(table.bands[name]) if name in table.bands else "", False) for name in columns]
    return _Row("real, test split: the band", "", "", "", values)


def _row(name: str, one: RealismSet, table: RealismTable, columns: list[str]) -> _Row:
    values = []
    for column in columns:
        value, band = one.medians.get(column), table.bands.get(column)
        is_out = value is not None and band is not None and not band.low <= value <= band.high
        values.append(("" if value is None else f"{value:.2f}", is_out))
    kept = "" if one.kept is None else f"{one.kept:.0%}"
    within = f"{fmean(one.within.values()):.0%}" if one.within else ""
    return _Row(name, str(one.n), kept, within, values)


def _band(band: Band) -> str:
    return f"{band.low:.2f} .. {band.high:.2f}"


def _charts(table: RealismTable) -> Iterable[tuple[str, Markup]]:
    for name in DRAWN:
        rows = {of: one.medians[name] for of, one in table.sets.items() if name in one.medians}
        if rows and name in table.bands:
            band = table.bands[name]
            yield name, Markup(band_chart(rows, (band.low, band.median, band.high), EXPLAINED[name]))
