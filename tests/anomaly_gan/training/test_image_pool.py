"""Earlier generated images for the discriminators: what is kept, what is shown again, and to whom."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from anomaly_gan.training.image_pool import ImagePool
from tests.support.builders import CPU, equal_states

BATCH = 4


def pool(capacity: int = 2, seed: int = 0, domain: int = 0) -> ImagePool:
    return ImagePool(capacity, seed, BATCH, domain)


def pairs(positions: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Images and masks that tell their position in every pixel."""
    numbers = torch.tensor(positions).view(-1, 1, 1, 1)
    return numbers.float().expand(-1, 3, 4, 4).clone(), (numbers % 251).to(torch.uint8).expand(-1, 1, 4, 4).clone()


def shown(tested: ImagePool, positions: Sequence[int]) -> list[int]:
    """The positions of the images that come out for those that go in; each comes with its own mask."""
    images, masks = tested.exchange(*pairs(positions), positions)
    found = [int(image[0, 0, 0]) for image in images]
    assert torch.equal(images, pairs(found)[0])
    assert masks.dtype == torch.uint8 and torch.equal(masks, pairs(found)[1])
    return found


def shown_over_steps(tested: ImagePool, steps: int, lanes: Sequence[int] = range(BATCH), first: int = 0) -> list[int]:
    """What comes out at steps `first` to `steps` for the pairs at these places of each batch."""
    return [number for step in range(first, steps) for number in shown(tested, [step * BATCH + lane for lane in lanes])]


def test_the_first_images_of_each_pair_are_shown_at_once_and_kept() -> None:
    tested = pool(capacity=3)
    assert shown_over_steps(tested, 3) == list(range(12))
    kept = {place: [int(image[0, 0, 0]) for image, _ in history] for place, history in tested.histories.items()}
    assert kept == {0: [0, 4, 8], 1: [1, 5, 9], 2: [2, 6, 10], 3: [3, 7, 11]}


def test_later_about_every_second_image_is_an_earlier_one_of_its_pair() -> None:
    found = shown_over_steps(pool(), 200)
    earlier = [(position, number) for position, number in enumerate(found) if position != number]
    assert 0.45 < len(earlier) / len(found) < 0.55
    assert all(number < position and number % BATCH == position % BATCH for position, number in earlier)
    assert max(position - number for position, number in earlier) > 5 * BATCH
    again = [number for _, number in earlier]
    assert len(set(again)) == len(again)


def test_a_history_never_grows_beyond_its_capacity_and_moves_on() -> None:
    tested = pool(capacity=2)
    shown_over_steps(tested, 100)
    assert [len(history) for history in tested.histories.values()] == [2] * BATCH
    assert all(image[0, 0, 0] > 200 for history in tested.histories.values() for image, _ in history)


@pytest.mark.parametrize("ranks", [2, 4])
def test_what_is_shown_does_not_depend_on_how_the_batch_is_shared(ranks: int) -> None:
    alone = shown_over_steps(pool(), 30)
    for rank in range(ranks):
        lanes = range(rank, BATCH, ranks)
        mine = [number for position, number in enumerate(alone) if position % ranks == rank]
        assert shown_over_steps(pool(), 30, lanes) == mine


def test_what_is_shown_does_not_depend_on_the_parts_in_which_a_batch_is_computed() -> None:
    tested = pool()
    halves = [number for first in range(0, 30 * BATCH, 2) for number in shown(tested, range(first, first + 2))]
    assert halves == shown_over_steps(pool(), 30)


@pytest.mark.parametrize("change", [{"seed": 1}, {"domain": 1}])
def test_seed_and_domain_decide_what_is_shown(change: dict[str, int]) -> None:
    assert shown_over_steps(pool(), 30) == shown_over_steps(pool(), 30)
    assert shown_over_steps(pool(**change), 30) != shown_over_steps(pool(), 30)


def test_a_capacity_of_0_shows_each_image_itself_and_keeps_nothing() -> None:
    tested = pool(capacity=0)
    images, masks = pairs(range(BATCH))
    out = tested.exchange(images, masks, range(BATCH))
    assert out[0] is images and out[1] is masks
    assert tested.histories == {}


def test_a_kept_image_carries_no_gradient_and_shares_no_memory() -> None:
    tested = pool(capacity=1)
    images, masks = pairs(range(BATCH))
    images.requires_grad_()
    tested.exchange(images, masks, range(BATCH))
    with torch.no_grad():
        images.fill_(-1)
    masks.fill_(99)
    for place, [(image, mask)] in tested.histories.items():
        assert not image.requires_grad
        assert torch.equal(image, pairs([place])[0][0]) and torch.equal(mask, pairs([place])[1][0])


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_a_rank_that_loads_takes_its_own_places_and_goes_on_as_before(ranks: int) -> None:
    straight = pool()
    wanted = shown_over_steps(straight, 30)[10 * BATCH :]
    stopped = pool()
    shown_over_steps(stopped, 10)
    for rank in range(ranks):
        resumed = pool()
        resumed.load(stopped.histories, rank, ranks, CPU)
        assert sorted(resumed.histories) == list(range(rank, BATCH, ranks))
        mine = [number for position, number in enumerate(wanted) if position % ranks == rank]
        assert shown_over_steps(resumed, 30, range(rank, BATCH, ranks), first=10) == mine
        assert all(equal_states(resumed.histories[place], straight.histories[place]) for place in resumed.histories)


def test_what_was_kept_before_a_load_is_forgotten() -> None:
    tested, other = pool(), pool()
    shown_over_steps(tested, 5)
    shown_over_steps(other, 1)
    tested.load(other.histories, 0, 1, CPU)
    assert equal_states(tested.histories, other.histories)
