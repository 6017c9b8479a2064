"""Do the anomalies look like real ones? Sets of crops beside the real anomalies of the test split, by features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from anomaly_gan.generation.generate import Generated
from anomaly_gan.generation.paste import paste
from anomaly_gan.metrics.features.network import FeatureNetwork, Features
from anomaly_gan.metrics.features.scores import FeatureFloor, FeatureScores, feature_scores, real_floor
from anomaly_gan.metrics.two_sample import TwoSample, two_sample_test
from anomaly_gan.records import Record
from anomaly_gan.samples.instances import instance_masks
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError

MARGIN = 0.25
"""Context on each side of a crop, in sides of the anomaly's box."""

LEAST_SIDE_PX = 32
"""Smaller anomalies are seen with more of what is around them."""

MIN_ANOMALY_PX = 4
"""A part of fewer pixels is a speck."""


class Likeness(Record):
    """Scores of crops against those of the test split's anomalies.

    Attributes:
        sets: what was compared -> its scores; real training anomalies and deliberate fakes among them, so that a score
            can be read.
        floor: of halves of the test split's anomalies; None where they are of a single group.
        two_sample: set -> whether it differs from the test split's anomalies by more than chance; None where the groups
            are too few.
    """

    sets: dict[str, FeatureScores]
    floor: FeatureFloor | None
    two_sample: dict[str, TwoSample | None] = Field(default_factory=dict)


@dataclass(frozen=True)
class CropFeatures:
    """Crops around anomalies as a network sees them.

    Attributes:
        features: a row per crop.
        groups: of each crop, the physical part that it shows, or its picture.
    """

    features: Features
    groups: list[str]


def anomaly_crops(sample: Sample, class_name: str) -> list[NDArray[np.uint8]]:
    """A square crop around each anomaly of a class, at native scale, [S, S] or [S, S, 3].

    At the picture's border a crop is moved inside; a picture that is smaller is taken whole.
    """
    crops: list[NDArray[np.uint8]] = []
    shape = sample.image.shape
    if class_name not in sample.masks:
        return crops
    for mask in instance_masks(sample, class_name):
        if cv2.countNonZero(mask) < MIN_ANOMALY_PX:
            continue
        left, top, width, height = cv2.boundingRect(mask)
        side = max(round(max(width, height) * (1 + 2 * MARGIN)), LEAST_SIDE_PX)
        y, x = (
            min(max(start + length // 2 - side // 2, 0), max(limit - side, 0))
            for start, length, limit in ((top, height, shape[0]), (left, width, shape[1]))
        )
        crops.append(sample.image[y : y + side, x : x + side])
    return crops


def grouped_crops(samples: Sequence[Sample], class_name: str, name: str) -> tuple[list[NDArray[np.uint8]], list[str]]:
    """`anomaly_crops` of all pictures of a set, and the group of each: its physical part, or the picture itself.

    Args:
        name: of the set, for the error.

    Raises:
        DataError: there is none.
    """
    crops, groups = [], []
    for sample in samples:
        found = anomaly_crops(sample, class_name)
        crops += found
        groups += [str(sample.meta.get("group", sample.key))] * len(found)
    if not crops:
        raise DataError(f"likeness: the {len(samples)} pictures of {name} have no anomaly of {class_name}")
    return crops, groups


def painted_flat(made: Sequence[Generated], level: float, class_name: str, feather_px: int) -> list[Sample]:
    """The same normal pictures and masks, with one grey level in every mask: no measure may take it for an anomaly."""
    return [
        Sample(
            one.sample.key,
            paste(one.normal, np.full_like(one.normal, round(level)), one.mask, feather_px),
            {class_name: one.mask},
        )
        for one in made
    ]


def mean_level(samples: Sequence[Sample], class_name: str) -> float:
    """Mean grey level 0..255 of the pixels of all anomalies of a class."""
    pixels = [sample.image[sample.masks[class_name] > 0].ravel() for sample in samples]
    return float(np.concatenate(pixels).mean())


def crop_features(network: FeatureNetwork, samples: Sequence[Sample], class_name: str, name: str) -> CropFeatures:
    """Features of the anomalies of a set; arguments and errors as `grouped_crops`."""
    crops, groups = grouped_crops(samples, class_name, name)
    return CropFeatures(network.of(crops), groups)


def measure_likeness(test: CropFeatures, sets: Mapping[str, CropFeatures], *, seed: int) -> Likeness:
    """Compare sets of anomalies with those of the test split.

    Args:
        test: real ones.
        sets: name -> anomalies, by the same network.
        seed: of the subsets and halves.
    """
    real, groups = test.features, test.groups
    return Likeness(
        sets={name: feature_scores(real, one.features, seed=seed) for name, one in sets.items()},
        floor=real_floor(real, seed=seed, groups=groups) if len(set(groups)) > 1 else None,
        two_sample={name: tested(test, one, seed=seed) for name, one in sets.items()},
    )


def tested(test: CropFeatures, other: CropFeatures, *, seed: int) -> TwoSample | None:
    """Whether a set of anomalies differs from those of the test split; see `two_sample_test`."""
    return two_sample_test(test.features.values, other.features.values, test.groups, other.groups, seed=seed)
