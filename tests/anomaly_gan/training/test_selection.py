"""Which generator a run publishes: the best one by the measure, and the later one where noise cannot tell."""

import pytest

from anomaly_gan.metrics.kernel import HalvedDistance
from anomaly_gan.training.selection import Selection
from tests.support.builders import equal_states, tiny_generator, weights_of

SHARED = (-0.2, 0.0, 0.1, 0.1)
"""What the halves of all checkpoints have in common: it says nothing about which is better."""


def distance(value: float, *own: float) -> HalvedDistance:
    """With noise of its own in each of four halves."""
    return HalvedDistance(value, tuple(value + a + b for a, b in zip(SHARED, own or (0.0,) * 4, strict=True)))


def chosen(*distances: HalvedDistance) -> int:
    """Step of the choice among checkpoints of steps 1, 2, ..."""
    selection = Selection()
    for step, one in enumerate(distances, start=1):
        selection.see(step, one, {}, tiny_generator())
    assert selection.chosen is not None
    return selection.chosen.step


NOISE = (0.1, -0.1, 0.1, -0.1)


def test_a_generator_that_has_become_worse_is_not_published() -> None:
    assert chosen(distance(0.5), distance(0.1), distance(0.4)) == 2
    assert chosen(distance(0.5), distance(0.1), distance(0.4), distance(0.05)) == 4


def test_of_checkpoints_that_noise_cannot_tell_apart_the_latest_is_published() -> None:
    assert chosen(distance(0.1), distance(0.15, *NOISE), distance(0.19, *NOISE)) == 3
    assert chosen(distance(0.1), distance(0.15, *NOISE), distance(0.25, *NOISE)) == 2


def test_equal_ones_are_no_reason_for_an_early_one() -> None:
    assert chosen(distance(0.1), distance(0.1), distance(0.1)) == 3


def test_each_is_held_against_the_best_and_not_against_the_choice() -> None:
    """Else small steps would lead far away from it."""
    steps = [distance(0.1 + 0.06 * i, *NOISE) for i in range(1, 6)]
    assert chosen(distance(0.1), *steps) == 2


def test_noise_that_all_checkpoints_share_does_not_count() -> None:
    assert distance(0.1).deviation > 0.1
    assert chosen(distance(0.1), distance(0.11)) == 1


def test_the_choice_keeps_the_weights_of_its_own_step() -> None:
    selection, generator = Selection(), tiny_generator()
    selection.see(1, distance(0.1), {"mask_hit": 0.5}, generator)
    wanted = weights_of(generator)
    for parameter in generator.parameters():
        parameter.add_(1.0)
    assert not selection.see(2, distance(0.3), {"mask_hit": 0.9}, generator)
    assert selection.chosen is not None and selection.chosen.measures == {"mask_hit": 0.5}
    assert equal_states(selection.chosen.weights, wanted)
    assert selection.see(3, distance(0.05), {}, generator)
    assert not equal_states(selection.chosen.weights, wanted)


@pytest.mark.parametrize("stop_after", range(5))
def test_a_selection_that_is_stopped_and_resumed_chooses_the_same(stop_after: int) -> None:
    values = [0.5, 0.1, 0.3, 0.09, 0.2]
    generators = [tiny_generator(seed) for seed in range(5)]

    def see(selection: Selection, steps: range) -> Selection:
        for step in steps:
            selection.see(step, distance(values[step]), {"value": values[step]}, generators[step])
        return selection

    straight, resumed = see(Selection(), range(5)), Selection()
    resumed.load_state_dict(see(Selection(), range(stop_after)).state_dict())
    see(resumed, range(stop_after, 5))
    assert straight.chosen is not None and straight.chosen.step == 3
    assert equal_states(straight.state_dict(), resumed.state_dict())
    assert equal_states(straight.chosen.weights, weights_of(tiny_generator(3)))
