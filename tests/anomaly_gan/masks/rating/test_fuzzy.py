import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import friedmanchisquare

from anomaly_gan.masks.rating.fuzzy import (
    TERMS,
    Triangle,
    agreement,
    centroid,
    kendall_w,
    to_triangle,
    vertex_distance,
    weighted_mean,
)
from infra.errors import DataError

numbers = st.floats(0, 1)
triangles = st.lists(numbers, min_size=3, max_size=3).map(lambda three: Triangle(*sorted(three)))
weighed = st.lists(st.tuples(triangles, st.floats(1e-3, 1e3)), min_size=1, max_size=12)
Weighed = list[tuple[Triangle, float]]


@pytest.mark.parametrize(
    ("text", "triangle"),
    [
        ("0.7", (0.7, 0.7, 0.7)),
        ("0", (0, 0, 0)),
        ("1", (1, 1, 1)),
        ("very low", (0, 0, 0.25)),
        ("low", (0, 0.25, 0.5)),
        ("Medium", (0.25, 0.5, 0.75)),
        (" HIGH ", (0.5, 0.75, 1)),
        ("very-high", (0.75, 1, 1)),
        ("Very_ High", (0.75, 1, 1)),
        ("0.5/0.7/0.9", (0.5, 0.7, 0.9)),
        ("0.5;0.7;0.9", (0.5, 0.7, 0.9)),
        ("(0.5, 0.7, 0.9)", (0.5, 0.7, 0.9)),
        ("0.5/0.5/0.5", (0.5, 0.5, 0.5)),
    ],
)
def test_a_rating_is_a_number_a_term_or_a_triangular_number(text: str, triangle: Triangle) -> None:
    assert to_triangle(text) == triangle


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("great", "is no rating; write a number from 0 to 1 such as 0.7, one of very low, low, medium, high, very"),
        ("0,7", "is no rating"),
        ("0.5/0.7", "is no rating"),
        ("(0.5, 0.7, 0.9", "is no rating"),
        ("1.2", "is not within 0 and 1; rate from 0"),
        ("-0.1", "is not within 0 and 1"),
        ("nan", "is not within 0 and 1"),
        ("0.5/nan/0.9", "is not within 0 and 1"),
        ("inf", "is not within 0 and 1"),
        ("0.9/0.7/0.5", "is out of order; write a triangular number as lowest/likeliest/highest"),
    ],
)
def test_another_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        to_triangle(text)
    assert str(caught.value).startswith(repr(text))


def test_centroid_is_the_mean_of_the_three() -> None:
    assert [centroid(term) for term in TERMS.values()] == pytest.approx([1 / 12, 1 / 4, 1 / 2, 3 / 4, 11 / 12])


@pytest.mark.parametrize("tenths", range(11))
def test_a_number_is_its_own_centroid(tenths: int) -> None:
    assert centroid(to_triangle(f"{tenths / 10}")) == tenths / 10


def test_weighted_mean_of_two() -> None:
    # (0, .25, .5) once and (.75, 1, 1) thrice: 2.25/4, 3.25/4, 3.5/4
    assert weighted_mean([TERMS["low"], TERMS["very high"]], [1, 3]) == pytest.approx((0.5625, 0.8125, 0.875))


def test_vertex_distance_of_neighbouring_terms() -> None:
    assert vertex_distance(TERMS["low"], TERMS["medium"]) == 0.25
    assert vertex_distance(TERMS["very low"], TERMS["low"]) == pytest.approx(math.sqrt((0 + 2 * 0.25**2) / 3))


def test_agreement_of_two() -> None:
    # .2 once and .8 thrice: mean .65, distances .45 and .15, so 1 - (.45 + 3 * .15) / 4
    assert agreement([to_triangle("0.2"), to_triangle("0.8")], [1, 3]) == 0.775
    assert agreement([TERMS["low"]] * 3, [1, 2, 3]) == 1
    assert agreement([TERMS["very low"]], [2]) == 1


@given(weighed)
def test_the_mean_is_a_triangle_within_the_hull_of_the_ratings(drawn: Weighed) -> None:
    ratings, weights = zip(*drawn, strict=True)
    mean = weighted_mean(ratings, weights)
    assert 0 <= mean.low <= mean.mode <= mean.high <= 1
    for component, result in zip(zip(*ratings, strict=True), mean, strict=True):
        assert min(component) - 1e-12 <= result <= max(component) + 1e-12
    assert 0 <= agreement(ratings, weights) <= 1


@given(
    st.lists(triangles, min_size=1, max_size=12).flatmap(
        lambda drawn: st.tuples(st.just(drawn), st.permutations(drawn))
    )
)
def test_equal_weights_do_not_depend_on_the_order(drawn: tuple[list[Triangle], list[Triangle]]) -> None:
    one, other = drawn
    assert weighted_mean(one, [1] * len(one)) == weighted_mean(other, [0.3] * len(other))


@given(weighed, st.sampled_from([1e-300, 0.1, 3, 1e300]))
def test_scaling_all_weights_changes_nothing(drawn: Weighed, factor: float) -> None:
    ratings, weights = zip(*drawn, strict=True)
    scaled = [weight * factor for weight in weights]
    assert weighted_mean(ratings, scaled) == pytest.approx(weighted_mean(ratings, weights), abs=1e-12)


def test_concordance_without_ties() -> None:
    # rank sums 4, 5, 9 around 6: S = 14; W = 12 * 14 / (3^2 * (3^3 - 3))
    assert kendall_w([[0.1, 0.2, 0.3], [0.4, 0.5, 0.9], [0.2, 0.1, 0.8]]) == pytest.approx(168 / 216)


def test_concordance_with_ties() -> None:
    # ranks 1, 2.5, 2.5 and 1, 2, 3: sums 2, 4.5, 5.5 around 4: S = 6.5; T = 2^3 - 2; W = 12 * 6.5 / (4 * 24 - 2 * 6)
    assert kendall_w([[0.1, 0.5, 0.5], [0.1, 0.2, 0.3]]) == pytest.approx(78 / 84)


def test_concordance_is_1_for_one_ranking_and_0_for_opposite_ones() -> None:
    assert kendall_w([[0.1, 0.5, 0.7], [0.2, 0.3, 0.9]]) == 1
    assert kendall_w([[0.1, 0.5], [0.5, 0.1]]) == 0


@pytest.mark.parametrize("scores", [[], [[0.1, 0.2]], [[0.1], [0.2]], [[], []], [[0.5, 0.5], [0.2, 0.2]]])
def test_concordance_needs_two_experts_two_masks_and_variation(scores: list[list[float]]) -> None:
    assert kendall_w(scores) is None


tables = st.tuples(st.integers(2, 6), st.integers(3, 6)).flatmap(
    lambda size: st.lists(
        st.lists(st.sampled_from([0.1, 0.25, 0.5, 0.9]), min_size=size[1], max_size=size[1]),
        min_size=size[0],
        max_size=size[0],
    )
)


@given(tables.filter(lambda table: any(len(set(row)) > 1 for row in table)))
def test_concordance_agrees_with_friedmans_statistic(table: list[list[float]]) -> None:
    statistic = friedmanchisquare(*zip(*table, strict=True)).statistic
    assert kendall_w(table) == pytest.approx(statistic / (len(table) * (len(table[0]) - 1)))
