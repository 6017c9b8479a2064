"""The quality gate: is a generated anomaly, as it is delivered, like real ones, and none of them?

Its limits come from the real images of the training split, seen through the generator's view. What is measured of a
generated picture is measured of real ones by the same function. What cannot be known of a real picture, because its
normal picture does not exist, is held against what is certain or against a stand-in, and each says so below.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.config import QualityConfig, ViewConfig
from anomaly_gan.metrics.bands import TAIL, RealismBand, held_against_others, learn_realism
from anomaly_gan.metrics.copies import CopyFinder
from anomaly_gan.metrics.realism import CHANCE, MEASURES, appearance, change, grain_of
from anomaly_gan.samples.sample import Sample
from anomaly_gan.samples.views import take_view

LIMITS = (*MEASURES, "unlike", "fill_recall", "fill_precision", "behind", "copy")
"""Names of the limits that a sample can break."""
TOLD_DIGITS = 6
NOISE = 0.05
"""Share of pixels that may be changed, or not, without a meaning."""
STAND_INS = 4
"""Normal pictures that are laid behind each real anomaly to see how alike unrelated details are by chance."""


@dataclass(frozen=True)
class Limits:
    """The limits of one class; a sample beyond one of them is not kept.

    Attributes:
        distance: largest distance of a measure from the middle of its band, in half widths of the band.
        unlikeness: largest distance of all measures together, see `RealismBand.unlikeness`.
        fill_recall: least share of the mask that is changed.
        fill_precision: least share of the changed pixels that lie in the mask and its feather.
        behind: largest correlation with what lay behind.
        copy: least ratio of distances to known anomalies, see `metrics.copies.Nearest`.
    """

    distance: float
    unlikeness: float
    fill_recall: float
    fill_precision: float
    behind: float
    copy: float


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a sample.

    Attributes:
        measures: of `Appearance` and `Change`; None = undefined.
        unlikeness: about 1 for real anomalies, see `RealismBand.unlikeness`.
        excess: how much more unlike than the middle one of the real anomalies it is; 0 for the more likely half.
        nearest_ratio, nearest_key: the known anomaly that it is nearest to, see `metrics.copies.Nearest`.
        failed: those of LIMITS that it broke; empty = kept.
    """

    measures: dict[str, float | None]
    unlikeness: float
    excess: float
    nearest_ratio: float | None
    nearest_key: str | None
    failed: tuple[str, ...]


class QualityGate:
    """Judges samples of one class.

    Attributes:
        real: where the measures of the real images lie.
        typical: unlikeness of the middle one of the real images, each held against the others.
        limits: what samples are held against, learnt from the real images.
    """

    def __init__(
        self, real: RealismBand, typical: float, limits: Limits, known: CopyFinder, grain: float, feather_px: int
    ) -> None:
        """
        Args:
            real, typical, limits: see the attributes.
            known: the real anomalies, of which none may come back.
            grain: of the normal pictures, grey levels, see `grain_of`.
            feather_px: width of the blend around a mask.
        """
        self.real, self.typical, self.limits = real, typical, limits
        self._known, self._grain, self._feather_px = known, grain, feather_px

    def judge(self, normal: NDArray[np.uint8], image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Verdict:
        """Hold one sample against all limits; a measure that is not defined breaks none.

        Args:
            normal, image: [H, W] or [H, W, 3] uint8, the view before, and as it is delivered.
            mask: [H, W] uint8 {0, 1}, not empty.
        """
        looks, made = appearance(image, mask), change(normal, image, mask, self._feather_px, self._grain)
        unlikeness, nearest = _told(self.real.unlikeness(looks)), self._known.nearest(image, mask)
        measured = {**vars(looks), **vars(made)}
        del measured["ground"]
        limits = self.limits
        broken = {name: abs(value) > limits.distance for name, value in self.real.distances(looks).items()}
        broken |= {
            "unlike": unlikeness > limits.unlikeness,
            "fill_recall": made.fill_recall < limits.fill_recall,
            "fill_precision": made.fill_precision is not None and made.fill_precision < limits.fill_precision,
            "behind": made.behind is not None and made.behind > limits.behind,
            "copy": nearest is not None and nearest.ratio < limits.copy,
        }
        return Verdict(
            measures={name: _told(value) for name, value in measured.items()},
            unlikeness=unlikeness,
            excess=max(unlikeness - self.typical, 0.0),
            nearest_ratio=_told(nearest.ratio) if nearest else None,
            nearest_key=nearest.key if nearest else None,
            failed=tuple(name for name in LIMITS if broken.get(name)),
        )


def _told(value: Any) -> Any:
    """A measure as it is recorded: without the last digits, which depend on how a machine adds."""
    return round(value, TOLD_DIGITS) if isinstance(value, float) else value


def learn_gate(
    normals: Sequence[Sample],
    abnormals: Sequence[Sample],
    class_name: str,
    view: ViewConfig,
    config: QualityConfig,
    feather_px: int,
) -> QualityGate:
    """Limits from the training split, in the view that is generated; the order of the pictures does not matter.

    - Measures of the appearance: each may lie `tolerance` beyond its band of real images, and farther where real images
      themselves do, each held against the others. All measures together, `unlike`, may lie as far as real images do.
      The two limits would keep 95 of 100 real ones.
    - `fill_recall`: what can be seen of a real anomaly has changed, so at least that share of a mask must be changed
      that is visible in all but the faintest real ones, and never less than noise alone would change.
    - `fill_precision`: a mask is exact, so no more than noise may be changed beyond its feather.
    - `behind`: a real anomaly with another normal picture laid behind it shows how alike unrelated details are by
      chance, in 95 of 100 pairs; nor may a generated one be to what lay behind it. So real anomalies are taken to be
      opaque; how much shines through them cannot be known.
    - `copy`: ratios of the real anomalies among those of other groups, less `tolerance`.

    Args:
        normals, abnormals: not empty; the latter all have the class.
        feather_px: width of the blend around a mask.
    """
    views = [
        take_view(sample, view, _chance(sample), class_name) for sample in sorted(abnormals, key=lambda one: one.key)
    ]
    looks = [appearance(one.image, one.masks[class_name]) for one in views]
    real, (distances, unlike) = learn_realism(looks), held_against_others(looks)
    grain = fmean(grain_of(one.image) for one in normals)
    visible = real.bands.get("visible")
    known, beyond = CopyFinder(abnormals, class_name), 1 + config.tolerance
    faintest = visible.median - beyond * (visible.median - visible.low) - CHANCE if visible else 0.0
    limits = Limits(
        distance=max(beyond, _most(distances, TAIL, beyond)),
        unlikeness=_most(unlike, TAIL, np.inf),
        fill_recall=max(faintest, NOISE),
        fill_precision=1 - NOISE,
        behind=_most(stand_in_correlations(normals, views, class_name, view, grain), TAIL / 2, np.inf),
        copy=(1 - config.tolerance) * known.limit,
    )
    typical = float(np.median(unlike)) if unlike else 0.0
    return QualityGate(real, typical, limits, known, grain, feather_px)


def stand_in_correlations(
    normals: Sequence[Sample], views: Sequence[Sample], class_name: str, view: ViewConfig, grain: float
) -> list[float]:
    """Correlations of real anomalies with the details of normal pictures that they have nothing to do with.

    Args:
        views: of pictures that all have the class.
        grain: of the normal pictures, grey levels, see `grain_of`.
    """
    ordered, found = sorted(normals, key=lambda sample: sample.key), []
    for one in views:
        rng = _chance(one)
        for number in rng.integers(len(ordered), size=STAND_INS):
            other = take_view(ordered[number], view, rng, None).image
            correlation = change(other, one.image, one.masks[class_name], 0, grain).behind
            if correlation is not None:
                found.append(correlation)
    return found


def _chance(sample: Sample) -> np.random.Generator:
    """Of the picture alone: neither the job's seed nor the other pictures may move the limits."""
    return np.random.default_rng([0, zlib.crc32(sample.key.encode())])


def _most(values: Sequence[float], tail: float, unknown: float) -> float:
    """What another value is above with a chance of at most `tail`; `unknown` for no values.

    Of n values and another one, each place in the order is equally likely for the other, so it is the value of rank
    (n + 1) (1 - tail), rounded up. Few values cannot promise as much; then it is the largest one.
    """
    rank = min(math.ceil((len(values) + 1) * (1 - tail)), len(values))
    return sorted(values)[rank - 1] if values else unknown
