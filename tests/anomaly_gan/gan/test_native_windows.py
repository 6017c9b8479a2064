"""What the critic of texture is shown: whole pixels of the view, around the mask."""

import pytest
import torch
from torch import Tensor

from anomaly_gan.gan.step import native_window, see, softened
from anomaly_gan.networks.texture_critic import WINDOW_PX
from tests.support.builders import train_config

pytestmark = pytest.mark.usefixtures("one_thread")


def numbered(count: int, size: int) -> Tensor:
    """Planes in which every pixel tells where it is: of its image, its row and its column."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.stack([torch.stack([torch.full_like(rows, i), rows, columns]) for i in range(count)]).float()


def dots(size: int, *places: tuple[int, int]) -> Tensor:
    mask = torch.zeros(len(places), 1, size, size)
    for i, (row, column) in enumerate(places):
        mask[i, 0, row, column] = 1
    return mask


@pytest.mark.parametrize("size", [64, 96, 256])
def test_a_window_is_pixels_of_the_view_as_they_are_around_the_mask(size: int) -> None:
    places = [(0, 0), (size - 1, size - 1), (0, size - 1), (size // 2, size // 3), (size - 7, 5)]
    planes, mask = numbered(len(places), size), dots(size, *places)
    found = native_window(planes, mask, torch.rand(len(places), size, size) + 0.1)
    assert found.shape == (len(places), 3, min(WINDOW_PX, size), min(WINDOW_PX, size))
    for i, (row, column) in enumerate(places):
        image, rows, columns = found[i]
        top, left = int(rows[0, 0].round()), int(columns[0, 0].round())
        wanted = planes[i, :, top : top + WINDOW_PX, left : left + WINDOW_PX]
        assert torch.allclose(torch.stack([image, rows, columns]), wanted, atol=1e-3)
        assert top <= row < top + WINDOW_PX and left <= column < left + WINDOW_PX
        if 40 < row < size - 40:
            assert top == row - WINDOW_PX // 2


def test_the_pixel_of_the_mask_with_the_largest_number_is_in_the_middle() -> None:
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., 90:170, 90:170] = 1
    numbers = torch.rand(1, 256, 256) * 0.5 + 0.1
    numbers[0, 10, 10] = 3  # outside the mask
    numbers[0, 150, 120] = 1
    found = native_window(numbered(1, 256), mask, numbers)
    assert found[0, 1:, WINDOW_PX // 2, WINDOW_PX // 2].tolist() == pytest.approx([150, 120], abs=1e-3)


def test_numbers_move_the_window_over_a_large_mask() -> None:
    torch.manual_seed(0)
    mask = torch.ones(40, 1, 256, 256)
    found = native_window(numbered(40, 256), mask, torch.rand(40, 256, 256) + 0.1)
    tops = found[:, 1, 0, 0]
    assert tops.min() < 30 and tops.max() > 160 and len(set(tops.tolist())) > 20


def test_the_gradient_of_a_window_is_that_of_its_pixels() -> None:
    planes = torch.zeros(1, 2, 128, 128, requires_grad=True)
    found = native_window(planes, dots(128, (60, 70)), torch.ones(1, 128, 128))
    (gradient,) = torch.autograd.grad(found.sum(), planes)
    wanted = torch.zeros(1, 2, 128, 128)
    wanted[..., 60 - 32 : 60 + 32, 70 - 32 : 70 + 32] = 1
    assert torch.allclose(gradient, wanted, atol=1e-4)


def test_an_image_without_a_mask_has_a_window_in_which_nothing_is_judged() -> None:
    torch.manual_seed(0)
    seen = see(
        torch.rand(1, 3, 128, 128),
        torch.zeros(1, 1, 128, 128, dtype=torch.uint8),
        train_config(),
        torch.ones(1, 128, 128),
    )
    assert seen.native.shape == (1, 5, WINDOW_PX, WINDOW_PX)
    assert (seen.native[:, 3:] == 0).all()


@pytest.mark.parametrize("kind", ["mask_channel", "masked"])
def test_a_window_holds_the_image_the_soft_mask_and_the_mask_with_2_px_around(kind: str) -> None:
    config = train_config(model={"discriminator_input": kind})
    image, parts = torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    parts[..., 30:40, 20:40] = 2
    seen = see(image, parts, config, torch.ones(1, 64, 64))
    assert torch.allclose(seen.native[:, :3], image, atol=1e-6)
    assert torch.allclose(seen.native[:, 3:4], softened((parts > 0).float()), atol=1e-6)
    judged = torch.zeros(1, 1, 64, 64)
    judged[..., 28:42, 18:42] = 1
    assert torch.allclose(seen.native[:, 4:], judged, atol=1e-6)
    assert see(image, parts, config).native.shape == (1, 5, 0, 0)


# --- the mask as discriminators see it


def test_a_soft_mask_has_no_steps_and_is_whole_in_the_middle_and_at_the_borders_of_the_view() -> None:
    mask = torch.zeros(1, 1, 40, 40)
    mask[..., :20, 10:30] = 1
    soft = softened(mask)
    assert soft.shape == mask.shape and soft.min() == 0 and soft.max() == pytest.approx(1)
    assert soft[0, 0, 10, 8:13].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert (soft[0, 0, 0, 12:28] - 1).abs().max() < 1e-6
    assert torch.allclose(softened(torch.ones(1, 1, 9, 9)), torch.ones(1, 1, 9, 9))


def test_a_soft_mask_hides_single_steps_of_its_outline() -> None:
    """A rough outline, as turned masks have it, looks nearly like a straight one."""
    straight, rough = torch.zeros(2, 1, 1, 40, 40)
    straight[..., 20:, :] = 1
    rough.copy_(straight)
    rough[..., 20, ::2] = 0
    assert (softened(straight) - softened(rough)).abs().max() <= 0.2 * (straight - rough).abs().max() * 0.7
