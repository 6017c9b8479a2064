"""A training anomaly is found again wherever it was moved, turned, flipped or scaled to; another one is not."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.generation.paste import paste
from anomaly_gan.metrics.copies import CopyFinder, fingerprints
from anomaly_gan.samples.sample import Sample
from tests.support.pitted import FEATHER_PX, PIT, SIDE, pitted, surface

KNOWN = [pitted(number) for number in range(20)]
FINDER = CopyFinder(KNOWN, PIT)
SYMMETRIES = [(turns, is_flipped) for turns in range(4) for is_flipped in (False, True)]


def moved(one: Sample, turns: int, is_flipped: bool, scale: float, light: int = 0) -> tuple[NDArray[np.uint8], ...]:
    """The anomaly of a picture in another one, and its mask there."""
    image, mask = (np.rot90(plane, turns) for plane in (one.image, one.masks[PIT]))
    if is_flipped:
        image, mask = image[:, ::-1], mask[:, ::-1]
    rows, columns = np.nonzero(mask)
    x, y = columns.mean(), rows.mean()
    to = np.array([[scale, 0, 45 - scale * x], [0, scale, 52 - scale * y]], np.float32)  # to another place
    there = cv2.warpAffine(np.ascontiguousarray(image), to, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT_101)
    its_mask = cv2.warpAffine(np.ascontiguousarray(mask), to, (SIDE, SIDE), flags=cv2.INTER_NEAREST).astype(np.uint8)
    lit = np.clip(there.astype(int) + light, 0, 255).astype(np.uint8)
    return paste(surface(777), lit, its_mask, FEATHER_PX), its_mask


@pytest.mark.parametrize(("turns", "is_flipped"), SYMMETRIES)
@pytest.mark.parametrize("scale", [0.8, 1.0, 1.25])
def test_a_copy_is_found(turns: int, is_flipped: bool, scale: float) -> None:
    for one in KNOWN[:4]:
        found = FINDER.nearest(*moved(one, turns, is_flipped, scale, light=15))
        assert found is not None and found.key == one.key and found.ratio < 0.5 * FINDER.limit


def test_a_copy_turned_by_any_angle_is_found() -> None:
    for number, one in enumerate(KNOWN[:10]):
        to = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), 36.0 * number + 11, 1.0)
        image = cv2.warpAffine(one.image, to, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT_101).astype(np.uint8)
        mask = cv2.warpAffine(one.masks[PIT], to, (SIDE, SIDE), flags=cv2.INTER_NEAREST).astype(np.uint8)
        found = FINDER.nearest(image, mask)
        assert found is not None and found.key == one.key and found.ratio < 0.5 * FINDER.limit


def test_other_anomalies_are_no_copies_also_in_the_mask_of_a_known_one() -> None:
    for number in range(200, 230):
        other = pitted(number)
        found = FINDER.nearest(other.image, other.masks[PIT])
        assert found is not None and found.ratio > 0.5 * FINDER.limit
        known = KNOWN[number % 20]
        rough = np.roll(other.image, 40, axis=0)
        found = FINDER.nearest(np.where(known.masks[PIT] > 0, rough, known.image).astype(np.uint8), known.masks[PIT])
        assert found is not None and found.ratio > 0.5 * FINDER.limit


def test_several_exposures_of_one_anomaly_do_not_make_all_others_look_new() -> None:
    """Near-duplicates of one group say nothing of how far apart anomalies are."""
    exposures = [
        Sample(
            f"{one.key}-{light}",
            np.clip(one.image.astype(int) + light, 0, 255).astype(np.uint8),
            one.masks,
            {},
            one.meta,
        )
        for one in KNOWN
        for light in (0, 12)
    ]
    assert CopyFinder(exposures, PIT).limit == pytest.approx(FINDER.limit, abs=0.1)


def test_the_order_of_the_pictures_does_not_matter() -> None:
    image, mask = moved(KNOWN[3], 1, False, 1.1)
    backwards = CopyFinder(KNOWN[::-1], PIT)
    assert backwards.limit == FINDER.limit and backwards.nearest(image, mask) == FINDER.nearest(image, mask)


def test_of_a_single_real_picture_nothing_is_a_copy() -> None:
    alone = CopyFinder(KNOWN[:1], PIT)
    found = alone.nearest(KNOWN[0].image, KNOWN[0].masks[PIT])
    assert alone.limit == 0 and found is not None and found.ratio == pytest.approx(0, abs=1e-6)


def test_specks_have_no_fingerprint() -> None:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[10:13, 10:15], mask[50, 20:36] = 1, 1  # 15 px, and a line of 16
    assert len(fingerprints(KNOWN[0].image, mask)) == 1
    mask[50] = 0
    assert FINDER.nearest(KNOWN[0].image, mask) is None
    assert CopyFinder([Sample("speck", KNOWN[0].image, {PIT: mask})], PIT).nearest(KNOWN[0].image, mask) is None
