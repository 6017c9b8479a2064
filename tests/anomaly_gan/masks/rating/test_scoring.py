import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly_gan.masks.rating.fuzzy import to_triangle
from anomaly_gan.masks.rating.ratings import ExpertEntry, Rating, read_experts, read_ratings
from anomaly_gan.masks.rating.scoring import MaskScore, Scoring, score_masks, warnings_of
from infra.errors import DataError, UsageError

EXPERTS = """expert,weight,senior
ana,2,yes
bo,2,TRUE
c1,1,no
c2,,0
c3,1,no
c4,1,no
c5,1,no
c6,1,no
c7,1,no
c8,1,False
"""
MASKS = {"m1": "dent", "m2": "dent", "m3": "dent", "m4": "dent", "m5": "dent", "m6": "dent", "h1": "hole", "h2": "hole"}
TABLE = {
    #      ana        bo         c1         c2         c3         c4         c5    c6    c7           c8
    "m1": "very-high  high       high       high       high       high       0.8   0.8   0.6/0.7/0.8  medium",
    "m2": "0.9        0.9        0.7        0.7        0.7        0.7        0.5   0.5   0.5          0.5",
    "m3": "0.9        0.4        0.7        0.7        0.7        0.7        0.7   0.7   0.8          0.8",
    "m4": "very-high  very-high  very-high  very-high  -          -          -     -     -            -",
    "m5": "low        low        low        low        low        low        low   low   low          low",
    "m6": "-          -          -          -          -          -          -     -     -            -",
    "h1": "very-high  -          very-high  very-high  very-high  very-high  -     -     -            -",
    "h2": "0.6        0.6        0.6        0.6        0.6        -          -     -     -            -",
}


def ratings_of_the_table() -> list[Rating]:
    names = [expert.name for expert in read_experts(EXPERTS, "experts.csv")]
    return [
        Rating(mask=mask, expert=name, text=text, triangle=to_triangle(text))
        for mask, row in TABLE.items()
        for name, text in zip(names, row.split(), strict=True)
        if text != "-"
    ]


@pytest.fixture
def scoring() -> Scoring:
    return score_masks(MASKS, ratings_of_the_table(), read_experts(EXPERTS, "experts.csv"), top=0.3)


def of(scoring: Scoring, mask: str) -> MaskScore:
    return next(each for each in scoring.masks if each.mask == mask)


def test_ten_experts_give_the_aggregate_computed_by_hand(scoring: Scoring) -> None:
    # m1, weights 2 2 1 1 1 1 1 1 1 1 of 12:
    #   low   2*.75 + 2*.5  + 4*.5  + 2*.8 + .6 + .25 =  6.95
    #   mode  2*1   + 2*.75 + 4*.75 + 2*.8 + .7 + .5  =  9.3
    #   high  2*1   + 2*1   + 4*1   + 2*.8 + .8 + .75 = 11.15    centroid (6.95 + 9.3 + 11.15) / 36
    assert of(scoring, "m1").triangle == pytest.approx((6.95 / 12, 9.3 / 12, 11.15 / 12))
    assert of(scoring, "m1").score == pytest.approx(27.4 / 36)
    # m2: (4*.9 + 4*.7 + 4*.5) / 12 = .7; four of weight 12 at distance .2, four at 0, four at .2
    assert of(scoring, "m2").triangle == pytest.approx((0.7, 0.7, 0.7))
    assert of(scoring, "m2").agreement == pytest.approx(1 - (4 * 0.2 + 4 * 0.2) / 12)
    # m3: (2*.9 + 2*.4 + 6*.7 + 2*.8) / 12 = .7; distances .2, .3, 0, .1
    assert of(scoring, "m3").score == 0.7
    assert of(scoring, "m3").agreement == pytest.approx(1 - (2 * 0.2 + 2 * 0.3 + 2 * 0.1) / 12)
    assert of(scoring, "m5").triangle == (0, 0.25, 0.5)
    assert of(scoring, "m5").agreement == 1


def test_weights_count_among_those_who_rated(scoring: Scoring) -> None:
    # h1: ana (2) and four of weight 1, all very high
    assert of(scoring, "h1").triangle == (0.75, 1, 1)
    assert of(scoring, "h1").ratings == 5


def test_concordance_is_that_of_the_masks_that_all_rated(scoring: Scoring) -> None:
    # m1 m2 m3 m5 rank: ana 4 2.5 2.5 1; bo 3 4 2 1; c1-c4 4 2.5 2.5 1; c5 c6 4 2 3 1; c7 3 2 4 1; c8 2.5 2.5 4 1
    # sums 36.5 25 28.5 10 around 25: S = 11.5^2 + 3.5^2 + 15^2 = 369.5; six rows with one tie of two: T = 6 * (2^3 - 2)
    # W = 12 * 369.5 / (10^2 * (4^3 - 4) - 10 * 36)
    assert scoring.concordance == pytest.approx(4434 / 5640)


def test_every_mask_gets_a_reason(scoring: Scoring) -> None:
    # dent has 6 masks, so ceil(.3 * 6) = 2 places; m4 takes none, m2 and m3 tie for the second
    assert {each.mask: each.reason for each in scoring.masks} == {
        "m1": "admitted",
        "m2": "admitted",
        "m3": "senior expert bo rates it 0.40, below 0.50",
        "m4": "4 ratings of at least 5",
        "m5": "score 0.25 is below the top 30 % (0.70)",
        "m6": "not rated",
        "h1": "senior expert bo did not rate it",
        "h2": "score 0.60 is below the top 30 % (0.92)",
    }
    assert [each.mask for each in scoring.masks if each.admitted] == ["m1", "m2"]
    unrated = of(scoring, "m6")
    assert (unrated.triangle, unrated.score, unrated.agreement, unrated.ratings) == (None, None, None, 0)


def test_masks_come_by_class_and_then_best_first(scoring: Scoring) -> None:
    assert [each.mask for each in scoring.masks] == ["m4", "m1", "m2", "m3", "m5", "m6", "h1", "h2"]


def test_a_scoring_keeps_every_rating_and_survives_json(scoring: Scoring) -> None:
    assert len(scoring.ratings) == 54 and len(scoring.experts) == 10
    assert Scoring.model_validate_json(scoring.model_dump_json()) == scoring


def test_the_order_of_the_input_changes_nothing(scoring: Scoring) -> None:
    ratings, experts = ratings_of_the_table(), read_experts(EXPERTS, "experts.csv")
    random.Random(0).shuffle(ratings)
    assert score_masks(dict(reversed(MASKS.items())), ratings, experts[::-1], top=0.3) == scoring


def test_without_a_table_of_experts_all_are_alike_and_senior() -> None:
    ratings = read_ratings("mask,expert,score\nm1,bo,0.9\nm1,ana,0.4\n", "r.csv")
    scoring = score_masks({"m1": "dent"}, ratings, None)
    assert [(expert.name, expert.weight, expert.senior) for expert in scoring.experts] == [
        ("ana", 1, True),
        ("bo", 1, True),
    ]
    assert of(scoring, "m1").score == 0.65
    assert of(scoring, "m1").reason == "senior expert ana rates it 0.40, below 0.50"


def many(scores: list[float]) -> tuple[dict[str, str], list[Rating]]:
    """One expert's ratings of as many masks."""
    masks = {f"m{i:03d}": "dent" for i in range(len(scores))}
    table = "".join(f"{mask},ana,{score}\n" for mask, score in zip(masks, scores, strict=True))
    return masks, read_ratings(f"mask,expert,score\n{table}", "r.csv")


@pytest.mark.parametrize(("top", "masks", "places"), [(0.1, 3, 1), (0.1, 11, 2), (0.07, 100, 7), (1, 5, 5)])
def test_the_top_is_rounded_up_to_whole_masks(top: float, masks: int, places: int) -> None:
    scoring = score_masks(*many([0.5 + i / 1000 for i in range(masks)]), None, top=top)
    assert sum(each.admitted for each in scoring.masks) == places


def test_all_that_tie_with_the_last_place_are_admitted() -> None:
    scoring = score_masks(*many([0.9, 0.8, 0.8, 0.8, 0.7]), None, top=0.4)
    assert [each.mask for each in scoring.masks if each.admitted] == ["m000", "m001", "m002", "m003"]


def test_equal_means_of_different_ratings_tie() -> None:
    rows = "a,x,0\na,y,0.3\nb,x,0.1\nb,y,0.2\n"  # 0 + 0.3 < 0.1 + 0.2 in floats
    scoring = score_masks({"a": "dent", "b": "dent"}, read_ratings(f"mask,expert,score\n{rows}", "r"), None, approval=0)
    assert [each.reason for each in scoring.masks] == ["admitted", "admitted"]


def test_the_place_of_a_mask_that_a_senior_expert_rejects_goes_to_no_other() -> None:
    scoring = score_masks(*many([0.9, 0.8]), None, top=0.5, approval=0.95)
    assert [each.reason for each in scoring.masks] == [
        "senior expert ana rates it 0.90, below 0.95",
        "score 0.80 is below the top 50 % (0.90)",
    ]


def test_a_rating_of_just_the_approval_approves() -> None:
    for tenths in range(11):
        scoring = score_masks(*many([tenths / 10]), None, approval=tenths / 10)
        assert of(scoring, "m000").admitted


def test_reasons_show_as_many_decimals_as_tell_numbers_apart() -> None:
    scoring = score_masks(*many([0.7801, 0.7799, 0.2]), None, approval=0.7802)
    assert of(scoring, "m000").reason == "senior expert ana rates it 0.7801, below 0.7802"
    assert of(scoring, "m001").reason == "score 0.7799 is below the top 10 % (0.7801)"


def test_too_few_ratings_are_said_before_anything_else() -> None:
    ratings = read_ratings("mask,expert,score\nm1,ana,0.1\nm2,ana,0.8\nm2,bo,0.8\n", "r.csv")
    scoring = score_masks({"m1": "dent", "m2": "dent"}, ratings, None, min_ratings=2)
    assert of(scoring, "m1").reason == "1 rating of at least 2"
    assert of(scoring, "m2").admitted


@pytest.mark.parametrize(("experts", "least"), [(1, 1), (2, 1), (3, 2), (10, 5)])
def test_half_of_the_experts_rounded_up_must_rate_a_mask(experts: int, least: int) -> None:
    ratings = [Rating(mask="m", expert=f"e{i}", text="1", triangle=to_triangle("1")) for i in range(experts)]
    assert score_masks({"m": "dent"}, ratings, None).min_ratings == least


expert_names = st.sampled_from(["ana", "bo", "cy", "di"])
mask_names = st.sampled_from(list(MASKS))
texts = st.sampled_from(["very low", "low", "medium", "high", "very high", "0.3", "0.9", "0.5/0.7/0.9"])


@given(st.dictionaries(st.tuples(mask_names, expert_names), texts, min_size=1), st.floats(0.01, 1), st.floats(0, 1))
def test_admitted_masks_are_at_least_as_good_as_every_other_candidate(
    drawn: dict[tuple[str, str], str], top: float, approval: float
) -> None:
    ratings = [
        Rating(mask=mask, expert=name, text=text, triangle=to_triangle(text)) for (mask, name), text in drawn.items()
    ]
    scoring = score_masks(MASKS, ratings, None, top=top, approval=approval)
    assert sorted(each.mask for each in scoring.masks) == sorted(MASKS)
    for each in scoring.masks:
        if each.admitted:
            assert each.score is not None and each.score >= approval - 1e-9
            assert each.ratings == len(scoring.experts)
        elif "below the top" in each.reason:
            best = [other.score for other in scoring.masks if other.class_name == each.class_name and other.admitted]
            assert all(score is not None and each.score is not None and score > each.score for score in best)


@pytest.mark.parametrize("top", [0, -0.1, 1.1, float("nan")])
def test_a_top_outside_its_range_is_refused(top: float) -> None:
    with pytest.raises(UsageError, match=r"^--top \S+: must be above 0 and at most 1"):
        score_masks(*many([0.5]), None, top=top)


@pytest.mark.parametrize("approval", [-0.1, 1.1, float("nan")])
def test_an_approval_outside_its_range_is_refused(approval: float) -> None:
    with pytest.raises(UsageError, match=r"^--approval \S+: must be from 0 to 1"):
        score_masks(*many([0.5]), None, approval=approval)


@pytest.mark.parametrize("min_ratings", [0, 2])
def test_more_ratings_than_experts_cannot_be_asked_for(min_ratings: int) -> None:
    with pytest.raises(UsageError, match=r"^--min-ratings \d: must be from 1 to 1, the number of experts"):
        score_masks(*many([0.5]), None, min_ratings=min_ratings)


def test_a_rating_of_an_unknown_mask_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"^ratings: expert ana rates mask 'm000', which is no expert mask of the pool;"
    ):
        score_masks({"other": "dent"}, many([0.5])[1], None)


def test_a_rating_by_an_unknown_expert_is_refused() -> None:
    masks, ratings = many([0.5])
    with pytest.raises(DataError, match=r"^ratings: expert 'ana' is not in the table of experts; add a line there"):
        score_masks(masks, ratings, [ExpertEntry(name="bo", senior=True)])


def test_two_ratings_of_one_mask_from_two_tables_are_refused() -> None:
    masks, ratings = many([0.5])
    with pytest.raises(DataError, match=r"^ratings: expert ana rates mask m000 twice; keep one line"):
        score_masks(masks, [*ratings, *ratings], None)


def test_experts_without_a_senior_are_refused() -> None:
    with pytest.raises(DataError, match=r"^experts: none is senior, so nobody can approve a mask; set senior to yes"):
        score_masks(*many([0.5]), [ExpertEntry(name="ana", senior=False)])


def test_names_that_differ_in_case_alone_are_warned_of() -> None:
    table = "mask,expert,score\nm1,mei,0.9\nm1,Mei,0.2\nh1,jan,0.5\n"
    scoring = score_masks({"m1": "dent", "h1": "hole"}, read_ratings(table, "a.csv"), None, min_ratings=1)
    assert warnings_of(scoring) == [
        "experts 'Mei' and 'mei' differ in case alone and count as two; write one name in every table"
    ]


def test_a_class_that_loses_all_its_masks_because_nobody_rated_one_is_warned_of() -> None:
    scoring = score_masks({"m1": "dent", "h1": "hole"}, read_ratings("mask,expert,score\nm1,mei,0.9\n", "a.csv"), None)
    assert warnings_of(scoring) == ["class hole: none of its drawn masks was rated, so none is used; rate some of them"]
