"""What a generated sample says of each of its anomalies."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.samples.sample import Sample

ADDED = "added"
"""Key of a sample's meta: what is known of each further anomaly, as the meta itself is of the first."""


def joined(onto: Sample, image: NDArray[np.uint8], masks: Mapping[str, NDArray[np.uint8]], meta: Any) -> Sample:
    """The picture with one anomaly more."""
    meta_of_all = {**onto.meta, ADDED: [*onto.meta.get(ADDED, []), meta]}
    return Sample(onto.key, image, {**onto.masks, **masks}, meta=meta_of_all)


def anomalies(meta: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a generated sample's meta says of each of its anomalies, in the order in which they were made."""
    return [meta, *meta.get(ADDED, [])]


def noted(sample: Sample, notes: Mapping[str, Any]) -> Sample:
    """The sample with more in the notes on the anomaly that was made last."""
    *before, last = sample.meta.get(ADDED, []) or [None]
    if last is None:
        return replace(sample, meta={**sample.meta, **notes})
    return replace(sample, meta={**sample.meta, ADDED: [*before, {**last, **notes}]})
