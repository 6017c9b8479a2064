"""What is filled into a mask from around it."""

import pytest
import torch
from torch import Tensor

from anomaly_gan.exemplars.surroundings import surroundings

SIDES = [(64, 64), (37, 51), (1, 9), (2, 3)]


def ramp(height: int, width: int) -> Tensor:
    """Two planes that rise by one step for each row, and for each column."""
    down = torch.arange(height, dtype=torch.float32)[:, None].expand(height, width)
    return torch.stack([down, torch.arange(width, dtype=torch.float32).expand(height, width)])[None]


def box(height: int, width: int) -> Tensor:
    """The middle third of the rows and columns."""
    mask = torch.zeros(1, 1, height, width)
    mask[..., height // 3 : height - height // 3, width // 3 : width - width // 3] = 1
    return mask


@pytest.mark.parametrize("sides", SIDES)
def test_a_constant_picture_is_restored_whatever_lies_in_the_mask(sides: tuple[int, int]) -> None:
    mask = box(*sides)
    image = torch.full((1, 3, *sides), 0.3)
    filled = surroundings(torch.where(mask == 1, 9.0, image), mask)
    if not mask.all():
        assert torch.allclose(filled, image, atol=1e-5)


@pytest.mark.parametrize("sides", [(64, 64), (96, 96), (37, 51), (65, 33), (100, 100)])
def test_a_slope_goes_on_through_the_mask_neither_shifted_nor_flat(sides: tuple[int, int]) -> None:
    image, mask = ramp(*sides), box(*sides)
    filled = surroundings(torch.where(mask == 1, -50.0, image), mask)
    inside = mask[0, 0] == 1
    for plane, wanted in zip(filled[0], image[0], strict=True):
        assert torch.corrcoef(torch.stack([plane[inside], wanted[inside]]))[0, 1] > 0.95
        assert (plane - wanted)[inside].abs().mean() < 0.35 * (wanted[inside] - wanted[inside].mean()).abs().mean()
        assert (plane - wanted)[inside].mean().abs() < 0.02 * len(plane)
        assert plane[inside].min() >= wanted.min() and plane[inside].max() <= wanted.max()


@pytest.mark.parametrize("sides", SIDES)
def test_outside_the_mask_the_picture_stays_as_it_is(sides: tuple[int, int]) -> None:
    torch.manual_seed(0)
    image, mask = torch.randn(2, 3, *sides), (torch.rand(2, 1, *sides) < 0.4).float()
    filled = surroundings(image, mask)
    assert torch.equal(torch.where(mask == 0, filled, image), image)
    assert torch.equal(surroundings(image, torch.zeros_like(mask)), image)


def test_a_full_mask_is_filled_with_the_middle_of_the_range_and_nothing_that_is_not_finite() -> None:
    assert torch.equal(surroundings(torch.randn(1, 3, 33, 64), torch.ones(1, 1, 33, 64)), torch.zeros(1, 3, 33, 64))


def test_what_lies_in_the_mask_is_not_seen_and_passes_back_no_gradient() -> None:
    torch.manual_seed(0)
    image, mask = torch.randn(1, 1, 40, 40), box(40, 40)
    other = torch.where(mask == 1, torch.randn_like(image), image)
    assert torch.equal(surroundings(image, mask), surroundings(other, mask))
    image.requires_grad_()
    (gradient,) = torch.autograd.grad((surroundings(image, mask) * mask).sum(), image)
    assert (gradient[mask == 1] == 0).all() and gradient.abs().sum() > 0


def test_the_filling_is_smooth() -> None:
    """Around a mask in noise: what is filled varies far less than the noise."""
    torch.manual_seed(0)
    image, mask = torch.randn(1, 1, 64, 64), box(64, 64)
    inside = surroundings(image, mask)[mask == 1]
    assert inside.std() < 0.4


def test_an_image_is_filled_alike_whatever_else_is_in_the_batch() -> None:
    torch.manual_seed(0)
    images, masks = torch.randn(3, 3, 48, 48), (torch.rand(3, 1, 48, 48) < 0.6).float()
    together = surroundings(images, masks)
    for i in range(3):
        assert torch.allclose(surroundings(images[i : i + 1], masks[i : i + 1])[0], together[i], atol=1e-6)
