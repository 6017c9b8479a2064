"""The local versus global consistency discriminators (paper, Sec. 4.2.2 and Fig. 7)."""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from anomaly_gan.config import ModelConfig
from anomaly_gan.crops import CROP_PX

LEAK = 0.2
LAST_PX = 4
MAX_WIDTH_FACTOR = 8


class Subnet(nn.Module):
    """5x5 stride-2 convolutions down to 4x4 px, then one fully connected layer."""

    def __init__(self, resolution: int, in_channels: int, config: ModelConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for i in range(int(math.log2(resolution // LAST_PX))):
            width = config.discriminator_width * min(2**i, MAX_WIDTH_FACTOR)
            conv = nn.Conv2d(channels, width, 5, stride=2, padding=2)
            if config.discriminator_norm == "spectral":
                layers.append(spectral_norm(conv))
            else:
                layers += [conv, nn.BatchNorm2d(width)]
            layers.append(nn.LeakyReLU(LEAK))
            channels = width
        self.convs = nn.Sequential(*layers)
        linear = nn.Linear(channels * LAST_PX**2, config.discriminator_features)
        self.linear = spectral_norm(linear) if config.discriminator_norm == "spectral" else linear

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.linear(self.convs(image).flatten(1))
        return features


class LocalGlobalDiscriminator(nn.Module):
    """Judges the crop around the mask and the whole view together.

    At 512 px with the paper's widths and three input channels it has 45.06 M parameters.
    """

    def __init__(self, resolution: int, config: ModelConfig) -> None:
        super().__init__()
        in_channels = 4 if config.discriminator_input == "mask_channel" else 3
        self.local_subnet = Subnet(CROP_PX, in_channels, config)
        self.global_subnet = Subnet(resolution, in_channels, config)
        head = nn.Linear(2 * config.discriminator_features, 1)
        self.head = spectral_norm(head) if config.discriminator_norm == "spectral" else head

    def forward(self, view: Tensor, crop: Tensor, has_mask: Tensor) -> Tensor:
        """Logits of one batch.

        Args:
            view: [N, C, H, W], the whole view; C is 4 with the mask as channel, else 3.
            crop: [N, C, 64, 64], the box around the mask.
            has_mask: [N] in {0, 1}; 0 leaves the local features out.

        Returns:
            [N] logits; the paper's probability is their sigmoid.
        """
        local_features = self.local_subnet(crop) * has_mask[:, None]
        logits: Tensor = self.head(torch.cat([local_features, self.global_subnet(view)], 1))
        return logits.flatten()
