"""How unlike real anomalies generated ones look, by measures without a network that no loss contains.

Where so few pictures are known that none can be held out, checkpoints are chosen by this: the bands of real anomalies
are statistics that cannot be learnt by heart as features can.
"""

from collections.abc import Sequence

import numpy as np

from anomaly_gan.config import ViewConfig
from anomaly_gan.generation.generate import Generated
from anomaly_gan.metrics.bands import learn_realism
from anomaly_gan.metrics.kernel import SUBSETS, HalvedDistance
from anomaly_gan.metrics.realism import appearance
from anomaly_gan.samples.sample import Sample
from anomaly_gan.samples.views import take_view


class AnomalyUnlikeness:
    """Mean unlikeness (`RealismBand.unlikeness`) of generated anomalies, about 1 for real ones.

    Attributes:
        anomalies: real pictures that are compared with.
    """

    def __init__(self, real: Sequence[Sample], class_name: str, view: ViewConfig, *, seed: int) -> None:
        """
        Args:
            real: whole pictures of the class.
            view: of the generator.
            seed: of the real pictures' views, and of the halves that say how sure a mean is.
        """
        rng, self._seed, self.anomalies = np.random.default_rng(seed), seed, len(real)
        views = [take_view(sample, view, rng, class_name) for sample in real]
        self._band = learn_realism([appearance(one.image, one.masks[class_name]) for one in views])

    def of(self, images: Sequence[Generated]) -> HalvedDistance:
        """The mean over images, as they are pasted; those with the same masks have paired halves.

        Args:
            images: two or more.
        """
        each = np.array([self._band.unlikeness(appearance(made.pasted, made.mask)) for made in images])
        rng = np.random.default_rng(self._seed)
        halves = [float(each[rng.permutation(len(each))[: len(each) // 2]].mean()) for _ in range(SUBSETS)]
        return HalvedDistance(float(each.mean()), tuple(halves))
