"""How diverse the generated anomalies are beside real ones, by perceptual distances of crops around them."""

from collections.abc import Mapping, Sequence

import numpy as np

from anomaly_gan.evaluation.likeness import grouped_crops
from anomaly_gan.metrics.diversity import Diversity, diversity
from anomaly_gan.metrics.perceptual import PerceptualNetwork
from anomaly_gan.records import Record
from anomaly_gan.samples.sample import Sample

MOST_CROPS = 300
"""Of each set, drawn by the seed; a vector of one has 160,000 numbers, and 300 of them 190 MB."""

TRAINING = "real, training split"


class Perceptual(Record):
    """Diversity by several networks, whose distances say nothing beside each other.

    Attributes:
        networks: name of a network -> name of a set -> its diversity; the training split's real anomalies come first.
        missing: why a network was left out.
    """

    networks: dict[str, dict[str, Diversity]]
    missing: tuple[str, ...] = ()


def measure_perceptual(
    networks: Sequence[PerceptualNetwork],
    training: Sequence[Sample],
    sets: Mapping[str, Sequence[Sample]],
    class_name: str,
    *,
    seed: int,
    missing: Sequence[str] = (),
) -> Perceptual:
    """Measure sets of pictures anomaly by anomaly.

    Args:
        training: real pictures that the generator learnt from.
        sets: name -> pictures with masks of the class; real ones of the test split among them, so that the figures of
            generated ones can be read.
        seed: of the choice where a set has more than `MOST_CROPS` anomalies.
        missing: why networks were left out.

    Raises:
        DataError: a set has no anomaly of the class.
    """
    crops = {
        name: grouped_crops(samples, class_name, name)[0] for name, samples in {TRAINING: training, **sets}.items()
    }
    for name, found in crops.items():
        if len(found) > MOST_CROPS:
            chosen = np.random.default_rng(seed).choice(len(found), MOST_CROPS, replace=False)
            crops[name] = [found[i] for i in sorted(chosen)]
    tables: dict[str, dict[str, Diversity]] = {}
    for network in networks:
        real = network.of(crops[TRAINING])
        others = {name: diversity(network.of(crops[name]), real) for name in sets}
        tables[network.name] = {TRAINING: diversity(real, None), **others}
    return Perceptual(networks=tables, missing=tuple(missing))
