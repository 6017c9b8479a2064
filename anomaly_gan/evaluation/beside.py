"""Generated anomalies beside the real ones that they are most like: the best, the median and the worst."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.evaluation.likeness import grouped_crops
from anomaly_gan.metrics.perceptual import PerceptualNetwork, distances
from anomaly_gan.samples.sample import Sample

MOST_CROPS = 300
"""Of each set, those of every so-manyth anomaly."""


@dataclass(frozen=True)
class Beside:
    """A generated anomaly and the real one of the test split that looks most like it.

    Attributes:
        generated, real: square crops at native scale, [S, S] or [S, S, 3] uint8.
        distance: perceptual, 0 = they look the same.
    """

    generated: NDArray[np.uint8]
    real: NDArray[np.uint8]
    distance: float


def beside_real(
    network: PerceptualNetwork, made: Sequence[Sample], test: Sequence[Sample], class_name: str, *, each: int = 3
) -> Mapping[str, Sequence[Beside]]:
    """The nearest to, the midmost, and the farthest from any real anomaly, `best`, `median` and `worst`.

    Args:
        made: generated pictures.
        test: real pictures of the test split; those without the class are left out.
        each: how many of each, fewer where there are not three times as many anomalies.

    Raises:
        DataError: a set has no anomaly of the class.
    """
    crops, real = (
        _every(grouped_crops(samples, class_name, name)[0])
        for samples, name in ((made, "the generated images"), (test, "the test split"))
    )
    found = distances(network.of(crops), network.of(real))
    nearest, order = found.argmin(axis=1), found.min(axis=1).argsort(kind="stable")
    count = min(each, max(len(order) // 3, 1))
    middle = (len(order) - count) // 2
    ranked = {"best": order[:count], "median": order[middle : middle + count], "worst": order[len(order) - count :]}
    return {
        title: [Beside(crops[i], real[nearest[i]], float(found[i, nearest[i]])) for i in chosen]
        for title, chosen in ranked.items()
    }


def _every(crops: Sequence[NDArray[np.uint8]]) -> Sequence[NDArray[np.uint8]]:
    return crops[:: -(-len(crops) // MOST_CROPS)]
