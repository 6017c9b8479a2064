"""The report of an evaluation: one HTML page that holds all it shows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

from markupsafe import Markup

from anomaly_gan.detectors.detectors import find_detector
from anomaly_gan.drawing.charts import Point, interval_chart, line_chart
from anomaly_gan.drawing.grids import CHANGE_WHITE, GridRow, row_pictures
from anomaly_gan.drawing.pages import data_uri, page_template
from anomaly_gan.evaluation.arms import titles
from anomaly_gan.evaluation.cells import CellResult
from anomaly_gan.evaluation.comparison import Comparison
from anomaly_gan.evaluation.likeness import Likeness
from anomaly_gan.metrics.mask_change import MeasureSummary
from anomaly_gan.metrics.perceptual import LpipsScore
from anomaly_gan.reports.headline import headline


@dataclass(frozen=True)
class Absent:
    """A section the page does without, and why."""

    reason: str


@dataclass(frozen=True)
class MeasureTable:
    """Image measures, as `summarise` gives them; untrained: the same masks through first weights, or None."""

    trained: Mapping[str, MeasureSummary]
    untrained: Mapping[str, MeasureSummary] | None = None


@dataclass(frozen=True)
class Chart:
    """Curves for one pair of axes: name -> (x, y) in rising x."""

    title: str
    curves: Mapping[str, Sequence[Point]]
    x_label: str = "step"
    y_label: str = "loss"


@dataclass(frozen=True)
class Setting:
    """One resolved key of the spec and where its value comes from (default, preset, spec, --set)."""

    key: str
    value: str
    source: str


@dataclass(frozen=True)
class ReportData:
    """What the page shows; a section that is `Absent` is left away with its reason.

    Attributes:
        title: the heading, for example "Evaluation of blowhole".
        facts: what was run, in order: job, data set, model, preset, weights of the aware network, counts.
        rows: pictures, best chosen evenly and not by quality.
        lpips: scores of `lpips_real` and `ic_lpips`.
        provenance: what made it: versions, device, time, digests.
    """

    title: str
    facts: Mapping[str, str]
    rows: Sequence[GridRow] | Absent = Absent("no pictures were kept")
    measures: MeasureTable | Absent = Absent("not measured")
    likeness: Likeness | Absent = Absent("not measured")
    lpips: Sequence[LpipsScore] | Absent = Absent("not measured")
    detectors: Comparison | Absent = Absent("no detector was trained")
    charts: Sequence[Chart] | Absent = Absent("no curves were kept")
    settings: Sequence[Setting] | Absent = Absent("no settings were kept")
    provenance: Mapping[str, str] = field(default_factory=dict)


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
"""Columns of the table of features."""

LPIPS_NOTES = {
    "lpips_real": "generated against real images; lower is closer",
    "ic_lpips": "among generated images; higher is more diverse",
}


@dataclass(frozen=True)
class _MeasureRow:
    name: str
    explained: _Explained
    trained: str
    untrained: str
    n: int


def render_report(data: ReportData) -> str:
    """One self-contained HTML page: pictures as base64 PNG, curves as SVG, styles inline, nothing requested.

    All text is escaped; the page says of every section that is left away why it is.
    """
    compared = data.detectors if isinstance(data.detectors, Comparison) else None
    return page_template(__package__, "report.html.j2").render(
        data=data,
        present=lambda section: not isinstance(section, Absent),
        headline=None if compared is None else headline(compared),
        grid=[] if isinstance(data.rows, Absent) else list(_pictures(data.rows)),
        change_white=CHANGE_WHITE,
        measures=[] if isinstance(data.measures, Absent) else list(_measure_rows(data.measures)),
        likeness_rows=[] if isinstance(data.likeness, Absent) else list(_likeness_rows(data.likeness)),
        lpips_notes=LPIPS_NOTES,
        intervals=[] if compared is None else list(_intervals(compared)),
        detector=None if compared is None else find_detector(compared.config.name),
        score_titles=[] if compared is None else _measured(compared),
        detector_rows=[] if compared is None else list(_detector_rows(compared)),
        charts=[] if isinstance(data.charts, Absent) else list(_charts(data.charts)),
    )


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
            ["–" if one is None else f"{one.mean:.3g} ± {one.deviation:.2g}" for one in halves],
        )
    for name, scores in likeness.sets.items():
        values = [getattr(scores, score) for score in LIKENESS]
        yield name, f"{scores.real} : {scores.generated}", ["–" if one is None else f"{one:.3g}" for one in values]


def _cell(summary: MeasureSummary | None, form: str) -> str:
    if summary is None or summary["mean"] is None or summary["median"] is None:
        return "–"
    return f"{form.format(summary['mean'])} ({form.format(summary['median'])})"


SCORES: Mapping[str, Callable[[CellResult], float | None]] = {
    "pixel AP": lambda cell: cell.pixels.pixel_ap if cell.pixels else None,
    "F1": lambda cell: cell.pixels.f1_max if cell.pixels else None,
    "PRO": lambda cell: cell.pixels.pro if cell.pixels else None,
    "image AUROC": lambda cell: cell.pixels.image_auroc if cell.pixels else None,
    "box AP": lambda cell: cell.scores.box_ap,
    "box AP50": lambda cell: cell.scores.box_ap50,
    "mask AP": lambda cell: cell.scores.mask_ap,
    "mask AP50": lambda cell: cell.scores.mask_ap50,
    "mIoU": lambda cell: cell.scores.miou,
}
"""Column of the detectors' table -> its value, None where it was not measured."""


@dataclass(frozen=True)
class _ArmRow:
    title: str
    seeds: int
    shown: str
    values: tuple[str, ...]


def _measured(comparison: Comparison) -> list[str]:
    """The columns that this detector has."""
    return [name for name, score in SCORES.items() if score(comparison.cells[0]) is not None]


def _detector_rows(comparison: Comparison) -> Iterable[_ArmRow]:
    """One row for each arm, the base first."""
    for arm, title in titles(comparison.arms).items():
        cells = comparison.of_arm(arm)
        shown = ", ".join(f"{count} {name.replace('_', '-')}" for name, count in cells[0].shown.items())
        values = tuple(_spread([SCORES[name](cell) for cell in cells]) for name in _measured(comparison))
        yield _ArmRow(title, len(cells), shown, values)


def _spread(scores: Sequence[float | None]) -> str:
    """Mean and deviation over the seeds, in points of 100."""
    known = [100 * score for score in scores if score is not None]
    if not known:
        return "–"
    return f"{fmean(known):.1f}" + (f" ± {stdev(known):.1f}" if len(known) > 1 else "")


def _intervals(comparison: Comparison) -> Iterable[Markup]:
    """Dots with their intervals: each arm's pixel AP, and its difference from the base."""
    names = titles(comparison.arms)
    if comparison.pixel_ap:
        rows = {names[arm]: (one.mean, one.low, one.high) for arm, one in comparison.pixel_ap.items()}
        yield _dots(rows, "pixel AP, points of 100, with 95 % intervals")
    if comparison.verdicts:
        differences = {names[arm]: (one.difference, one.low, one.high) for arm, one in comparison.verdicts.items()}
        yield _dots(differences, "difference from real alone, in points", zero=0.0)


def _dots(rows: Mapping[str, tuple[float, float, float]], label: str, zero: float | None = None) -> Markup:
    points = {name: (100 * mean, 100 * low, 100 * high) for name, (mean, low, high) in rows.items()}
    return Markup(interval_chart(points, label, zero))  # escapes what it is given


def _charts(charts: Sequence[Chart]) -> Iterable[tuple[str, Markup]]:
    for chart in charts:
        # line_chart escapes what it is given.
        yield chart.title, Markup(line_chart(chart.curves, chart.x_label, chart.y_label))
