"""All scores of two sets of features at once, and the floor against which they are read: real against real."""

from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.metrics.features.features import FEATURES
from anomaly_gan.metrics.features.network import Features, FeatureSource
from anomaly_gan.metrics.frechet import frechet_distance
from anomaly_gan.metrics.kernel import MIN_KID_ROWS, kid
from anomaly_gan.metrics.neighbours import neighbour_scores
from anomaly_gan.records import Record
from infra.errors import DataError

PRECISION_K = 3
DENSITY_K = 5
ROWS_PER_NEIGHBOUR = 4
"""k is at most the smaller set's size over this: else a ball holds its whole set, and everything is in a ball."""

NEIGHBOUR_SCORES = ("precision", "recall", "density", "coverage")
SCORES = ("kid", "frechet", *NEIGHBOUR_SCORES)


class FeatureScores(FeatureSource):
    """Scores of generated pictures against real ones; None where the evidence does not allow the score.

    Attributes:
        kid: mean kernel distance of random subsets, without a factor of 1,000; about 0 for equal sets.
        kid_deviation: standard deviation of the same.
        kid_subset: pictures of each set in a subset.
        frechet: Fréchet distance; needs more pictures of each set than the network has features.
        frechet_name: what the field calls it: `fid` of Inception's features, else `frechet`.
        precision, recall: 0..1, k is `precision_k`.
        density, coverage: about 1 for equal sets, k is `density_k`; coverage is at most 1.
        compared: pictures of each set that precision, recall, density and coverage compare at once; they depend on it.
        missing: score -> why it is None.
        real, generated: pictures.
    """

    kid: float | None = None
    kid_deviation: float | None = None
    kid_subset: int | None = None
    frechet: float | None = None
    frechet_name: str
    precision: float | None = None
    recall: float | None = None
    precision_k: int | None = None
    density: float | None = None
    coverage: float | None = None
    density_k: int | None = None
    compared: int
    missing: dict[str, str]
    real: int
    generated: int


class MeanAndDeviation(Record):
    """Of the same score over repetitions; the deviation is that of one repetition."""

    mean: float
    deviation: float


class FeatureFloor(FeatureSource):
    """Scores between random halves of the real pictures: what a perfect generator would have.

    Attributes:
        scores: each of SCORES -> mean and deviation over the halvings; None as in `FeatureScores`.
        frechet_name: as in `FeatureScores`.
        missing: score -> why it is None.
        compared: pictures of each half that the scores of neighbours compare.
        real: pictures.
        halvings: how often the set was halved.
    """

    scores: dict[str, MeanAndDeviation | None]
    frechet_name: str
    missing: dict[str, str]
    compared: int
    real: int
    halvings: int


def feature_scores(real: Features, generated: Features, *, seed: int, compared: int | None = None) -> FeatureScores:
    """Score generated pictures against real ones.

    Precision, recall, density and coverage depend on the sizes of both sets. So equal parts are compared: the sets are
    dealt out in parts of `compared` pictures, and the scores are means over as many pairs of parts as the larger set
    has; of a set that does not divide, the rest is left out.

    Args:
        real: of the pictures that count as real, usually the test set's anomalies.
        generated: by the same network.
        seed: of the subsets of KID, and of the parts.
        compared: pictures in a part; None = the smaller set. Give a floor's `compared` to read scores against it.

    Raises:
        DataError: different networks or inputs, or `compared` is more than a set has.
    """
    if real.source != generated.source:
        raise DataError(f"features: of {_told(real)} and of {_told(generated)} cannot be compared; take both by one")
    smaller = min(len(real), len(generated))
    part = smaller if compared is None else compared
    if not 1 <= part <= smaller:
        raise DataError(f"features: compared is {part}, and the smaller set has {smaller} pictures; use 1 to {smaller}")
    missing: dict[str, str] = {}
    return FeatureScores(
        **real.source.model_dump(),
        **_kid(real, generated, seed, missing),
        **_frechet(real, generated, missing),
        **_neighbours(real, generated, part, seed, missing),
        frechet_name=FEATURES[real.source.network].frechet_name,
        compared=part,
        missing=missing,
        real=len(real),
        generated=len(generated),
    )


def real_floor(real: Features, *, seed: int, halvings: int = 10, groups: Sequence[str] | None = None) -> FeatureFloor:
    """The scores of one half of the real pictures against the other, over random halvings.

    Args:
        real: at least 2 pictures.
        seed: of the halvings.
        halvings: how many, at least 1.
        groups: of each picture; pictures of a group, such as those of one object, stay in one half. Without it nearly
            equal pictures come to lie in both halves, and the floor is lower than pictures of a new object could
            reach: on the magnetic tiles a kernel distance of 0 in place of .05.

    Raises:
        DataError: fewer than 2 pictures or groups.
    """
    labels = [str(i) for i in range(len(real))] if groups is None else list(groups)
    if len(set(labels)) < 2 or len(labels) != len(real):
        raise DataError(
            f"floor of {len(real)} real pictures: needs 2 or more groups, and one name a picture; "
            f"got {len(labels)} names of {len(set(labels))} groups"
        )
    rng = np.random.default_rng(seed)
    halves = [_halve(labels, rng) for _ in range(halvings)]
    compared = min(len(half) for pair in halves for half in pair)
    found = [
        feature_scores(real.rows(first), real.rows(second), seed=seed + i, compared=compared)
        for i, (first, second) in enumerate(halves)
    ]
    missing = {score: reason for one in found for score, reason in one.missing.items()}
    return FeatureFloor(
        **real.source.model_dump(),
        scores={score: None if score in missing else _summary(found, score) for score in SCORES},
        frechet_name=found[0].frechet_name,
        missing=missing,
        compared=compared,
        real=len(real),
        halvings=halvings,
    )


def _halve(labels: Sequence[str], rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Rows of two halves: groups in random order, each to the half that has fewer pictures."""
    rows: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        rows.setdefault(label, []).append(row)
    halves: tuple[list[int], list[int]] = ([], [])
    names = sorted(rows)
    for i in rng.permutation(len(names)):
        min(halves, key=len).extend(rows[names[i]])
    return halves


def _summary(found: Sequence[FeatureScores], score: str) -> MeanAndDeviation:
    values = [getattr(one, score) for one in found]
    return MeanAndDeviation(mean=fmean(values), deviation=pstdev(values))


def _kid(real: Features, generated: Features, seed: int, missing: dict[str, str]) -> dict[str, Any]:
    if min(len(real), len(generated)) < MIN_KID_ROWS:
        missing["kid"] = f"needs {MIN_KID_ROWS} or more pictures of each set, {_counts(real, generated)}"
        return {}
    found = kid(real.values, generated.values, seed=seed)
    return {"kid": found.mean, "kid_deviation": found.deviation, "kid_subset": found.subset_size}


def _frechet(real: Features, generated: Features, missing: dict[str, str]) -> dict[str, Any]:
    features = real.values.shape[1]
    if min(len(real), len(generated)) <= features:
        missing["frechet"] = f"needs more than {features} pictures of each set, {_counts(real, generated)}"
        return {}
    return {"frechet": frechet_distance(real.values, generated.values)}


def _neighbours(real: Features, generated: Features, part: int, seed: int, missing: dict[str, str]) -> dict[str, Any]:
    if part < ROWS_PER_NEIGHBOUR:
        reason = f"needs {ROWS_PER_NEIGHBOUR} or more pictures of each set, {_counts(real, generated)}"
        missing.update(dict.fromkeys(NEIGHBOUR_SCORES, reason))
        return {}
    precision_k, density_k = (min(k, part // ROWS_PER_NEIGHBOUR) for k in (PRECISION_K, DENSITY_K))
    pairs = _pairs(real.values, generated.values, part, np.random.default_rng(seed))
    found = [neighbour_scores(*pair, precision_k=precision_k, density_k=density_k) for pair in pairs]
    means = {score: fmean(getattr(one, score) for one in found) for score in NEIGHBOUR_SCORES}
    return {**means, "precision_k": precision_k, "density_k": density_k}


Rows = NDArray[np.float64]


def _pairs(real: Rows, generated: Rows, part: int, rng: np.random.Generator) -> list[tuple[Rows, Rows]]:
    """Parts of `part` rows each; those of the set that has fewer are taken again and again."""
    parts = [
        [rows[order[i * part : (i + 1) * part]] for i in range(len(rows) // part)]
        for rows, order in ((rows, rng.permutation(len(rows))) for rows in (real, generated))
    ]
    return [(parts[0][i % len(parts[0])], parts[1][i % len(parts[1])]) for i in range(max(map(len, parts)))]


def _counts(real: Features, generated: Features) -> str:
    return f"there are {len(real)} real and {len(generated)} generated ones"


def _told(features: Features) -> str:
    return f"{features.source.network} ({features.source.sha256[:8]}, {features.source.input})"
