"""Diversity on vectors whose distances are known: copies have none within their clusters."""

import numpy as np
import pytest

from anomaly_gan.metrics.diversity import diversity
from anomaly_gan.metrics.perceptual import Vectors


def on_a_line(*places: float) -> Vectors:
    """Distances are squared differences of places."""
    return np.array([[place, 0] for place in places], np.float32)


def test_pairs_within_the_cluster_of_one_training_picture_are_measured_cluster_by_cluster() -> None:
    found = diversity(on_a_line(0, 1, 10, 10, 13, 99), on_a_line(0, 11, 100))
    # clusters: 0, 1 -> 1; 10, 10, 13 -> (0 + 9 + 9) / 3; 99 is alone
    assert found.within_clusters == pytest.approx((1 + 6) / 2, rel=1e-5)
    assert (found.clusters, found.pictures) == (2, 6)


def test_copies_of_training_pictures_are_as_diverse_as_these_but_not_within_clusters() -> None:
    training = on_a_line(0, 3, 9)
    copies, real = diversity(np.repeat(training, 5, axis=0), training), diversity(training, None)
    assert copies.within_clusters == pytest.approx(0, abs=1e-5)
    assert copies.among is not None and copies.among > 10
    assert real.among == real.to_real == pytest.approx((9 + 81 + 36) / 3)
    assert (real.within_clusters, real.clusters) == (None, 0)


def test_the_distance_to_training_is_the_mean_over_all_pairs() -> None:
    assert diversity(on_a_line(1, 2), on_a_line(0, 4)).to_real == pytest.approx((1 + 9 + 4 + 4) / 4)


def test_one_picture_has_no_pair() -> None:
    found = diversity(on_a_line(1), on_a_line(0))
    assert (found.among, found.within_clusters, found.clusters) == (None, None, 0)
