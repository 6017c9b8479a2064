"""How different the pictures of a set are from each other and from real ones, by a perceptual distance."""

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.metrics.perceptual import Vectors, distances
from anomaly_gan.records import Record


class Diversity(Record):
    """Of one set; None where there is no pair to measure.

    Attributes:
        pictures: in the set.
        to_real: mean distance to the real training pictures; lower is closer (LPIPS as the paper reports it). Real
            pictures have a distance as well, that of any two different ones.
        among: mean distance of two pictures of the set; higher is more diverse.
        within_clusters: intra-cluster LPIPS, IC-LPIPS (Ojha et al., Few-shot image generation via cross-domain
            correspondence, CVPR 2021): each picture goes to the training picture that it is most like; the mean
            distance of two pictures of one cluster, then the mean over the clusters. About 0 where training pictures
            are copied, however different these are.
        clusters: of two or more pictures, which have pairs.
    """

    pictures: int
    to_real: float | None
    among: float | None
    within_clusters: float | None
    clusters: int


def diversity(pictures: Vectors, training: Vectors | None) -> Diversity:
    """Measure one set.

    Args:
        pictures: [N, D] as a `PerceptualNetwork` gives them, N >= 1.
        training: [M, D] of the real training pictures, M >= 1; None = `pictures` are these, and have no clusters.
    """
    each_other = distances(pictures, pictures)
    among = _mean_of_pairs(each_other)
    if training is None:
        return Diversity(pictures=len(pictures), to_real=among, among=among, within_clusters=None, clusters=0)
    to_real = distances(pictures, training)
    nearest = to_real.argmin(axis=1)
    clusters = [np.flatnonzero(nearest == centre) for centre in np.unique(nearest)]
    found = [_mean_of_pairs(each_other[np.ix_(rows, rows)]) for rows in clusters]
    means = [mean for mean in found if mean is not None]
    return Diversity(
        pictures=len(pictures),
        to_real=float(to_real.mean()),
        among=among,
        within_clusters=float(np.mean(means)) if means else None,
        clusters=len(means),
    )


def _mean_of_pairs(square: NDArray[np.float64]) -> float | None:
    """Of two different rows, from the distances of all, [N, N]."""
    n = len(square)
    return None if n < 2 else float(square[np.triu_indices(n, 1)].mean())
