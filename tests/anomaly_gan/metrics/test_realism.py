"""What an anomaly looks like and what was changed: values that can be told by hand."""

from dataclasses import asdict

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.metrics.realism import CHANCE, MEASURES, appearance, change, grain_of
from tests.support.pitted import (
    FEATHER_PX,
    SIDE,
    Painted,
    checkers,
    flat,
    noise,
    opaque,
    painted,
    pitted,
    rough,
    surface,
)
from tests.support.pitted import translucent as half_blended

MASK = np.zeros((SIDE, SIDE), np.uint8)
MASK[30:60, 30:60] = 1
GROUND = surface(0)


def of(content: NDArray[np.uint8], mask: NDArray[np.uint8] = MASK) -> dict[str, float]:
    """The measures of a surface with this content in the mask, a hard edge around it."""
    found = asdict(appearance(np.where(mask > 0, content, GROUND).astype(np.uint8), mask))
    return {name: value for name, value in found.items() if value is not None}


def test_contrast_is_the_share_of_the_way_to_black_or_to_white() -> None:
    dark, bright = of(np.full_like(GROUND, 100)), of(np.full_like(GROUND, 200))
    assert dark["contrast"] == pytest.approx(-50 / 150, abs=0.02)
    assert bright["contrast"] == pytest.approx(50 / 105, abs=0.02)


def test_of_an_empty_mask_as_much_is_visible_as_by_chance_and_nothing_differs() -> None:
    found = of(GROUND)
    assert found["visible"] == pytest.approx(CHANCE, abs=0.05)
    for name in ("texture", "fine", "middle", "coarse", "edge"):
        assert abs(found[name]) < 0.5
    assert of(np.full_like(GROUND, 90))["visible"] == 1


def test_what_is_flat_has_no_texture_in_any_band() -> None:
    found = of(np.full_like(GROUND, 100))
    assert all(found[name] < -2 for name in ("fine", "middle", "coarse")) and found["texture"] < -4


def test_twice_the_texture_is_one_more_in_every_band() -> None:
    rng = np.random.default_rng(5)
    weak, strong = (rough(rng, 128, deviation, 0.8) for deviation in (12, 24))
    for name in ("texture", "fine", "middle", "coarse"):
        assert of(strong)[name] - of(weak)[name] == pytest.approx(1, abs=0.35)


@pytest.mark.parametrize(("period_px", "band"), [(3, "fine"), (7, "middle"), (14, "coarse")])
def test_a_wave_is_in_the_band_of_its_period(period_px: int, band: str) -> None:
    wave = np.rint(128 + 40 * np.sin(2 * np.pi * np.arange(SIDE) / period_px))
    found = of(np.broadcast_to(wave, (SIDE, SIDE)).astype(np.uint8))
    assert band == max(("fine", "middle", "coarse"), key=lambda name: found[name])


def test_an_edge_is_the_sharper_the_higher_and_the_harder_it_is() -> None:
    def edge(inner: float, sigma_px: float) -> float:
        step = np.where(MASK > 0, inner, 150).astype(np.float32)
        soft = cv2.GaussianBlur(step, (0, 0), sigma_px) if sigma_px else step
        found = appearance(np.rint(soft + GROUND.astype(np.float32) - 150).clip(0, 255).astype(np.uint8), MASK).edge
        assert found is not None
        return found

    assert edge(60, 0) > edge(100, 0) + 0.5 > edge(150, 0) + 1
    assert edge(60, 0) > edge(60, 2) + 0.3
    assert abs(edge(150, 0)) < 0.3


def test_noise_is_not_coherent_and_a_rough_surface_is() -> None:
    rng = np.random.default_rng(6)
    assert abs(of(rng.integers(0, 255, (SIDE, SIDE), np.uint8))["coherence"]) < 0.15
    assert of(rough(rng, 128, 30, 1.3))["coherence"] > 0.6


@pytest.mark.parametrize("side_px", [1, 2, 4])
def test_a_checkerboard_has_a_grid_whatever_its_strength(side_px: int) -> None:
    rows, columns = np.indices((SIDE, SIDE)) // side_px
    for strength in (4, 40):
        board = np.where((rows + columns) % 2, 100, 100 + strength).astype(np.uint8)
        assert of(board)["grid"] > 1.8
    assert of(rough(np.random.default_rng(7), 128, 30, 1.3))["grid"] < 0.5


def test_what_a_crack_of_one_pixel_cannot_say_is_not_said() -> None:
    crack = np.zeros((SIDE, SIDE), np.uint8)
    crack[20:70, 40] = 1
    found = of(np.full_like(GROUND, 60), crack)
    assert found["contrast"] < -0.5 and found["visible"] == 1 and {"fine", "middle", "edge"} <= found.keys()
    assert "texture" not in found  # it has no pixel without outline
    assert "grid" not in found  # nor pairs along rows


def test_without_surroundings_nothing_is_said() -> None:
    found = asdict(appearance(GROUND, np.ones_like(GROUND)))
    assert found.pop("area_px") == GROUND.size and found.pop("ground") == {} and set(found) == set(MEASURES)
    assert all(value is None for value in found.values())


def test_hue_is_measured_of_colour_pictures_alone() -> None:
    colour = np.repeat(GROUND[:, :, None], 3, axis=2)
    colour[MASK > 0] = colour[MASK > 0] // 2 + np.array([20, 0, 0], np.uint8)
    found = appearance(colour, MASK)
    assert found.red_green == pytest.approx(20, abs=0.01) and found.yellow_blue == pytest.approx(10, abs=0.01)
    grey = appearance(GROUND, MASK)
    assert grey.red_green is None and grey.yellow_blue is None


def test_neither_light_nor_what_is_far_away_moves_a_measure() -> None:
    one = pitted(3)
    mask = one.masks["pit"]
    brighter = asdict(appearance(np.rint(one.image * 1.2).astype(np.uint8), mask))
    far = one.image.copy()
    far[cv2.dilate(mask, np.ones((25, 25), np.uint8)) == 0] = 0
    for other, apart in ((brighter, 0.05), (asdict(appearance(far, mask)), 1e-3)):  # the brighter one is rounded anew
        found = asdict(appearance(one.image, mask))
        assert other.pop("ground") == pytest.approx(found.pop("ground"), abs=apart)
        assert other == pytest.approx(found, abs=apart)


def changed(one: Painted) -> dict[str, float]:
    found = asdict(change(one.normal, one.image, one.mask, FEATHER_PX, grain_of(one.normal)))
    return {name: value for name, value in found.items() if value is not None}


def test_all_of_a_mask_is_changed_and_nothing_else() -> None:
    found = changed(painted(0, flat))
    assert found["fill_recall"] == 1 and found["fill_precision"] == 1


def test_half_a_mask_and_a_mask_beside_the_change_are_told() -> None:
    made = painted(0, flat)
    left = np.arange(made.mask.shape[1]) < np.nonzero(made.mask)[1].mean()
    half = Painted(made.normal, np.where(left, made.image, made.normal).astype(np.uint8), made.mask)
    assert changed(half)["fill_recall"] == pytest.approx(0.5, abs=0.1)
    beside = changed(Painted(made.normal, made.image, np.roll(made.mask, 40, axis=1)))
    assert beside["fill_recall"] < 0.1 and beside["fill_precision"] < 0.1


def test_of_what_was_not_changed_neither_precision_nor_correlation_is_known() -> None:
    assert changed(Painted(GROUND, GROUND, MASK)) == {"fill_recall": 0.0}


def test_what_shines_through_is_correlated_with_what_lay_behind() -> None:
    opaque_ones = [changed(painted(number, opaque))["behind"] for number in range(12)]
    blends = [changed(half_blended(number))["behind"] for number in range(12)]
    assert abs(float(np.mean(opaque_ones))) < 0.05 < 0.2 < min(blends)
    for paint in (noise, checkers):
        assert abs(changed(painted(1, paint))["behind"]) < 0.2
