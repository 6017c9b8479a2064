"""Which picture is shown next: shares of streams, orders that do not depend on each other, and chances that change."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from anomaly_gan.detectors.showing import Draws, Stream
from tests.support.builders_detectors import bright_square


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.25, 0.25), (0.5, 0.3, 0.2)])
def test_after_any_number_of_images_each_stream_has_had_its_share_to_less_than_one_image(
    shares: tuple[float, ...],
) -> None:
    streams = [Stream(f"s{i}", share, [bright_square("a")] * 3) for i, share in enumerate(shares)]
    counts = np.zeros(len(shares))
    for number, (stream, _) in enumerate(islice(Draws(streams, 0), 200), start=1):
        counts[stream] += 1
        assert (abs(counts - number * np.array(shares)) < 1).all()


def test_a_stream_is_seen_in_the_same_order_whatever_else_is_shown() -> None:
    first, second = Stream("real", 0.5, [bright_square("a")] * 7), Stream("more", 0.25, [bright_square("b")] * 5)
    alone = [i for k, i in islice(Draws([replace(first, share=1.0)], 3), 20)]
    mixed = [i for k, i in islice(Draws([second, replace(first, share=0.75)], 3), 60) if k == 1]
    assert mixed[:20] == alone
    assert sorted(alone[:7]) == list(range(7))
    assert [i for _, i in islice(Draws([replace(first, share=1.0)], 4), 20)] != alone


def test_after_weighing_each_pass_shows_a_picture_as_often_as_it_is_owed_to_less_than_once() -> None:
    stream = Stream("more", 1.0, [bright_square("a")] * 8)
    drawn = Draws([stream], 0)
    chances = np.array([0.3, 0.0625, 0.0625, 0.1, 0.2, 0.1, 0.1, 0.075])
    drawn.weigh(0, chances)
    for _ in range(20):
        counts = np.bincount([i for _, i in islice(drawn, 8)], minlength=8)
        assert (abs(counts - 8 * chances) < 1).all()
    total = np.bincount([i for _, i in islice(drawn, 8000)], minlength=8)
    assert total / 8000 == pytest.approx(chances, abs=0.01)


def test_weighing_again_begins_a_new_order_and_the_same_seed_gives_the_same_one() -> None:
    def orders(seed: int) -> list[list[int]]:
        drawn, found = Draws([Stream("more", 1.0, [bright_square("a")] * 9)], seed), []
        for _ in range(2):
            drawn.weigh(0, np.full(9, 1 / 9))
            found.append([i for _, i in islice(drawn, 9)])
        return found

    first, second = orders(3)
    assert sorted(first) == sorted(second) == list(range(9))
    assert first != second and orders(3) == [first, second] != orders(4)
