"""The section with the map of features: where a set of anomalies lies among real ones."""

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from anomaly_gan.drawing.scatter import scatter_chart
from anomaly_gan.evaluation.feature_map import FeatureMap
from anomaly_gan.reports.data import Absent, ReportData
from anomaly_gan.reports.section import Section, absent, section


@dataclass(frozen=True)
class _Panel:
    """`crops` are all of the set; `p_value` is empty where there was no test."""

    name: str
    crops: int
    p_value: str
    svg: Markup


def feature_map(data: ReportData) -> Section | None:
    """A panel for each set, all of one plane."""
    title = "Where do they lie among real ones?"
    if data.feature_map is None or isinstance(data.feature_map, Absent):
        return absent(title, data.feature_map)
    found = data.feature_map
    return section(title, "map", panels=list(_panels(found)), real=found.real_crops, source=found.source)


def _panels(found: FeatureMap) -> Iterable[_Panel]:
    for name, one in found.sets.items():
        rest = [place for other, of_other in found.sets.items() if other != name for place in of_other.places]
        test = one.two_sample
        p_value = "" if test is None else f"{test.p_value:.2g}"
        svg = scatter_chart(one.places, found.real, rest, f"{name}, beside real anomalies")
        yield _Panel(name, one.crops, p_value, Markup(svg))  # scatter_chart escapes what it is given
