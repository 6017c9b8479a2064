"""What every generator is: an image and a mask in, an image out (paper, Sec. 4.2.1)."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from anomaly_gan.config import ModelConfig

IN_CHANNELS = 4
"""The three planes of the image, and the mask."""

OPACITY_START = -2.0
"""Logit of the opacity before anything is learnt: 12 % of the drawn content shows."""

DETAIL_GAIN = 16.0
"""Factor of the layer at full resolution, whose first weights are so many times smaller: a step of Adam then moves it
16 times as far (an equalised learning rate), so that also a short run learns sharp edges."""


class Generator(nn.Module, ABC):
    """G_norm2abnl or H_abnl2norm: a network, and how its planes become an image.

    Attributes:
        sees_mask: whether the mask is an input; a blending generator is held to it all the same.
        in_channels: planes of the input.
        planes: that the network draws: 1 where the config says `gray`, else 3; with `blend` the opacity before them.
        blend_init: factor of the last layer's first weights with which a blending generator begins close to the
            identity.
    """

    blend_init: float

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        content = 1 if config.gray else 3
        self.planes = content + 1 if config.blend else content
        self.reach_px = config.reach_px
        self.sees_mask = config.generator != "plain_resnet9"
        self.in_channels = IN_CHANNELS if self.sees_mask else IN_CHANNELS - 1
        self.detail = nn.Conv2d(self.in_channels, self.planes, 3, padding=1, bias=False) if config.blend else None

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Translate `image` where `mask` says so.

        Args:
            image: [N, 3, H, W] in [-1, 1]; H and W as `check_view` allows.
            mask: [N, 1, H, W] in {0, 1}.

        Returns:
            [N, 3, H, W] float32 in [-1, 1]; three equal planes where the config says `gray` and the image has them.
        """
        seen = torch.cat([image, mask], 1) if self.sees_mask else image
        drawn = self.draw(seen)
        if self.detail is None:
            return drawn.float().tanh().expand(-1, 3, -1, -1)
        drawn = (drawn + DETAIL_GAIN * self.detail(seen)).float()
        opacity, content = (drawn[:, :1] + OPACITY_START).sigmoid(), drawn[:, 1:].tanh()
        blended: Tensor = image + opacity * grown(mask, self.reach_px) * (content - image)
        return blended

    @abstractmethod
    def draw(self, seen: Tensor) -> Tensor:
        """The planes before tanh and sigmoid.

        Args:
            seen: [N, in_channels, H, W]: the image, and the mask where the generator sees it.

        Returns:
            [N, planes, H, W].
        """

    @property
    @abstractmethod
    def last_layer(self) -> nn.Module:
        """The layer whose parameters scale the planes."""


def grown(mask: Tensor, px: int) -> Tensor:
    """The mask [N, 1, H, W] and all that is at most `px` rows and columns away from it."""
    side = 2 * px + 1
    return max_pool2d(max_pool2d(mask, (side, 1), 1, (px, 0)), (1, side), 1, (0, px))
