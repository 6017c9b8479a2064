"""The critic of texture: what counts in its logits, and at which scale."""

import pytest
import torch
from torch import Tensor

from anomaly_gan.networks.base import grown
from anomaly_gan.networks.texture_critic import GROWN_PX, WINDOW_PX, TextureCritic
from tests.support.builders import train_config

pytestmark = pytest.mark.usefixtures("one_thread")

SEES_PX = 16
"""Side of what a logit sees."""


def critic() -> TextureCritic:
    torch.manual_seed(0)
    return TextureCritic(train_config().model).eval().requires_grad_(False)


def window(count: int = 1, left: int = 30, top: int = 28, side: int = 6) -> tuple[Tensor, Tensor]:
    """(what the critic sees [N, 4, S, S], where it judges [N, 1, S, S]), of noise with a box for a mask."""
    torch.manual_seed(1)
    mask = torch.zeros(count, 1, WINDOW_PX, WINDOW_PX)
    mask[..., top : top + side, left : left + side] = 1
    image = torch.rand(count, 3, WINDOW_PX, WINDOW_PX) * 2 - 1
    return torch.cat([image, mask], 1), grown(mask, GROWN_PX)


def test_only_what_is_near_the_mask_counts() -> None:
    net, (seen, inside) = critic(), window()
    logit = net(seen, inside)
    reach = SEES_PX // 2 + 2  # patches are judged in blocks of 2 px
    near = grown(inside, reach).bool().expand_as(seen)
    assert torch.allclose(net(torch.where(near, seen, 1.0), inside), logit, atol=1e-6)
    changed = seen.clone()
    changed[:, :3, 28:34, 30:36] *= -1
    assert not torch.allclose(net(changed, inside), logit, atol=1e-5)


def test_the_logit_is_the_mean_of_the_patches_of_the_mask_and_2_px_around() -> None:
    net, (seen, inside) = critic(), window()
    patches = net.patches(seen)  # [1, 1, 32, 32]
    assert patches.shape[-1] == WINDOW_PX // 2
    # rows 26 to 35, columns 28 to 37 are the box of 6 px and 2 px on each side
    assert inside[0, 0].nonzero().min(0).values.tolist() == [26, 28] and inside.sum() == 100
    assert net(seen, inside).item() == pytest.approx(patches[..., 13:18, 14:19].mean().item(), rel=1e-5)


def test_a_logit_is_of_its_own_image_alone_and_an_empty_mask_gives_0() -> None:
    net, (seen, inside) = critic(), window(3)
    together = net(seen, inside)
    assert together.shape == (3,)
    assert torch.allclose(net(seen[1:2], inside[1:2])[0], together[1], atol=1e-6)
    inside[0] = 0
    assert net(seen, inside)[0] == 0


def test_it_sees_single_pixels() -> None:
    """Noise and the same noise as the local subnet would see it, halved, have the same mean and not the same logit."""
    net, (seen, inside) = critic(), window(side=20, left=20, top=20)
    halved = torch.nn.functional.avg_pool2d(seen[:, :3], 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    smooth = torch.cat([halved, seen[:, 3:]], 1)
    spread = torch.stack([net(torch.cat([noise, seen[:, 3:]], 1), inside) for noise in torch.randn(8, 1, 3, 64, 64)])
    assert (net(seen, inside) - net(smooth, inside)).abs() > 0.05 * spread.std()


def test_its_gradient_reaches_the_pixels_of_the_mask_and_every_parameter() -> None:
    net, (seen, inside) = critic().requires_grad_(), window()
    seen.requires_grad_()
    net(seen, inside).sum().backward()
    assert seen.grad is not None
    assert (seen.grad[0, :3, 28:34, 30:36] != 0).all()
    assert (seen.grad[..., : 26 - SEES_PX, :] == 0).all()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
