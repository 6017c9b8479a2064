"""The sections of a report on detectors: what each arm is worth, class by class, and what failed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from markupsafe import Markup

from anomaly_gan.detectors.detectors import find_detector
from anomaly_gan.drawing.charts import interval_chart
from anomaly_gan.evaluation.arms import titles
from anomaly_gan.evaluation.cells import CellResult
from anomaly_gan.evaluation.comparison import Comparison, schedules
from anomaly_gan.metrics.detection import ClassScores
from anomaly_gan.reports.data import Absent, ReportData
from anomaly_gan.reports.section import Section, absent, section

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


def _of_class(read: Callable[[ClassScores], float | None]) -> Callable[[CellResult, str], float | None]:
    return lambda cell, name: read(cell.scores.per_class[name])


CLASS_SCORES: Mapping[str, Callable[[CellResult, str], float | None]] = {
    "pixel AP": lambda cell, name: cell.class_pixel_ap.get(name),
    "box AP": _of_class(lambda scores: scores.box_ap),
    "box AP50": _of_class(lambda scores: scores.box_ap50),
    "mask AP": _of_class(lambda scores: scores.mask_ap),
    "IoU": _of_class(lambda scores: scores.iou),
}
"""Table by class -> a class's value, None where it was not measured."""


@dataclass(frozen=True)
class _ArmRow:
    title: str
    seeds: int
    shown: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class _DetectorTable:
    """One detector: how it was trained, and a row for each arm, the base first."""

    comparison: Comparison
    title: str
    has_masks: bool
    has_backbone: bool
    columns: list[str]
    rows: list[_ArmRow]
    charts: list[Markup]


@dataclass(frozen=True)
class _ClassTable:
    """One score: a row for each detector and arm with the value of each class, and their mean."""

    score: str
    rows: list[tuple[str, str, list[str]]]


@dataclass(frozen=True)
class VerdictRow:
    """What one detector says of one arm; `word` is empty where nothing is judged."""

    detector: str
    arm: str
    word: str
    scores: str
    difference: str


def detectors(data: ReportData) -> Section | None:
    """A table for each detector."""
    title = "Does a detector learn from them?"
    if isinstance(data.detectors, Absent):
        return absent(title, data.detectors)
    tables = [_table(one, has_charts=len(data.detectors) > 1) for one in data.detectors if one.cells]
    return section(title, "detectors", tables=tables, thresholds=_thresholds(data.detectors))


def by_class(data: ReportData) -> Section | None:
    """Scores of each class, where there are several, of the longest training of each detector."""
    if isinstance(data.detectors, Absent) or not data.detectors or len(data.detectors[0].classes) < 2:
        return None
    with_cells = [trained[-1] for trained in schedules(data.detectors).values() if trained[-1].cells]
    tables = [_class_table(score, with_cells) for score in CLASS_SCORES]
    classes = data.detectors[0].classes
    return section("Class by class", "classes", tables=[one for one in tables if one.rows], classes=classes)


def failures(data: ReportData) -> Section | None:
    """Cells without a result, and why."""
    if isinstance(data.detectors, Absent):
        return None
    rows = [
        (f"{_detector(one)}, {one.config.steps} steps", titles([cell.arm])[cell.arm], cell.seed, cell.reason)
        for one in data.detectors
        for cell in one.failed
    ]
    return section("Detectors that failed", "failures", rows=rows) if rows else None


def verdict_rows(comparisons: Sequence[Comparison]) -> Iterable[VerdictRow]:
    """Each arm but the base, detector by detector."""
    for one in comparisons:
        names = titles(one.arms)
        for arm, verdict in one.verdicts.items():
            yield VerdictRow(
                detector=_detector(one),
                arm=names[arm],
                word=verdict.word,
                scores=f"{100 * one.pixel_ap[arm].mean:.1f}",
                difference=f"{100 * verdict.difference:+.1f} ({100 * verdict.low:+.1f} to {100 * verdict.high:+.1f})",
            )
        if not one.verdicts:
            yield VerdictRow(_detector(one), "all arms", "", "–", "not judged")


def intervals(comparison: Comparison) -> Iterable[Markup]:
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


def _detector(comparison: Comparison) -> str:
    return find_detector(comparison.config.name).title


def _thresholds(comparisons: Sequence[Comparison]) -> str:
    return " and ".join(dict.fromkeys(str(one.config.score_threshold) for one in comparisons))


def _table(comparison: Comparison, *, has_charts: bool) -> _DetectorTable:
    entry = find_detector(comparison.config.name)
    columns = [name for name, score in SCORES.items() if any(score(cell) is not None for cell in comparison.cells)]
    rows = []
    for arm, title in titles(comparison.arms).items():
        cells = comparison.of_arm(arm)
        shown = ", ".join(f"{count} {name.replace('_', '-')}" for name, count in cells[0].shown.items())
        values = tuple(_spread([SCORES[name](cell) for cell in cells]) for name in columns)
        rows.append(_ArmRow(title, len(cells), shown, values))
    charts = list(intervals(comparison)) if has_charts else []
    return _DetectorTable(comparison, entry.title, entry.has_masks, entry.has_backbone, columns, rows, charts)


def _class_table(score: str, comparisons: Sequence[Comparison]) -> _ClassTable:
    rows = []
    for one in comparisons:
        for arm, title in titles(one.arms).items():
            cells = one.of_arm(arm)
            columns = [[CLASS_SCORES[score](cell, name) for cell in cells] for name in one.classes]
            means = [_mean_of_known(values) for values in zip(*columns, strict=True)]
            if any(value is not None for value in means):
                rows.append((_detector(one), title, [*(_spread(values) for values in columns), _spread(means)]))
    return _ClassTable(score, rows)


def _mean_of_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _spread(scores: Sequence[float | None]) -> str:
    """Mean and deviation over the seeds, in points of 100."""
    known = [100 * score for score in scores if score is not None]
    if not known:
        return "–"
    return f"{fmean(known):.1f}" + (f" ± {stdev(known):.1f}" if len(known) > 1 else "")
