"""The section on the length of training: arms are judged by data only where more steps no longer help real alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup

from anomaly_gan.detectors.detectors import find_detector
from anomaly_gan.drawing.charts import COLORS, Interval, curves_chart
from anomaly_gan.evaluation.arms import BASE, titles
from anomaly_gan.evaluation.comparison import Comparison, schedules
from anomaly_gan.reports.data import Absent, ReportData
from anomaly_gan.reports.section import Section, section

GAINS = {"helps": "more steps help", "harms": "more steps do harm", "undecided": "undecided whether more steps help"}


@dataclass(frozen=True)
class _Curves:
    """One detector; `legend` has (colour, arm), `gains` a sentence for each schedule but the shortest."""

    detector: str
    svg: Markup
    legend: list[tuple[str, str]]
    gains: list[str]


def training_length(data: ReportData) -> Section | None:
    """A chart for each detector that was trained for several numbers of steps."""
    if isinstance(data.detectors, Absent):
        return None
    several = {
        name: trained
        for name, of_name in schedules(data.detectors).items()
        if len(trained := [one for one in of_name if one.cells]) > 1
    }
    charts = [_curves(name, trained) for name, trained in several.items()]
    return section("Is the training long enough?", "schedules", charts=charts) if charts else None


def _curves(name: str, trained: Sequence[Comparison]) -> _Curves:
    arms = titles(dict.fromkeys(arm for one in trained for arm in one.arms))
    curves = {
        title: [(float(one.config.steps), _score(one, arm)) for one in trained if one.of_arm(arm)]
        for arm, title in arms.items()
    }
    score = "pixel AP" if all(one.pixel_ap for one in trained) else "box AP"
    svg = Markup(curves_chart(curves, "optimiser steps", f"{score}, points"))  # escapes what it is given
    legend = [(COLORS[number % len(COLORS)], title) for number, title in enumerate(curves)]
    return _Curves(find_detector(name).title, svg, legend, [gain for one in trained if (gain := _gain(one))])


def _score(one: Comparison, arm: str) -> Interval:
    """Points of 100; a detector of boxes alone has no interval."""
    if arm in one.pixel_ap:
        found = one.pixel_ap[arm]
        return 100 * found.mean, 100 * found.low, 100 * found.high
    mean = 100 * fmean(cell.scores.box_ap for cell in one.of_arm(arm))
    return mean, mean, mean


def _gain(one: Comparison) -> str:
    if one.more_steps is None or BASE not in one.more_steps.verdicts:
        return ""
    verdict = one.more_steps.verdicts[BASE]
    difference, low, high = (100 * value for value in (verdict.difference, verdict.low, verdict.high))
    return (
        f"Real alone, from {one.more_steps.fewer} to {one.config.steps} steps: {GAINS[verdict.word]},"
        f" {difference:+.1f} points (95 % interval {low:+.1f} to {high:+.1f})."
    )
