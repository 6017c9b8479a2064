"""What the report of an evaluation or a study is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from anomaly_gan.drawing.charts import Point
from anomaly_gan.drawing.grids import GridRow
from anomaly_gan.evaluation.beside import Beside
from anomaly_gan.evaluation.comparison import Comparison
from anomaly_gan.evaluation.feature_map import FeatureMap
from anomaly_gan.evaluation.likeness import Likeness
from anomaly_gan.evaluation.perceptual import Perceptual
from anomaly_gan.evaluation.realism import RealismTable
from anomaly_gan.metrics.mask_change import MeasureSummary


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
    """Curves that belong together, each on axes of its own: name -> (x, y) in rising x."""

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
    """What the page shows; a section that is `Absent` is left away with its reason, one that is None without a word.

    Attributes:
        title: the heading, for example "Evaluation of blowhole".
        facts: what was run, in order: job, data set, model, preset, weights of the aware network, counts.
        rows: pictures, best chosen evenly and not by quality.
        beside: best, median and worst generated anomalies with the real ones they are most like.
        feature_map: the anomalies of `likeness` in one plane.
        perceptual: diversity by perceptual distances.
        detectors: a comparison for each detector.
        provenance: what made it: versions, device, time, digests.
    """

    title: str
    facts: Mapping[str, str]
    rows: Sequence[GridRow] | Absent | None = Absent("no pictures were kept")
    beside: Mapping[str, Sequence[Beside]] | Absent | None = Absent("not measured")
    measures: MeasureTable | Absent | None = Absent("not measured")
    realism: RealismTable | Absent | None = Absent("not measured")
    likeness: Likeness | Absent | None = Absent("not measured")
    feature_map: FeatureMap | Absent | None = Absent("not measured")
    perceptual: Perceptual | Absent | None = Absent("not measured")
    detectors: Sequence[Comparison] | Absent = Absent("no detector was trained")
    charts: Sequence[Chart] | Absent | None = Absent("no curves were kept")
    settings: Sequence[Setting] | Absent = Absent("no settings were kept")
    provenance: Mapping[str, str] = field(default_factory=dict)
