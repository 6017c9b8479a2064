"""The report of an evaluation or a study: one HTML page that holds all it shows."""

from collections.abc import Callable

from anomaly_gan.drawing.pages import page_template
from anomaly_gan.evaluation.comparison import schedules
from anomaly_gan.reports.data import Absent, ReportData
from anomaly_gan.reports.detector_sections import by_class, detectors, failures, intervals, verdict_rows
from anomaly_gan.reports.headline import headline
from anomaly_gan.reports.image_sections import beside, likeness, perceptual, pictures, placement, training
from anomaly_gan.reports.map_section import feature_map
from anomaly_gan.reports.realism_section import realism
from anomaly_gan.reports.schedule_section import training_length
from anomaly_gan.reports.section import Section, absent, section


def settings(data: ReportData) -> Section | None:
    """Resolved keys."""
    if isinstance(data.settings, Absent):
        return absent("Settings", data.settings)
    return section("Settings", "settings", settings=data.settings)


SECTIONS: tuple[Callable[[ReportData], Section | None], ...] = (
    pictures,
    beside,
    placement,
    realism,
    likeness,
    feature_map,
    perceptual,
    detectors,
    by_class,
    training_length,
    failures,
    training,
    settings,
)
"""In the order of the page; a further one is a function here and a template in `sections/`."""


def render_report(data: ReportData) -> str:
    """One self-contained HTML page: pictures as base64 PNG, curves as SVG, styles inline, nothing requested.

    All text is escaped; the page says of every section that is left away why it is.
    """
    detectors = [] if isinstance(data.detectors, Absent) else data.detectors
    compared = [trained[-1] for trained in schedules(detectors).values()]
    return page_template(__package__, "report.html.j2").render(
        data=data,
        headline=headline(compared) if compared else None,
        intervals=list(intervals(compared[0])) if len(compared) == 1 else [],
        verdicts=list(verdict_rows(compared)) if len(compared) > 1 else [],
        sections=[made for make in SECTIONS if (made := make(data)) is not None],
    )
