"""Do the anomalies look like real ones, measure by measure? Sets of pictures beside the band of the test split.

Deliberate fakes are among the sets, so that every measure shows what it can tell apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.config import ViewConfig
from anomaly_gan.evaluation.likeness import mean_level, painted_flat
from anomaly_gan.generation.gate import QualityGate, stand_in_correlations
from anomaly_gan.generation.generate import Generated
from anomaly_gan.generation.paste import paste
from anomaly_gan.metrics.bands import Band, band_of, held_against_others, learn_realism
from anomaly_gan.metrics.realism import MEASURES, appearance, change, grain_of
from anomaly_gan.records import Record
from anomaly_gan.samples.sample import Sample

Image = NDArray[np.uint8]

UNLIKENESS, BEHIND = "unlikeness", "behind"


@dataclass(frozen=True)
class Shown:
    """One picture of a set.

    Attributes:
        image: [H, W] or [H, W, 3] uint8, a view as it is delivered.
        mask: [H, W] uint8 {0, 1}, not empty.
        normal: of the image's shape, what lay behind; None for real pictures, of which nobody knows it.
    """

    image: Image
    mask: Image
    normal: Image | None = None


class RealismSet(Record):
    """One set of pictures.

    Attributes:
        n: pictures.
        medians: of each measure over the pictures that have it: those of `Appearance` and `Change`, and `unlikeness`.
        within: share of the pictures that lie in the band of real ones, of each measure that has a band, 0..1; it is
            about 0.9 for real ones.
        kept: share that the quality gate keeps; None for real pictures and without a gate.
    """

    n: int
    medians: dict[str, float]
    within: dict[str, float]
    kept: float | None


class RealismTable(Record):
    """Sets of pictures beside the real anomalies of the test split.

    Attributes:
        bands: measure -> where the test split's anomalies lie. `behind` is that of test anomalies with normal pictures
            that they have nothing to do with, and `unlikeness` that of each test anomaly among the others.
            `fill_recall` and `fill_precision` have no band: of a real anomaly both are 1 by what a mask is.
        sets: name -> what was measured.
    """

    bands: dict[str, Band]
    sets: dict[str, RealismSet]


def realism_table(
    test: Sequence[Sample],
    normals: Sequence[Sample],
    sets: Mapping[str, Sequence[Shown]],
    class_name: str,
    view: ViewConfig,
    feather_px: int,
    gate: QualityGate | None = None,
) -> RealismTable:
    """Measure sets of pictures, and the real anomalies that they are compared with.

    Args:
        test: views of real test pictures, of the size of the sets' pictures; all have the class.
        normals: normal pictures, for the band of `behind`; not empty.
        sets: name -> pictures, at least one each: real training anomalies, copy-paste, generated ones, painters.
        view: of all sets.
        feather_px: width of the blend around the masks of what was generated.
        gate: says which pictures would be kept.
    """
    grain = fmean(grain_of(one.image) for one in normals)
    looks = [appearance(one.image, one.masks[class_name]) for one in test]
    real = learn_realism(looks)
    bands = {
        **{name: real.bands[name] for name in MEASURES if name in real.bands},
        **_named(BEHIND, band_of(stand_in_correlations(normals, test, class_name, view, grain))),
        **_named(UNLIKENESS, band_of(held_against_others(looks)[1])),
    }

    def measured(one: Shown) -> dict[str, float]:
        seen = appearance(one.image, one.mask)
        values: dict[str, float | None] = {name: getattr(seen, name) for name in MEASURES}
        if one.normal is not None:
            values |= asdict(change(one.normal, one.image, one.mask, feather_px, grain))
        return {
            **{name: value for name, value in values.items() if value is not None},
            UNLIKENESS: real.unlikeness(seen),
        }

    return RealismTable(
        bands=bands,
        sets={name: _set_of(shown, [measured(one) for one in shown], bands, gate) for name, shown in sets.items()},
    )


def painted_sets(
    made: Sequence[Generated], real: Sequence[Sample], class_name: str, feather_px: int
) -> dict[str, list[Shown]]:
    """Deliberate fakes of the same normal pictures and masks, by name.

    Args:
        made: generated pictures, of which the shifted ones are made.
        real: pictures that all have the class; fakes have the mean of their anomalies, and noise its deviation, too.
    """
    pixels = np.concatenate([one.image[one.masks[class_name] > 0].ravel() for one in real]).astype(np.float64)
    rng = np.random.default_rng(0)

    def noisy(one: Generated) -> Shown:
        content = rng.normal(pixels.mean(), pixels.std(), one.normal.shape).clip(0, 255).astype(np.uint8)
        return Shown(paste(one.normal, content, one.mask, feather_px), one.mask, one.normal)

    flat = painted_flat(made, mean_level(real, class_name), class_name, feather_px)
    return {
        "flat painter": [Shown(painted.image, one.mask, one.normal) for painted, one in zip(flat, made, strict=True)],
        "noise painter": [noisy(one) for one in made],
        "shifted-mask painter": [Shown(one.pasted, _beside(one.mask), one.normal) for one in made],
    }


def shown_of(made: Sequence[Generated]) -> list[Shown]:
    """Generated pictures as a set."""
    return [Shown(one.pasted, one.mask, one.normal) for one in made]


def _beside(mask: Image) -> Image:
    """A mask moved by its own size along its shorter side, over the border and in again at the other side."""
    rows, columns = np.nonzero(mask)
    height, width = (int(where.max() - where.min() + 1) for where in (rows, columns))
    return np.roll(mask, height, axis=0) if height <= width else np.roll(mask, width, axis=1)


def _set_of(
    shown: Sequence[Shown], values: Sequence[Mapping[str, float]], bands: Mapping[str, Band], gate: QualityGate | None
) -> RealismSet:
    of_measure = {
        name: [one[name] for one in values if name in one] for name in {name for one in values for name in one}
    }
    verdicts = [gate.judge(one.normal, one.image, one.mask) for one in shown if gate and one.normal is not None]
    return RealismSet(
        n=len(shown),
        medians={name: median(found) for name, found in sorted(of_measure.items())},
        within={
            name: fmean(bands[name].low <= value <= bands[name].high for value in found)
            for name, found in sorted(of_measure.items())
            if name in bands
        },
        kept=fmean(not one.failed for one in verdicts) if verdicts else None,
    )


def _named(name: str, band: Band | None) -> dict[str, Band]:
    return {} if band is None else {name: band}
