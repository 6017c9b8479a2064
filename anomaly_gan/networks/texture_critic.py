"""The critic of texture: judges the mask's pixels at native scale, where the local subnet sees boxes made small.

A fully convolutional discriminator of patches (Isola et al. 2017) whose logits are averaged over the mask. It sees a
window of fixed size around a pixel of the mask, so it costs the same in views of any size.
"""

from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from anomaly_gan.config import ModelConfig
from anomaly_gan.networks.spectral import SpectralNorm

WINDOW_PX = 64
WIDTHS = (48, 48, 96)
"""Channels at half the scale, with a `width_mult` of 1."""
LEAK = 0.2
GROWN_PX = 2
"""How far beyond the mask patches are judged: the outline of an anomaly is a part of it."""


class TextureCritic(nn.Module):
    """Each logit sees 16 x 16 px."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = [max(8, round(width * config.width_mult**0.5)) for width in WIDTHS]
        layers: list[nn.Module] = [SpectralNorm(nn.Conv2d(4, widths[0], 4, stride=2, padding=1)), nn.LeakyReLU(LEAK)]
        for before, after in zip(widths, [*widths[1:], widths[-1]], strict=True):
            layers += [SpectralNorm(nn.Conv2d(before, after, 3, padding=1)), nn.LeakyReLU(LEAK)]
        self.patches = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 1))

    def forward(self, window: Tensor, inside: Tensor) -> Tensor:
        """Logits [N].

        Args:
            window: [N, 4, S, S]: the image in [-1, 1], and the mask as discriminators see it.
            inside: [N, 1, S, S] in {0, 1}, the mask and what is GROWN_PX around it.
        """
        logits = self.patches(window)  # [N, 1, S / 2, S / 2]
        weight = max_pool2d(inside, 2)
        mean: Tensor = (logits * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp(min=1)
        return mean
