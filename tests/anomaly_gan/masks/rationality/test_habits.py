"""How real parts lie, and proposals that lie alike."""

import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.masks.placing.parts import Part
from anomaly_gan.masks.rationality.context import PictureContext, describe_picture
from anomaly_gan.masks.rationality.habits import Habit, Habits, Proposer, RealPart, axis_deg, learn_habits

LINE = np.ones((3, 30), np.uint8)
ROUND = np.ones((9, 9), np.uint8)


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def grained(angle_deg: float, height: int = 90, width: int = 120) -> PictureContext:
    """A picture whose grain runs in a direction, counter-clockwise from the rows."""
    rows, columns = np.indices((height, width))
    turn = np.deg2rad(angle_deg)
    across = columns * np.sin(turn) + rows * np.cos(turn)
    return describe_picture((120 + 80 * np.sin(across)).astype(np.uint8))


def tilted(angle_deg: float) -> NDArray[np.uint8]:
    """A line of 40 px in a direction."""
    rows, columns = np.indices((41, 41)) - 20
    turn = np.deg2rad(angle_deg)
    along, across = columns * np.cos(turn) - rows * np.sin(turn), columns * np.sin(turn) + rows * np.cos(turn)
    line: NDArray[np.bool_] = (abs(along) <= 20) & (abs(across) <= 1.5)
    return line.astype(np.uint8)


@pytest.mark.parametrize("angle", [-60, -10, 0, 35, 80])
def test_the_axis_of_a_line_is_its_direction(angle: float) -> None:
    assert axis_deg(tilted(angle)) == pytest.approx(angle, abs=1)


@pytest.mark.parametrize(
    ("left", "top", "x", "y"), [(0, 40, 0, 40 / 87), (3, 2, 0, 0), (90, 87, 1, 1), (45, 80, 0.5, 80 / 87)]
)
def test_a_habit_is_the_share_of_the_free_room_and_touches_where_the_part_nearly_did(
    left: int, top: int, x: float, y: float
) -> None:
    [habit] = learn_habits([RealPart("a", Part(LINE, left, top), grained(0))]).parts
    assert habit.element == "a"
    assert (habit.x, habit.y) == pytest.approx((x, y), abs=1e-3)


def test_a_part_as_large_as_its_picture_lies_in_the_middle() -> None:
    [habit] = learn_habits([RealPart("a", Part(np.ones((90, 120), np.uint8), 0, 0), grained(0))]).parts
    assert (habit.x, habit.y) == (0.5, 0.5)


def test_axes_are_told_from_the_grain_where_they_follow_it_and_else_from_the_rows() -> None:
    along = [RealPart(str(a), Part(tilted(a), 5, 5), grained(a)) for a in (-50, 0, 30, 80)]
    assert learn_habits(along).follows_grain
    assert [min(one.axis_deg, 180 - one.axis_deg) for one in learn_habits(along).parts] == pytest.approx([0] * 4, abs=3)
    lying = [RealPart(str(a), Part(tilted(10), 5, 5), grained(a)) for a in (-50, 0, 30, 80)]
    assert not learn_habits(lying).follows_grain
    assert [one.axis_deg for one in learn_habits(lying).parts] == pytest.approx([10] * 4, abs=1)


def proposer(
    *habits: Habit, follows_grain: bool = False, knows: bool = True, turns: tuple[float, float] = (0, 360)
) -> Proposer:
    return Proposer(Habits(follows_grain=follows_grain, parts=habits), grained(70), knows, turns)


@pytest.mark.parametrize(("follows_grain", "wanted"), [(True, 70), (False, 0)])
@pytest.mark.parametrize("turns", [(0, 360), (-180, 180), (-90, 90)])
def test_a_proposal_turns_the_element_along_the_grain_or_as_it_lay(
    follows_grain: bool, wanted: float, turns: tuple[float, float]
) -> None:
    one = proposer(Habit(element="other", x=0, y=0.5, axis_deg=0), follows_grain=follows_grain, turns=turns)
    mask = tilted(20)
    found = [one.propose("new", mask, rng_of(seed)).turn_deg for seed in range(100)]
    assert all(turns[0] <= turn <= turns[1] for turn in found)
    away = [(turn + 20 - wanted + 90) % 180 - 90 for turn in found]
    assert abs(np.mean(away)) < 2 and np.std(away) < 8


def test_a_turn_that_the_rules_forbid_is_drawn_among_those_that_they_allow() -> None:
    one = proposer(Habit(element="other", x=0, y=0, axis_deg=90), turns=(-10, 10))
    found = [one.propose("new", LINE, rng_of(seed)).turn_deg for seed in range(50)]
    assert all(-10 <= turn <= 10 for turn in found) and len(set(found)) == 50


def test_what_touched_a_border_touches_it_and_the_rest_lies_near() -> None:
    one = proposer(Habit(element="other", x=1, y=0.4, axis_deg=0))
    found = [one.propose("new", ROUND, rng_of(seed)) for seed in range(60)]
    corners = [proposal.corner((9, 9), (100, 200)) for proposal in found]
    assert {left for left, _ in corners} == {191}
    tops = [top for _, top in corners]
    assert np.mean(tops) == pytest.approx(0.4 * 91, abs=4) and 3 < np.std(tops) < 12


def test_an_element_upside_down_lies_at_the_other_side() -> None:
    one = proposer(Habit(element="own", x=0, y=0.2, axis_deg=0))
    found = [one.propose("own", LINE, rng_of(seed)) for seed in range(200)]
    upside_down = [proposal.x for proposal in found if 90 < proposal.turn_deg < 270]
    assert set(upside_down) == {1}
    assert {proposal.x for proposal in found if not 90 < proposal.turn_deg < 270} == {0}


def test_where_no_place_is_known_proposals_lie_anywhere() -> None:
    one = proposer(Habit(element="other", x=0, y=0, axis_deg=0), knows=False)
    found = [one.propose("new", ROUND, rng_of(seed)) for seed in range(100)]
    assert min(proposal.x for proposal in found) < 0.1 and max(proposal.x for proposal in found) > 0.9


def test_of_very_many_parts_some_are_kept() -> None:
    context = grained(0)
    many = learn_habits([RealPart(str(i), Part(LINE, 0, 40), context) for i in range(2500)])
    assert len(many.parts) == 1000
    assert (many.parts[0].element, many.parts[-1].element) == ("0", "2499")
