"""How far generated anomalies are from real ones, by features that no loss contains: to choose checkpoints by."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from anomaly_gan.config import ViewConfig
from anomaly_gan.evaluation.likeness import CropFeatures, anomaly_crops
from anomaly_gan.generation.generate import Generated
from anomaly_gan.masks.pool.pool import Element, cut_elements
from anomaly_gan.metrics.features.network import FeatureNetwork
from anomaly_gan.metrics.kernel import HalvedDistance, halved_distance
from anomaly_gan.samples.sample import Sample
from anomaly_gan.samples.views import take_view
from infra.errors import DataError

MOST_ANOMALIES = 128
"""Real anomalies beyond this change the distance little; the generated ones are fewer."""

LEAST_CROPS = 8
"""Of fewer anomalies several views are taken: of a data set with three there is a distance too."""


class AnomalyDistance:
    """Kernel distance between crops around generated anomalies and around real ones, seen through views alike.

    Attributes:
        anomalies: real ones that are compared with.
        source: what made the features.
    """

    def __init__(
        self, network: FeatureNetwork, real: Sequence[Sample], class_name: str, view: ViewConfig, *, seed: int
    ) -> None:
        """Take the features of the real anomalies.

        Args:
            real: whole pictures of the class.
            view: of the generator.
            seed: of the real anomalies' views, and of the halves that say how sure a distance is.

        Raises:
            DataError: the pictures have no anomaly that is larger than a speck.
        """
        self._network, self._class_name, self._seed = network, class_name, seed
        found = [(sample, element) for sample in real for element in cut_elements(sample, class_name)]
        if not found:
            raise DataError(f"anomaly distance: the {len(real)} pictures have no anomaly of {class_name}")
        rng = np.random.default_rng(seed)
        chosen = sorted(rng.permutation(len(found))[:MOST_ANOMALIES])
        views = -(-LEAST_CROPS // len(chosen))
        crops: list[NDArray[np.uint8]] = []
        self._groups: list[str] = []
        for sample, element in (found[i] for i in chosen for _ in range(views)):
            seen = take_view(_alone(sample, element, class_name), view, rng, class_name)
            cut = anomaly_crops(seen, class_name)
            crops += cut
            self._groups += [str(sample.meta.get("group", sample.key))] * len(cut)
        self.anomalies, self.source = len(chosen), network.source
        self._real = network.of(crops).values

    def seen(self, images: Sequence[Generated]) -> CropFeatures:
        """The anomalies of generated images as the network sees them, in groups by their image.

        Args:
            images: with anomalies of the class, two or more.
        """
        crops = [(crop, made.sample.key) for made in images for crop in anomaly_crops(made.sample, self._class_name)]
        return CropFeatures(self._network.of(crop for crop, _ in crops), [key for _, key in crops])

    def of(self, seen: CropFeatures) -> HalvedDistance:
        """The distance of generated anomalies; those with the same masks have paired halves."""
        return halved_distance(self._real, seen.features.values, self._groups, seen.groups, seed=self._seed)


def _alone(sample: Sample, element: Element, class_name: str) -> Sample:
    """The picture with one of its anomalies annotated, as one instance wherever a view cuts it."""
    mask = np.zeros(sample.image.shape[:2], np.uint8)
    height, width = element.mask.shape
    mask[element.top : element.top + height, element.left : element.left + width] = element.mask
    return Sample(sample.key, sample.image, {class_name: mask}, {class_name: mask.astype(np.uint16)}, sample.meta)
