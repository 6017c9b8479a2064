"""The local versus global consistency discriminators (paper, Sec. 4.2.2 and Fig. 7)."""

import math

import torch
from torch import Tensor, nn

from anomaly_gan.config import ModelConfig
from anomaly_gan.networks.crops import CROP_PX
from anomaly_gan.networks.halving import HalvingConv
from anomaly_gan.networks.norms import MIXING, norm2d
from anomaly_gan.networks.spectral import SpectralNorm

LEAK = 0.2
LAST_PX = 4
BASE_WIDTH = 64
BASE_FEATURES = 1024
MAX_WIDTH_FACTOR = 8
WIDTH_STEP = 4
"""Widths are multiples of this, and at least this."""


def scaled(width: int, config: ModelConfig) -> int:
    """`width` times the config's `width_mult`, to the nearest multiple of 4, at least 4."""
    return max(WIDTH_STEP, WIDTH_STEP * round(width * config.width_mult / WIDTH_STEP))


def _normed(layer: nn.Conv2d | nn.Linear, config: ModelConfig) -> nn.Module:
    return SpectralNorm(layer) if config.discriminator_norm == "spectral" else layer


class Subnet(nn.Module):
    """5x5 stride-2 convolutions down to 4x4 px, then one fully connected layer."""

    def __init__(self, resolution: int, in_channels: int, config: ModelConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for i in range(int(math.log2(resolution // LAST_PX))):
            width = scaled(BASE_WIDTH * min(2**i, MAX_WIDTH_FACTOR), config)
            layers.append(_normed(HalvingConv(channels, width), config))
            if config.discriminator_norm != "spectral":
                layers.append(norm2d(config.discriminator_norm, width))
            layers.append(nn.LeakyReLU(LEAK))
            channels = width
        self.convs = nn.Sequential(*layers)
        self.linear = _normed(nn.Linear(channels * LAST_PX**2, scaled(BASE_FEATURES, config)), config)

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.linear(self.convs(image).flatten(1))
        return features


class LocalGlobalDiscriminator(nn.Module):
    """Judges the crops around the mask and the whole view together.

    At 512 px with the paper's widths and three input channels it has 45.06 M parameters.

    Attributes:
        mixes_images: an image's logit in training depends on the other images of its batch, so that real and
            generated ones must be judged in batches of their own.
        local_subnet: None where the config says `global_only` (ablation of Table 1).
    """

    def __init__(self, resolution: int, config: ModelConfig) -> None:
        """Args:
        resolution: side of the view in px, a power of two from 64 to 1024.
        config: widths, norm and input.
        """
        super().__init__()
        in_channels = 4 if config.discriminator_input == "mask_channel" else 3
        self.mixes_images = config.discriminator_norm in MIXING
        self.local_subnet = None if config.global_only else Subnet(CROP_PX, in_channels, config)
        self.global_subnet = Subnet(resolution, in_channels, config)
        subnets = 1 if config.global_only else 2
        self.head = _normed(nn.Linear(subnets * scaled(BASE_FEATURES, config), 1), config)

    def forward(self, view: Tensor, crop: Tensor, has_mask: Tensor) -> Tensor:
        """Logits of one batch.

        Args:
            view: [N, C, H, W], the whole view; C is 4 with the mask as channel, else 3.
            crop: [N * K, C, 64, 64], the boxes around the mask: row n * K + k is image n's k-th. Their features
                are averaged. Not read where there is no local subnet.
            has_mask: [N] in {0, 1}; 0 leaves the local features out.

        Returns:
            [N] float32 logits; the paper's probability is their sigmoid.
        """
        features = self.global_subnet(view)
        if self.local_subnet is not None:
            local = self.local_subnet(crop).unflatten(0, (len(view), -1)).mean(1) * has_mask[:, None]
            features = torch.cat([local, features], 1)
        logits: Tensor = self.head(features)
        return logits.flatten().float()
