"""How long a shape is, and which way it lies."""

import cv2
import numpy as np
import pytest

from anomaly_gan.exemplars.direction import Direction


@pytest.mark.parametrize(("shape", "degrees", "elongation"), [((4, 20), 0, 5), ((20, 4), 90, 5), ((30, 10), 90, 3)])
def test_a_box_lies_along_its_longer_side(shape: tuple[int, int], degrees: float, elongation: float) -> None:
    found = Direction.of(np.ones(shape, np.uint8))
    assert abs(found.degrees) == pytest.approx(degrees, abs=1e-6)
    assert found.elongation == pytest.approx(elongation, rel=0.02)


@pytest.mark.parametrize("shape", [(1, 1), (7, 7)])
def test_a_square_has_no_direction(shape: tuple[int, int]) -> None:
    assert Direction.of(np.ones(shape, np.uint8)).elongation == pytest.approx(1)


@pytest.mark.parametrize("degrees", [-70, -30, 20, 65])
def test_degrees_are_counter_clockwise_as_elements_are_turned(degrees: float) -> None:
    mask = np.zeros((81, 81), np.uint8)
    mask[38:43, 10:71] = 1
    turn = cv2.getRotationMatrix2D((40, 40), degrees, 1)
    turned = cv2.warpAffine(mask, turn, (81, 81), flags=cv2.INTER_NEAREST).astype(np.uint8)
    assert Direction.of(turned).degrees == pytest.approx(degrees, abs=1)


@pytest.mark.parametrize(("one", "other", "turn"), [(10, 50, 40), (80, -80, 20), (-80, 80, -20), (30, 30, 0)])
def test_a_turn_is_the_shorter_way(one: float, other: float, turn: float) -> None:
    assert Direction(one, 3).turn_to(Direction(other, 3)) == pytest.approx(turn)


@pytest.mark.parametrize(
    ("shape", "along_rows"),
    [
        (np.ones((2, 40), np.uint8), 1.0),
        (np.ones((40, 2), np.uint8), -1.0),
        (np.eye(30, dtype=np.uint8), 0.0),
        (np.ones((9, 9), np.uint8), 0.0),
    ],
    ids=["row", "column", "slanting", "square"],
)
def test_a_shape_lies_along_rows_or_along_columns_or_neither(shape: np.ndarray, along_rows: float) -> None:
    assert Direction.of(shape).along_rows == pytest.approx(along_rows, abs=0.02)
