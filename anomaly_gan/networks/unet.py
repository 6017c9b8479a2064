"""The U-Net that fits the text of the paper (Sec. 4.2.1 and Fig. 5)."""

import torch
from torch import Tensor, nn

from anomaly_gan.config import ModelConfig
from anomaly_gan.networks.base import Generator
from anomaly_gan.networks.norms import norm2d
from anomaly_gan.networks.upsampling import ResizeConv

LEAK = 0.2


def _down(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)


def _up(kind: str, in_channels: int, out_channels: int, *, bias: bool = False) -> nn.Module:
    if kind == "transposed":
        return nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=bias)
    return ResizeConv(in_channels, out_channels, bias=bias)


class UNet(Generator):
    """U-Net of 4x4 stride-2 convolutions, skips by concatenation.

    With the default widths, batch norm, `upsample="transposed"`, colour and no blend it has 11,416,707 parameters.
    The outermost and innermost down steps carry no norm.
    """

    blend_init = 0.1

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        widths, kind = config.generator_widths, config.generator_norm
        depth = len(widths)
        self.downs = nn.ModuleList()
        for i, (before, after) in enumerate(zip((self.in_channels, *widths[:-1]), widths, strict=True)):
            layers: list[nn.Module] = [nn.LeakyReLU(LEAK)] if i else []
            layers.append(_down(before, after))
            if 0 < i < depth - 1:
                layers.append(norm2d(kind, after))
            self.downs.append(nn.Sequential(*layers))
        self.ups = nn.ModuleList()
        for i in reversed(range(1, depth)):
            before = widths[i] if i == depth - 1 else 2 * widths[i]
            up = _up(config.upsample, before, widths[i - 1])
            self.ups.append(nn.Sequential(nn.ReLU(), up, norm2d(kind, widths[i - 1])))
        self.head = nn.Sequential(nn.ReLU(), _up(config.upsample, 2 * widths[0], self.drawn_channels, bias=True))

    @property
    def last_layer(self) -> nn.Module:
        return self.head

    def draw(self, seen: Tensor) -> Tensor:
        features = seen
        skips = []
        for down in self.downs:
            features = down(features)
            skips.append(features)
        for up, skip in zip(self.ups, reversed(skips[:-1]), strict=True):
            features = torch.cat([up(features), skip], 1)
        planes: Tensor = self.head(features)
        return planes
