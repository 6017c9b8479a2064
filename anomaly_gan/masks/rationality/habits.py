"""How the real parts of a class lie, and proposals for new ones that lie in the same way (ours)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from anomaly_gan.masks.rationality.context import PictureContext, PlacedPart
from anomaly_gan.records import Record

MAX_HABITS = 1000
"""Most habits kept of a class, spread evenly over its parts; more say little that is new."""

OWN = 0.5
"""Share of proposals in which an element lies as it did itself; in the others it lies as another real part did."""

TURN_DEVIATION_DEG = 4.0
POSITION_DEVIATION = 0.08
"""Standard deviations around what was seen; a part that touches a border stays there."""

TOUCH_PX = 3
"""A real mask that is at most this near to a border was drawn to touch it."""


class Habit(Record):
    """How one real part lay in its picture.

    Attributes:
        element: its id.
        x, y: share of the picture's free width (height) that lay left of its box (above it): 0 = it touched the left
            (upper) border, 1 = the right (lower) one.
        axis_deg: of its main axis, counter-clockwise from the grain, or from the rows (see `Habits`).
    """

    element: str
    x: float = Field(ge=0, le=1)
    y: float = Field(ge=0, le=1)
    axis_deg: float


class Habits(Record):
    """How the real parts of a class lay.

    Attributes:
        follows_grain: their axes agree better with the grain of each picture than with its rows.
    """

    follows_grain: bool = False
    parts: tuple[Habit, ...] = ()

    @cached_property
    def of_element(self) -> dict[str, Habit]:
        return {habit.element: habit for habit in self.parts}


@dataclass(frozen=True)
class RealPart:
    """A real part where it was annotated; `element` is its id."""

    element: str
    part: PlacedPart
    context: PictureContext


def learn_habits(real: Sequence[RealPart]) -> Habits:
    """Learn how the parts of all real masks of a class lie."""
    axes = np.array([axis_deg(one.part.mask) for one in real])
    weights = np.array([_elongation(one.part.mask) for one in real])
    grains = np.array([grain_deg(one.context) for one in real])
    follows_grain = _agreement(axes - grains, weights) > _agreement(axes, weights)
    angles = (axes - grains if follows_grain else axes) % 180
    kept = np.unique(np.linspace(0, len(real) - 1, min(len(real), MAX_HABITS)).astype(int))
    return Habits(follows_grain=follows_grain, parts=tuple(_habit(real[i], float(angles[i])) for i in kept))


def _habit(one: RealPart, angle_deg: float) -> Habit:
    height, width = one.context.shape
    rows, columns = one.part.mask.shape
    return Habit(
        element=one.element,
        x=_share(one.part.left, width - columns),
        y=_share(one.part.top, height - rows),
        axis_deg=round(angle_deg, 1),
    )


def _share(before: int, room: int) -> float:
    if room <= 0:
        return 0.5
    if min(before, room - before) <= TOUCH_PX:
        return float(before > room - before)
    return round(before / room, 4)


def _agreement(angles_deg: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """How far directions agree: 0 = they are spread evenly, 1 = all are the same; half a turn changes none."""
    return float(np.abs((weights * np.exp(2j * np.deg2rad(angles_deg))).sum()) / max(float(weights.sum()), 1e-9))


def axis_deg(mask: NDArray[np.uint8]) -> float:
    """Main axis of a shape, counter-clockwise from the rows, -90 to 90."""
    moments = cv2.moments(mask, binaryImage=True)
    return -0.5 * float(np.degrees(np.arctan2(2 * moments["mu11"], moments["mu20"] - moments["mu02"])))


def _elongation(mask: NDArray[np.uint8]) -> float:
    """How long a shape is: 0 = round, 1 = a line."""
    moments = cv2.moments(mask, binaryImage=True)
    across = np.hypot(moments["mu20"] - moments["mu02"], 2 * moments["mu11"])
    return float(across / max(moments["mu20"] + moments["mu02"], 1e-9))


def grain_deg(context: PictureContext) -> float:
    x, y = context.grain
    return float(np.degrees(np.arctan2(-y, x)))


@dataclass(frozen=True)
class Proposal:
    """How a part might lie.

    Attributes:
        turn_deg: counter-clockwise, from how the element is stored.
        x, y: see `Habit`.
    """

    turn_deg: float
    x: float
    y: float

    def corner(self, shape: tuple[int, int], picture: tuple[int, int]) -> tuple[int, int]:
        """(left, top) of a box of (height, width) in a picture of (height, width)."""
        (height, width), (rows, columns) = picture, shape
        return round(self.x * (width - columns)), round(self.y * (height - rows))


@dataclass(frozen=True)
class Proposer:
    """Proposes how parts might lie in one picture.

    Attributes:
        knows_place: real parts have places that they prefer; else they are proposed anywhere.
        turns: least and largest turn that is allowed, in degrees.
    """

    habits: Habits
    context: PictureContext
    knows_place: bool
    turns: tuple[float, float]

    def propose(self, element: str, mask: NDArray[np.uint8], rng: np.random.Generator) -> Proposal:
        """How an element might lie: as it lay itself where it is a real part, or as any other real part did.

        Half of the proposals are turned upside down.
        """
        own = self.habits.of_element.get(element)
        habit = self.habits.parts[int(rng.integers(len(self.habits.parts)))]
        if own is not None and rng.random() < OWN:
            habit = own
        frame = grain_deg(self.context) if self.habits.follows_grain else 0.0
        wanted = frame + habit.axis_deg - axis_deg(mask) + float(rng.normal(0, TURN_DEVIATION_DEG))
        turn = self._within(wanted, rng)
        x, y = (self._near(share, rng) for share in (habit.x, habit.y))
        if habit is own and round((turn - wanted) / 180) % 2:
            x, y = 1 - x, 1 - y
        return Proposal(turn, x, y)

    def _within(self, wanted: float, rng: np.random.Generator) -> float:
        """The wanted turn by any number of half turns more or less, where one is allowed; else any that is."""
        least, most = self.turns
        first = wanted + 180 * np.ceil((least - wanted) / 180)
        fitting = np.arange(first, most + 1e-9, 180)
        return float(fitting[int(rng.integers(len(fitting)))]) if len(fitting) else float(rng.uniform(least, most))

    def _near(self, share: float, rng: np.random.Generator) -> float:
        if not self.knows_place:
            return float(rng.random())
        if share in (0.0, 1.0):
            return share
        return float(np.clip(share + rng.normal(0, POSITION_DEVIATION), 0, 1))
