"""The sections of a report on the images themselves: each takes all data, and gives its heading and its HTML."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from anomaly_gan.drawing.charts import line_chart
from anomaly_gan.drawing.grids import CHANGE_WHITE, GridRow, row_pictures
from anomaly_gan.drawing.pages import data_uri
from anomaly_gan.evaluation.beside import Beside
from anomaly_gan.evaluation.likeness import Likeness
from anomaly_gan.metrics.diversity import Diversity
from anomaly_gan.metrics.mask_change import MeasureSummary
from anomaly_gan.metrics.two_sample import TwoSample
from anomaly_gan.reports.data import Absent, Chart, MeasureTable, ReportData
from anomaly_gan.reports.section import Section, absent, section


@dataclass(frozen=True)
class _Explained:
    better: str
    meaning: str
    form: str


MEASURES: Mapping[str, _Explained] = {
    "mask_hit": _Explained(
        better="higher is better",
        meaning="Does the change lie where the mask asked for it? Average precision of |raw - normal| for "
        "the mask's pixels: 1 = exactly there, the mask's share of the image = by chance.",
        form="{:.3f}",
    ),
    "in_mask_change": _Explained(
        better="higher is better, up to what real anomalies show",
        meaning="Mean change inside the mask in grey levels: 0 = no anomaly appeared.",
        form="{:.1f}",
    ),
    "background_mae_raw": _Explained(
        better="lower is better",
        meaning="Mean change of the background in grey levels, as the generator left it.",
        form="{:.2f}",
    ),
    "background_mae_pasted": _Explained(
        better="must be 0",
        meaning="The same after the normal image is pasted back outside the feathered mask.",
        form="{:.2f}",
    ),
    "background_slope": _Explained(
        better="1 is best",
        meaning="Contrast of the background that the generator kept: 1 = all, 0 = none.",
        form="{:.3f}",
    ),
    "grid_excess": _Explained(
        better="0 or below is best",
        meaning="Checkerboard pattern beyond the normal image's own, in decades of power at 1/4 and 1/2 "
        "cycle per pixel.",
        form="{:+.2f}",
    ),
}

LIKENESS = ("kid", "frechet", "precision", "recall", "density", "coverage")
"""Scores of the table of features, in the order of its columns."""

LIKENESS_COLUMNS = ("KID", "Fréchet", "precision", "recall", "density", "coverage", "p (real : set)")
DIVERSITY_COLUMNS = ("to training", "among", "within clusters")


SHARE_OF_LARGEST = 48.0
"""Percent of a figure's width that the largest crop of a pair takes; two and a gap fill it."""


@dataclass(frozen=True)
class _Pair:
    """(what it is, data URI, percent of the figure's width) of two crops, and their distance."""

    pictures: list[tuple[str, str, float]]
    distance: str


@dataclass(frozen=True)
class _MeasureRow:
    name: str
    explained: _Explained
    trained: str
    untrained: str
    n: int


def pictures(data: ReportData) -> Section | None:
    """Normal picture, mask and result, row by row."""
    title = "Pictures"
    if data.rows is None or isinstance(data.rows, Absent):
        return absent(title, data.rows)
    return section(title, "pictures", grid=list(_pictures(data.rows)), change_white=CHANGE_WHITE)


def beside(data: ReportData) -> Section | None:
    """Generated anomalies beside the real ones they are most like, at one scale."""
    title = "Beside real ones: best, median and worst"
    if data.beside is None or isinstance(data.beside, Absent):
        return absent(title, data.beside)
    largest = max(max(len(one.generated), len(one.real)) for pairs in data.beside.values() for one in pairs)
    groups = [(name, [_pair(one, largest) for one in pairs]) for name, pairs in data.beside.items()]
    return section(title, "beside", groups=groups)


def placement(data: ReportData) -> Section | None:
    """Measures of the change inside and outside the masks."""
    title = "Do the generated anomalies sit in their masks?"
    if data.measures is None or isinstance(data.measures, Absent):
        return absent(title, data.measures)
    return section(title, "placement", measures=list(_measure_rows(data.measures)))


def likeness(data: ReportData) -> Section | None:
    """Features of crops beside those of real anomalies."""
    title = "Do they look like real anomalies?"
    if data.likeness is None or isinstance(data.likeness, Absent):
        return absent(title, data.likeness)
    source = next(iter(data.likeness.sets.values()))
    return section(title, "likeness", rows=list(_likeness_rows(data.likeness)), columns=LIKENESS_COLUMNS, source=source)


def perceptual(data: ReportData) -> Section | None:
    """Diversity by perceptual distances."""
    title = "Are they as diverse as real ones?"
    if data.perceptual is None or isinstance(data.perceptual, Absent):
        return absent(title, data.perceptual)
    tables = [(network, list(_diversity_rows(sets))) for network, sets in data.perceptual.networks.items()]
    return section(title, "perceptual", tables=tables, columns=DIVERSITY_COLUMNS, missing=data.perceptual.missing)


def training(data: ReportData) -> Section | None:
    """The curves of the generator's training."""
    title = "Training curves"
    if data.charts is None or isinstance(data.charts, Absent):
        return absent(title, data.charts)
    return section(title, "training", charts=list(_charts(data.charts)))


def _pictures(rows: Sequence[GridRow]) -> Iterable[tuple[str, dict[str, str]]]:
    """(caption, column title -> data URI) of every row."""
    for row in rows:
        yield row.caption, {title: data_uri(picture) for title, picture in row_pictures(row).items()}


def _measure_rows(table: MeasureTable) -> Iterable[_MeasureRow]:
    for name, explained in MEASURES.items():
        if name in table.trained:
            before = table.untrained.get(name) if table.untrained else None
            after = table.trained[name]
            yield _MeasureRow(
                name,
                explained,
                trained=_cell(after, explained.form),
                untrained=_cell(before, explained.form),
                n=after["n"],
            )


def _likeness_rows(likeness: Likeness) -> Iterable[tuple[str, str, list[str]]]:
    """(set, pictures, its scores), the floor first."""
    floor = likeness.floor
    if floor is not None:
        halves = [floor.scores[name] for name in LIKENESS]
        yield (
            "halves of the real ones",
            f"{floor.real // 2} : {floor.real - floor.real // 2}",
            [*("–" if one is None else f"{one.mean:.3g} ± {one.deviation:.2g}" for one in halves), "–"],
        )
    for name, scores in likeness.sets.items():
        values = [getattr(scores, score) for score in LIKENESS]
        shown = ["–" if one is None else f"{one:.3g}" for one in values]
        yield name, f"{scores.real} : {scores.generated}", [*shown, _p_value(likeness.two_sample.get(name))]


def _p_value(test: TwoSample | None) -> str:
    return "–" if test is None else f"{test.p_value:.2g} ({test.units[0]} : {test.units[1]})"


def _diversity_rows(sets: Mapping[str, Diversity]) -> Iterable[tuple[str, int, list[str]]]:
    """(set, its pictures, its distances)."""
    for name, one in sets.items():
        values = (one.to_real, one.among, one.within_clusters)
        yield name, one.pictures, ["–" if value is None else f"{value:.3f}" for value in values]


def _cell(summary: MeasureSummary | None, form: str) -> str:
    if summary is None or summary["mean"] is None or summary["median"] is None:
        return "–"
    return f"{form.format(summary['mean'])} ({form.format(summary['median'])})"


def _charts(charts: Sequence[Chart]) -> Iterable[tuple[str, list[tuple[str, Markup]]]]:
    """(title, its curves), each curve on axes of its own: beside a large term a small one would look flat."""
    for chart in charts:
        # line_chart escapes what it is given.
        yield (
            chart.title,
            [(name, Markup(line_chart(curve, chart.x_label, chart.y_label))) for name, curve in chart.curves.items()],
        )


def _pair(pair: Beside, largest_px: int) -> _Pair:
    pictures = [
        (name, data_uri(picture), round(SHARE_OF_LARGEST * picture.shape[1] / largest_px, 2))
        for name, picture in (("generated", pair.generated), ("real", pair.real))
    ]
    return _Pair(pictures, f"{pair.distance:.3f}")
