"""Scores of two sets of features: their order under faults that one sees, their evidence, and their floor."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.metrics.features.network import FeatureNetwork, Features, FeatureSource, load_features
from anomaly_gan.metrics.features.scores import NEIGHBOUR_SCORES, SCORES, FeatureScores, feature_scores, real_floor
from anomaly_gan.metrics.frechet import frechet_distance
from anomaly_gan.metrics.kernel import kid
from anomaly_gan.metrics.neighbours import neighbour_scores
from infra.errors import DataError

Picture = NDArray[np.uint8]
SIDE = 96


def source(network: str = "lite0", sha256: str = "0" * 64) -> FeatureSource:
    return FeatureSource(network=network, sha256=sha256, input="as it is")


def drawn(count: int, seed: int, shift: float = 0.0, network: str = "lite0") -> Features:
    return Features(np.random.default_rng(seed).normal(shift, 1, (count, 5)), source(network))


# --- what the scores are


def test_each_score_is_that_of_its_own_file() -> None:
    real, generated = drawn(30, 0), drawn(30, 1, 0.5)
    scores = feature_scores(real, generated, seed=3)
    near = neighbour_scores(real.values, generated.values)
    distance = kid(real.values, generated.values, seed=3)
    assert (scores.kid, scores.kid_deviation, scores.kid_subset) == (distance.mean, distance.deviation, 15)
    assert scores.frechet == frechet_distance(real.values, generated.values)
    assert (scores.precision, scores.recall, scores.precision_k) == (near.precision, near.recall, 3)
    assert (scores.density, scores.coverage, scores.density_k) == pytest.approx((near.density, near.coverage, 5))
    assert (scores.real, scores.generated, scores.compared, scores.missing) == (30, 30, 30, {})


def test_every_score_names_network_file_and_input() -> None:
    scores = feature_scores(drawn(30, 0), drawn(30, 1), seed=0)
    assert (scores.network, scores.sha256, scores.input) == ("lite0", "0" * 64, "as it is")
    assert FeatureScores.model_validate_json(scores.model_dump_json()) == scores


def test_only_of_inception_the_frechet_distance_is_a_fid() -> None:
    assert feature_scores(drawn(30, 0), drawn(30, 1), seed=0).frechet_name == "frechet"
    inception = [drawn(30, seed, network="inception") for seed in (0, 1)]
    assert feature_scores(inception[0], inception[1], seed=0).frechet_name == "fid"
    assert real_floor(inception[0], seed=0, halvings=1).frechet_name == "fid"


def test_features_of_two_networks_are_not_compared() -> None:
    other = Features(drawn(30, 1).values, source(sha256="1" * 64))
    with pytest.raises(DataError, match=r"features: of lite0 \(00000000, as it is\) and of lite0 \(11111111, as it is"):
        feature_scores(drawn(30, 0), other, seed=0)


def test_the_seed_decides_the_subsets() -> None:
    real, generated = drawn(30, 0), drawn(50, 1)
    assert feature_scores(real, generated, seed=0) == feature_scores(real, generated, seed=0)
    assert feature_scores(real, generated, seed=0).kid != feature_scores(real, generated, seed=1).kid


# --- evidence


def test_sets_of_different_sizes_are_compared_in_equal_parts() -> None:
    """A generator's recall and coverage do not depend on how many pictures it made."""
    real = drawn(20, 0)
    few = [feature_scores(real, drawn(20, seed, 0.8), seed=0) for seed in range(1, 21)]
    many = feature_scores(real, drawn(400, 1, 0.8), seed=0)
    assert (many.compared, many.generated) == (20, 400)
    for score in NEIGHBOUR_SCORES:
        assert getattr(many, score) == pytest.approx(np.mean([getattr(one, score) for one in few]), abs=0.08)
    unequal = neighbour_scores(real.values, drawn(400, 1, 0.8).values)
    assert many.coverage is not None and unequal.coverage > many.coverage + 0.1


def test_parts_of_both_sets_may_be_smaller() -> None:
    real, generated = drawn(40, 0), drawn(45, 1)
    assert feature_scores(real, generated, seed=0, compared=20).compared == 20
    for wrong in (0, 41):
        with pytest.raises(DataError, match=f"compared is {wrong}, and the smaller set has 40 pictures; use 1 to 40"):
            feature_scores(real, generated, seed=0, compared=wrong)


@pytest.mark.parametrize(("count", "precision_k", "density_k"), [(4, 1, 1), (11, 2, 2), (12, 3, 3), (20, 3, 5)])
def test_few_pictures_lower_k(count: int, precision_k: int, density_k: int) -> None:
    scores = feature_scores(drawn(count, 0), drawn(count, 1), seed=0)
    assert (scores.precision_k, scores.density_k) == (precision_k, density_k)


@pytest.mark.parametrize(("real", "generated"), [(3, 50), (50, 3), (1, 1)])
def test_too_few_pictures_have_no_score_but_a_reason(real: int, generated: int) -> None:
    scores = feature_scores(drawn(real, 0), drawn(generated, 1), seed=0)
    assert all(getattr(scores, score) is None for score in (*SCORES, "kid_deviation", "precision_k", "density_k"))
    assert set(scores.missing) == set(SCORES)
    found = f"there are {real} real and {generated} generated ones"
    assert scores.missing["kid"] == scores.missing["recall"] == f"needs 4 or more pictures of each set, {found}"
    assert scores.missing["frechet"] == f"needs more than 5 pictures of each set, {found}"


def test_a_singular_covariance_gives_no_frechet_distance() -> None:
    """Of 5 pictures in 5 dimensions the distance is mostly that they are few."""
    assert feature_scores(drawn(5, 0), drawn(50, 1), seed=0).frechet is None
    assert feature_scores(drawn(6, 0), drawn(50, 1), seed=0).frechet is not None


# --- the floor


def test_the_floor_is_mean_and_deviation_of_halves() -> None:
    real = drawn(41, 0)
    floor = real_floor(real, seed=0, halvings=6)
    assert set(floor.scores) == set(SCORES) and floor.missing == {}
    assert (floor.compared, floor.real, floor.halvings) == (20, 41, 6)
    distance, coverage = floor.scores["kid"], floor.scores["coverage"]
    assert distance is not None and coverage is not None
    assert abs(distance.mean) < 0.3 and distance.deviation > 0
    assert coverage.mean > 0.8 and 0 < coverage.deviation < 0.2
    assert floor == real_floor(real, seed=0, halvings=6) != real_floor(real, seed=1, halvings=6)


def test_pictures_of_a_group_stay_in_one_half() -> None:
    """Else each picture of a pair finds the other one in the other half."""
    values = np.random.default_rng(0).normal(0, 1, (30, 200)).repeat(2, axis=0)
    real, groups = Features(values, source()), [f"g{i // 2}" for i in range(60)]
    apart, together = real_floor(real, seed=0, halvings=4), real_floor(real, seed=0, halvings=4, groups=groups)
    assert apart.scores["kid"].mean < together.scores["kid"].mean - 2 * together.scores["kid"].deviation  # type: ignore[union-attr]
    assert together.compared == 30


@pytest.mark.parametrize("groups", [["a"] * 8, ["a", "b"]], ids=["one group", "too few names"])
def test_a_floor_without_two_groups_is_refused(groups: list[str]) -> None:
    with pytest.raises(DataError, match="floor of 8 real pictures: needs 2 or more groups, and one name a picture"):
        real_floor(drawn(8, 0), seed=0, groups=groups)


def test_too_few_pictures_have_no_floor_but_a_reason() -> None:
    floor = real_floor(drawn(6, 0), seed=0, halvings=2)
    assert set(floor.scores.values()) == {None} and set(floor.missing) == set(SCORES)


# --- what one sees


def texture(seed: int) -> Picture:
    """Grain, crossed by a dark line: [96, 96] grey."""
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, 40, (SIDE, SIDE)) + cv2.resize(rng.normal(0, 30, (12, 12)), (SIDE, SIDE))
    picture = np.clip(128 + grain, 0, 255).astype(np.uint8)
    ends = rng.integers(0, SIDE, 4)
    return cv2.line(picture, ends[:2].tolist(), ends[2:].tolist(), 20, 3).astype(np.uint8)


def blurred(picture: Picture, deviation: float) -> Picture:
    return cv2.GaussianBlur(picture, (0, 0), deviation).astype(np.uint8)


def painted(picture: Picture) -> Picture:
    """The middle filled with its mean grey, as a flat painter does."""
    flat = picture.copy()
    flat[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4] = round(float(picture.mean()))
    return flat


@pytest.fixture(scope="module")
def lite0() -> FeatureNetwork:
    return load_features("lite0", side_px=SIDE)


@pytest.fixture(scope="module")
def real(lite0: FeatureNetwork) -> Features:
    return lite0.of(texture(seed) for seed in range(40))


def test_more_blur_is_farther_away(lite0: FeatureNetwork, real: Features) -> None:
    unseen = feature_scores(real, lite0.of(texture(seed) for seed in range(100, 140)), seed=0)
    blurs = [
        feature_scores(real, lite0.of(blurred(texture(seed), width) for seed in range(100, 140)), seed=0)
        for width in (1, 2, 4)
    ]
    distances = [scores.kid for scores in (unseen, *blurs) if scores.kid is not None]
    assert len(distances) == 4 and distances == sorted(distances)
    assert unseen.kid_deviation is not None
    assert abs(distances[0]) < 3 * unseen.kid_deviation < distances[1] / 3


def test_a_flat_painter_is_far_worse_than_real_halves(lite0: FeatureNetwork, real: Features) -> None:
    floor = real_floor(real, seed=0, halvings=4)
    flat = lite0.of(painted(texture(seed)) for seed in range(100, 140))
    scores = feature_scores(real, flat, seed=0, compared=floor.compared)
    assert floor.scores["kid"] is not None and floor.scores["coverage"] is not None
    assert scores.kid is not None and scores.coverage is not None
    assert scores.kid > floor.scores["kid"].mean + 10 * floor.scores["kid"].deviation
    assert scores.coverage < floor.scores["coverage"].mean / 2


def test_the_same_pictures_are_at_no_distance(real: Features) -> None:
    """A little below 0, since only between the sets a picture meets itself; a blur of 1 px is at 1.7."""
    scores = feature_scores(real, real, seed=0)
    assert scores.kid is not None and -0.3 < scores.kid <= 0
    assert (scores.precision, scores.recall, scores.coverage) == (1, 1, 1)
