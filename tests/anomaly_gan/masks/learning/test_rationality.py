"""The learnt rationality of placements: what it learns, what it must not see, and what real tiles teach it."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from anomaly_gan.masks.learning.logistic import fit_logistic, rank_auc
from anomaly_gan.masks.learning.rationality_fit import fit_rationality
from anomaly_gan.masks.placing.parts import Part
from anomaly_gan.masks.rationality.context import FEATURES, describe_picture, measure_part
from anomaly_gan.masks.rationality.rationality import Rationality
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError
from tests.support.tiles import needs_tiles, tiles

Image = NDArray[np.uint8]
Where = Callable[[np.random.Generator], Part]

HEIGHT, WIDTH = 90, 120


def striped(rng: np.random.Generator, height: int = HEIGHT, width: int = WIDTH) -> Image:
    """A picture whose grain runs upright."""
    columns = 120 + 25 * rng.standard_normal(width)
    return np.clip(columns + 6 * rng.standard_normal((height, width)), 0, 255).astype(np.uint8)


def samples_of(where: Where, groups: int = 10, of_group: int = 2) -> list[Sample]:
    """Pictures with one anomaly each."""
    rng = np.random.default_rng(5)
    samples = []
    for i in range(groups * of_group):
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        part = where(rng)
        below, inside = part.over(mask)
        below[:] = inside
        samples.append(Sample(f"p{i}", striped(rng), {"flaw": mask}, meta={"group": f"g{i // of_group}"}))
    return samples


def block(left: int, top: int, height: int = 8, width: int = 8) -> Part:
    return Part(np.ones((height, width), np.uint8), left, top)


def at_the_rim(rng: np.random.Generator) -> Part:
    return block([0, WIDTH - 8][int(rng.integers(2))], int(rng.integers(HEIGHT - 7)))


def anywhere(rng: np.random.Generator) -> Part:
    return block(int(rng.integers(WIDTH - 7)), int(rng.integers(HEIGHT - 7)))


def along_the_grain(rng: np.random.Generator) -> Part:
    return block(int(rng.integers(WIDTH - 2)), int(rng.integers(HEIGHT - 29)), height=30, width=3)


def test_a_class_at_the_rim_is_found_there_in_pictures_never_seen() -> None:
    learnt = fit_rationality(samples_of(at_the_rim), "flaw")
    assert learnt.auc is not None and learnt.auc > 0.9
    assert learnt.placement_auc is not None and learnt.placement_auc > 0.9
    assert (learnt.masks, learnt.groups, learnt.knows_place) == (20, 10, True)
    context = describe_picture(striped(np.random.default_rng(99)))
    at_rim, inside = (learnt.score(context, [block(left, 40)]) for left in (WIDTH - 8, 56))
    assert at_rim > 0.6 > 0.2 > inside


def test_a_class_along_the_grain_is_known_by_its_direction() -> None:
    learnt = fit_rationality(samples_of(along_the_grain), "flaw")
    assert learnt.placement_auc is not None and learnt.placement_auc > 0.85
    upright = describe_picture(striped(np.random.default_rng(99)))
    lying = describe_picture(np.ascontiguousarray(striped(np.random.default_rng(99), WIDTH, HEIGHT).T))
    line = block(60, 30, height=30, width=3)
    assert learnt.score(upright, [line]) > 0.6 > 0.4 > learnt.score(lying, [line])


def test_a_class_that_lies_anywhere_is_scored_alike_everywhere() -> None:
    learnt = fit_rationality(samples_of(anywhere), "flaw")
    assert learnt.auc == pytest.approx(0.5, abs=0.15)
    assert not learnt.knows_place
    context = describe_picture(striped(np.random.default_rng(99)))
    scores = [learnt.score(context, [block(left, top)]) for left, top in ((0, 0), (56, 40), (WIDTH - 8, 3))]
    assert scores == pytest.approx([scores[0]] * 3, abs=1e-12)


def test_as_many_parts_as_real_masks_have_score_higher() -> None:
    learnt = fit_rationality(samples_of(anywhere), "flaw")
    context = describe_picture(striped(np.random.default_rng(99)))
    one, two = learnt.score(context, [block(20, 20)]), learnt.score(context, [block(20, 20), block(70, 50)])
    assert one > 0.5 > two


@pytest.mark.parametrize(
    "paint",
    [
        np.zeros((HEIGHT, WIDTH), np.uint8),
        np.full((HEIGHT, WIDTH), 255, np.uint8),
        np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH), np.uint8),
    ],
    ids=["black", "white", "noise"],
)
def test_neither_model_nor_score_sees_an_anomaly_or_its_soft_edge(paint: Image) -> None:
    samples = samples_of(at_the_rim)
    learnt = fit_rationality(samples, "flaw")
    painted = []
    for sample in samples:
        halo = cv2.dilate(sample.masks["flaw"], np.ones((5, 5), np.uint8)) > 0
        painted.append(Sample(sample.key, np.where(halo, paint, sample.image), sample.masks, meta=sample.meta))
    assert fit_rationality(painted, "flaw") == learnt
    for before, after in zip(samples, painted, strict=True):
        contexts = [describe_picture(one.image, one.masks["flaw"]) for one in (before, after)]
        for part in (block(WIDTH - 8, 40), block(3, 20)):
            assert learnt.score(contexts[0], [part]) == learnt.score(contexts[1], [part])


def test_other_classes_of_a_picture_are_not_looked_at_either() -> None:
    samples = samples_of(at_the_rim)
    dark = np.zeros((HEIGHT, WIDTH), np.uint8)
    dark[20:60, 40:80] = 1
    both = [Sample(s.key, s.image * (1 - dark), {**s.masks, "dark": dark}, meta=s.meta) for s in samples]
    bright = [Sample(s.key, s.image | (dark * np.uint8(255)), s.masks, meta=s.meta) for s in both]
    assert fit_rationality(both, "flaw") == fit_rationality(bright, "flaw")


def test_the_same_seed_gives_the_same_model_and_another_one_not() -> None:
    samples = samples_of(at_the_rim, groups=4)
    assert fit_rationality(samples, "flaw", seed=3) == fit_rationality(samples, "flaw", seed=3)
    assert fit_rationality(samples, "flaw", seed=3) != fit_rationality(samples, "flaw", seed=4)


def test_it_survives_json_and_refuses_that_of_other_terms() -> None:
    learnt = fit_rationality(samples_of(at_the_rim, groups=4), "flaw")
    assert Rationality.model_validate_json(learnt.model_dump_json()) == learnt
    fewer = learnt.model_dump()
    fewer["terms"] = fewer["terms"][1:]
    with pytest.raises(ValidationError, match=r"terms must be edge, .*; make the mask pool again"):
        Rationality.model_validate(fewer)


def test_of_one_group_nothing_can_be_held_out() -> None:
    learnt = fit_rationality(samples_of(at_the_rim, groups=1, of_group=6), "flaw")
    assert (learnt.auc, learnt.placement_auc, learnt.groups, learnt.knows_place) == (None, None, 1, True)
    context = describe_picture(striped(np.random.default_rng(99)))
    assert learnt.score(context, [block(0, 40)]) > learnt.score(context, [block(56, 40)])


def test_a_picture_without_a_group_is_one_of_its_own() -> None:
    alone = [Sample(s.key, s.image, s.masks) for s in samples_of(at_the_rim, groups=13)]
    assert fit_rationality(alone, "flaw").groups == 26


def test_without_a_mask_there_is_nothing_to_learn() -> None:
    with pytest.raises(DataError, match="no mask of class crack"):
        fit_rationality(samples_of(anywhere, groups=2), "crack")


def test_a_mask_beyond_the_border_is_what_lies_within() -> None:
    context = describe_picture(striped(np.random.default_rng(0)))
    hanging, cut = block(-5, HEIGHT - 3), block(0, HEIGHT - 3, height=3, width=3)
    assert measure_part(context, hanging) == pytest.approx(measure_part(context, cut))
    assert measure_part(context, block(-8, 10)) is None
    learnt = fit_rationality(samples_of(at_the_rim, groups=4), "flaw")
    outside = block(WIDTH, HEIGHT)
    assert learnt.score(context, [outside]) == learnt.score(context, []) == 0
    assert learnt.score(context, [outside, cut]) == learnt.score(context, [cut])


@pytest.mark.parametrize(
    ("size", "part"),
    [
        ((90, 120), block(60, 40, 1, 1)),
        ((90, 120), block(0, 0, 90, 120)),
        ((90, 120), block(-40, -30, 300, 300)),
        ((1, 1), block(0, 0, 1, 1)),
        ((2, 40), block(3, 0, 2, 5)),
        ((90, 120), Part(np.eye(30, dtype=np.uint8), 40, 30)),
        ((90, 120), Part(np.pad(np.ones((2, 2), np.uint8), 20), 40, 30)),
    ],
)
def test_any_part_of_any_picture_has_finite_features(size: tuple[int, int], part: Part) -> None:
    for image in (striped(np.random.default_rng(0), *size), np.zeros(size, np.uint8)):
        for anomalies in (None, np.ones(size, np.uint8)):
            measured = measure_part(describe_picture(image, anomalies), part)
            assert measured is not None and measured.shape == (len(FEATURES),) and np.isfinite(measured).all()


def test_a_grey_picture_in_colour_is_the_same_picture() -> None:
    gray = striped(np.random.default_rng(0))
    colour = np.repeat(gray[:, :, None], 3, axis=2)
    of_gray, of_colour = (measure_part(describe_picture(image), block(30, 20)) for image in (gray, colour))
    assert of_colour == pytest.approx(of_gray)


def test_features_say_what_their_names_promise() -> None:
    image = striped(np.random.default_rng(0))
    image[:, :40] //= 4
    context = describe_picture(image)

    def of(part: Part) -> dict[str, float]:
        measured = measure_part(context, part)
        assert measured is not None
        return dict(zip(FEATURES, measured.tolist(), strict=True))

    corner, middle, left, upper = of(block(0, 0)), of(block(56, 41)), of(block(2, 41)), of(block(56, 2))
    assert corner["edge"] < left["edge"] < middle["edge"]
    assert upper["along"] < left["along"] and left["across"] < upper["across"]
    assert corner["outside"] > left["outside"] > 0.2 > middle["outside"] == 0
    assert (corner["x"], corner["y"]) == pytest.approx((8 / 120 - 1, 8 / 90 - 1))
    assert (middle["x"], middle["y"]) == pytest.approx((0, 0))
    assert left["dark"] < middle["dark"] - 1
    assert middle["elongation"] == pytest.approx(0) == middle["alignment"]
    upright, lying = of(block(60, 20, height=30, width=3)), of(block(40, 40, height=3, width=30))
    assert upright["elongation"] == pytest.approx(np.log(10), rel=0.01) == lying["elongation"]
    assert upright["alignment"] > 1 and upright["alignment"] == pytest.approx(-lying["alignment"], rel=0.1)
    assert np.exp(upright["area"]) == pytest.approx(90 / (HEIGHT * WIDTH))


def test_exposure_does_not_matter() -> None:
    image = striped(np.random.default_rng(0)) // 4 * 2
    part = block(30, 20, height=12)
    dim, bright = (measure_part(describe_picture((image * gain).astype(np.uint8)), part) for gain in (1, 1.5))
    assert dim == pytest.approx(bright, abs=0.1)


def test_logistic_regression_finds_the_coefficients_that_made_the_data_and_survives_separable_data() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((20_000, 2))
    chance = 1 / (1 + np.exp(-(0.5 + features @ [1.0, -2.0])))
    bias, coefficients = fit_logistic(features, rng.random(20_000) < chance, np.ones(20_000), 1.0)
    assert [bias, *coefficients] == pytest.approx([0.5, 1.0, -2.0], abs=0.1)
    _, [steep] = fit_logistic(np.linspace(-1, 1, 50)[:, None], np.arange(50) > 24, np.ones(50), 1e-4)
    assert 10 < steep < 1000


def test_a_row_of_twice_the_weight_counts_as_two() -> None:
    features, is_real = np.array([[0.0], [1.0], [2.0]]), np.array([False, True, False])
    twice = fit_logistic(features, is_real, np.array([1.0, 2.0, 1.0]), 1.0)
    copied = fit_logistic(features[[0, 1, 1, 2]], is_real[[0, 1, 1, 2]], np.ones(4), 1.0)
    assert twice[0] == pytest.approx(copied[0]) and twice[1] == pytest.approx(copied[1])


@pytest.mark.parametrize(
    ("real", "random", "auc"), [([3, 4], [1, 2], 1), ([1], [2, 3], 0), ([2], [2, 2], 0.5), ([1, 3], [2, 3], 0.375)]
)
def test_auc_counts_the_pairs_in_order_and_ties_half(real: list[float], random: list[float], auc: float) -> None:
    assert rank_auc(real, random) == auc


@needs_tiles
@pytest.mark.parametrize(
    ("class_name", "masks", "groups", "position", "placement"),
    [("break", 85, 16, 0.9, 0.9), ("crack", 57, 9, 0.85, 0.85)],
)
def test_breaks_and_cracks_of_tiles_never_seen_score_above_themselves_moved_at_random(
    class_name: str, masks: int, groups: int, position: float, placement: float
) -> None:
    learnt = fit_rationality(tiles(class_name), class_name)
    assert (learnt.masks, learnt.groups, learnt.knows_place) == (masks, groups, True)
    assert learnt.auc is not None and learnt.auc > position
    assert learnt.placement_auc is not None and learnt.placement_auc > placement


@needs_tiles
def test_blowholes_lie_anywhere_on_a_tile_and_nothing_is_claimed_of_their_place() -> None:
    learnt = fit_rationality(tiles("blowhole"), "blowhole")
    assert (learnt.masks, learnt.groups, learnt.knows_place) == (115, 19, False)
    assert learnt.auc == pytest.approx(0.5, abs=0.15)
    assert learnt.placement_auc is not None and learnt.placement_auc > 0.7  # by the number of parts
