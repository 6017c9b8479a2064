"""The generators G_norm2abnl and H_abnl2norm (paper, Sec. 4.2.1 and Fig. 5)."""

import torch
from torch import Tensor, nn

from anomaly_gan.config import ModelConfig

LEAK = 0.2
RESIDUAL_INIT = 0.1
FULL_RANGE = 2.0
"""From black to white: a tanh output times this can turn any pixel into any other."""


def _norm(kind: str, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels, affine=True)


def _down(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)


def _up(kind: str, in_channels: int, out_channels: int, *, bias: bool = False) -> nn.Module:
    if kind == "transposed":
        return nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=bias)
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias),
    )


class UNet(nn.Module):
    """U-Net of 4x4 stride-2 convolutions, skips by concatenation.

    With the default widths, batch norm, `upsample="transposed"` and colour it has 11,416,707 parameters.
    The outermost and innermost down steps carry no norm.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths, kind = config.generator_widths, config.generator_norm
        depth = len(widths)
        self.residual = config.residual
        self.downs = nn.ModuleList()
        for i, (before, after) in enumerate(zip((4, *widths[:-1]), widths, strict=True)):
            layers: list[nn.Module] = [nn.LeakyReLU(LEAK)] if i else []
            layers.append(_down(before, after))
            if 0 < i < depth - 1:
                layers.append(_norm(kind, after))
            self.downs.append(nn.Sequential(*layers))
        self.ups = nn.ModuleList()
        for i in reversed(range(1, depth)):
            before = widths[i] if i == depth - 1 else 2 * widths[i]
            up = _up(config.upsample, before, widths[i - 1])
            self.ups.append(nn.Sequential(nn.ReLU(), up, _norm(kind, widths[i - 1])))
        planes = 1 if config.gray else 3
        self.head = nn.Sequential(nn.ReLU(), _up(config.upsample, 2 * widths[0], planes, bias=True), nn.Tanh())

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Translate `image` where `mask` says so.

        Args:
            image: [N, 3, H, W] in [-1, 1]; H and W multiples of 2 ** len(generator_widths).
            mask: [N, 1, H, W] in {0, 1}.

        Returns:
            [N, 3, H, W] in [-1, 1]; three equal planes where the config says `gray` and the image has them.
        """
        features = torch.cat([image, mask], 1)
        skips = []
        for down in self.downs:
            features = down(features)
            skips.append(features)
        for up, skip in zip(self.ups, reversed(skips[:-1]), strict=True):
            features = torch.cat([up(features), skip], 1)
        output: Tensor = self.head(features).expand(-1, 3, -1, -1)
        return (image + FULL_RANGE * output).clamp(-1, 1) if self.residual else output


def build_generator(config: ModelConfig) -> UNet:
    """A generator with weights drawn from N(0, 0.02), as CycleGAN's; norms start at 1 and 0.

    A residual one begins close to the identity, so that it never has to learn the background.
    """
    generator = UNet(config)
    for module in generator.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if config.residual:
        with torch.no_grad():
            for parameter in generator.head.parameters():
                parameter.mul_(RESIDUAL_INIT)
    return generator
