"""Where do generated anomalies lie among real ones? All sets in one plane, as the paper's Fig. 10 shows them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.evaluation.likeness import CropFeatures, tested
from anomaly_gan.metrics.embedding import embed
from anomaly_gan.metrics.features.network import FeatureSource
from anomaly_gan.metrics.two_sample import TwoSample
from anomaly_gan.records import Record

MOST_CROPS = 150
"""Of each set, drawn by the seed: more hide each other in a picture, and one large set crowds out all others."""

Place = tuple[float, float]


class MappedSet(Record):
    """One set in the plane.

    Attributes:
        places: of its crops, at most `MOST_CROPS`.
        crops: of the whole set.
        two_sample: whether the whole set differs from the test split's anomalies by more than chance; None where there
            are too few groups.
    """

    places: tuple[Place, ...]
    crops: int
    two_sample: TwoSample | None


class FeatureMap(Record):
    """Sets of anomalies in one plane.

    Attributes:
        real: places of the test split's anomalies.
        real_crops: how many these are, of which at most `MOST_CROPS` are shown.
        sets: name -> a set beside them.
        source: what made the features.
    """

    real: tuple[Place, ...]
    real_crops: int
    sets: dict[str, MappedSet]
    source: FeatureSource


def measure_map(test: CropFeatures, sets: Mapping[str, CropFeatures], *, seed: int) -> FeatureMap:
    """Lay all sets out together, so that a place means the same in all of them.

    Args:
        test: real anomalies of the test split.
        sets: name -> anomalies, by the same network.
        seed: of the choice among many crops, of the tests, and of the places.

    Raises:
        NotFoundError: the package openTSNE is not installed.
        DataError: too few crops altogether.
    """
    chosen = [_some(one, seed) for one in (test, *sets.values())]
    places = embed(np.concatenate(chosen), seed=seed)
    real, *others = (
        tuple((round(x, 3), round(y, 3)) for x, y in part.tolist())
        for part in np.split(places, np.cumsum([len(rows) for rows in chosen])[:-1])
    )
    return FeatureMap(
        real=real,
        real_crops=len(test.groups),
        sets={
            name: MappedSet(places=of_set, crops=len(one.groups), two_sample=tested(test, one, seed=seed))
            for (name, one), of_set in zip(sets.items(), others, strict=True)
        },
        source=test.features.source,
    )


def _some(one: CropFeatures, seed: int) -> NDArray[np.float64]:
    """[at most MOST_CROPS, K]"""
    values = one.features.values
    if len(values) <= MOST_CROPS:
        return values
    return values[sorted(np.random.default_rng(seed).choice(len(values), MOST_CROPS, replace=False))]
