import numpy as np
import pytest

from anomaly_gan.samples.arrays import abnormal_samples, normal_samples
from infra.errors import DataError

PICTURE = np.zeros((8, 9), np.uint8)
MASK = np.zeros((8, 9), np.uint8)
MASK[2:4, 3:5] = 1


def test_pictures_become_samples_in_their_order() -> None:
    first, second = normal_samples([PICTURE, PICTURE + 1])
    assert (first.key, second.key) == ("picture-0", "picture-1")
    assert first.is_normal and (second.image == 1).all()


def test_a_stack_of_pictures_is_as_good_as_a_list() -> None:
    assert len(normal_samples(np.zeros((5, 8, 9, 3), np.uint8))) == 5


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        ([], "pictures: there are none; give at least one"),
        (
            [PICTURE, PICTURE / 255],
            r"picture 1: expected uint8 of shape \[H, W\] or \[H, W, 3\], got float64 of shape \[8, 9\]",
        ),
        ([np.zeros((8, 9, 4), np.uint8)], r"picture 0: .* got uint8 of shape \[8, 9, 4\]"),
        ([np.zeros((8, 0), np.uint8)], r"picture 0: .* got uint8 of shape \[8, 0\]"),
        (PICTURE, r"picture 0: .* got uint8 of shape \[9\]"),
        ([PICTURE, np.zeros((8, 9, 3), np.uint8)], "pictures: some are grey and some RGB; convert them to one of both"),
    ],
    ids=["none", "floats", "RGBA", "no pixel", "one picture in no list", "mixed"],
)
def test_pictures_of_another_form_are_refused(pictures: list[np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}$"):
        normal_samples(pictures)


@pytest.mark.parametrize("mask", [MASK, MASK > 0, MASK * np.uint8(255)], ids=["0 and 1", "bool", "0 and 255"])
def test_a_mask_becomes_0_and_1(mask: np.ndarray) -> None:
    (sample,) = abnormal_samples([PICTURE], [mask], "hole")
    assert sample.masks["hole"].dtype == np.uint8
    assert (sample.masks["hole"] == MASK).all()


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([], "masks: expected one for each of 1 pictures, got 0"),
        ([MASK.T], r"mask 0: expected the shape of its picture, \(8, 9\), got \(9, 8\)"),
        ([MASK * 0], "mask 0: is empty; mark at least one pixel"),
        (
            [MASK * np.uint8(7)],
            "mask 0: expected bool, .* got uint8 with 2 different values; make it binary, as in mask > 127",
        ),
        ([MASK.astype(np.float32)], "mask 0: expected bool, .* got float32 with 2 different values; .*"),
        ([MASK + np.uint8(254)], "mask 0: expected bool, .*"),
    ],
    ids=["too few", "another size", "empty", "another level", "floats", "254 and 255"],
)
def test_masks_of_another_form_are_refused(masks: list[np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=f"^{message}$"):
        abnormal_samples([PICTURE], masks, "hole")
