"""What every generator is: an image and a mask in, an image out (paper, Sec. 4.2.1)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, max_pool2d

from anomaly_gan.config import ModelConfig
from anomaly_gan.exemplars.exemplar import OUTLINE_PX, Exemplar
from anomaly_gan.exemplars.surroundings import surroundings
from anomaly_gan.samples.contrast import laid_over

IN_CHANNELS = 4
"""The three planes of the image, and the mask."""

RING_OPACITY_START = -2.0
"""Logit of the opacity around the mask before anything is learnt: 12 % of the drawn content shows."""

FEATURES = 16
LEAK = 0.2

DETAIL_GAIN = 16.0
"""Factor of the layer at full resolution, whose first weights are so many times smaller: a step of Adam then moves it
16 times as far (an equalised learning rate), so that also a short run learns sharp edges."""


class Texture(nn.Module):
    """Planes at full resolution from the network's features, the mask and the noise, and never from the picture behind:
    what these layers saw of it would shine through.

    Two 3x3 convolutions, so that the features decide how the noise looks. They begin with weights that let it through.
    """

    def __init__(self, noise_planes: int, planes: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(FEATURES + 1 + noise_planes, FEATURES, 3, padding=1)
        self.out = nn.Conv2d(FEATURES, planes, 3, padding=1)

    @torch.no_grad()
    def begin(self) -> None:
        """First weights: deviations of 1 in between, and of a hundredth in the planes: about a grey level of noise."""
        for layer, gain in ((self.mix, 1.0), (self.out, 0.01)):
            nn.init.kaiming_normal_(layer.weight, LEAK)
            layer.weight.mul_(gain)
            nn.init.zeros_(layer.get_parameter("bias"))

    def forward(self, features: Tensor, mask: Tensor, noise: Tensor) -> Tensor:
        """[N, FEATURES, H, W], [N, 1, H, W] and [N, noise_planes, H, W] to [N, planes, H, W]."""
        mixed = leaky_relu(self.mix(torch.cat([features, mask, noise], 1)), LEAK)
        planes: Tensor = self.out(mixed)
        return planes


class Generator(nn.Module, ABC):
    """G_norm2abnl or H_abnl2norm: a network, and how its planes become an image.

    Attributes:
        sees_mask: whether the mask is an input; a blending generator is held to it all the same.
        in_channels: planes of the input.
        exemplars: real anomalies whose texture is laid into masks, see `exemplars.assembling`; set by those who train
            or load a generator.
        planes: that the network draws: 1 where the config says `gray`, else 3; with `blend` the opacity before them.
        blend_init: factor of the last layer's first weights with which a blending generator begins close to the
            identity.
    """

    blend_init: float
    exemplars: Sequence[Exemplar] = ()

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        content = 1 if config.gray else 3
        self.planes = content + 1 if config.blend else content
        self.reach_px = config.reach_px
        self.sees_mask = config.generator != "plain_resnet9"
        self.noise_planes = config.noise_planes
        self.opacity_start = config.opacity_start
        self.fills = config.content != "image"
        self.texture_planes = content if config.content == "exemplar" else 0
        self.in_channels = (IN_CHANNELS if self.sees_mask else IN_CHANNELS - 1) + self.noise_planes
        self.in_channels += self.texture_planes
        # what the network itself ends in: with noise, features that the layers at full resolution make planes of
        self.drawn_channels = FEATURES if self.noise_planes else self.planes
        self.detail: nn.Conv2d | None = None
        self.texture: Texture | None = None
        if self.noise_planes:
            self.texture = Texture(self.noise_planes, self.planes)
        elif config.blend:
            self.detail = nn.Conv2d(self.in_channels, self.planes, 3, padding=1, bias=False)
        self.blends = config.blend

    def forward(
        self, image: Tensor, mask: Tensor, noise: Tensor | None = None, texture: Tensor | None = None
    ) -> Tensor:
        """Translate `image` where `mask` says so.

        Args:
            image: [N, 3, H, W] in [-1, 1]; H and W as `check_view` allows.
            mask: [N, 1, H, W] in {0, 1}.
            noise: [N, noise_planes, H, W], standard normal; None = 0, the middle of what can be drawn.
            texture: [N, 1 or 3, H, W] in -1..1, how the anomaly is to differ from its surroundings, as a share of the
                way from them to black or to white (`Exemplar.contrast`); None = 0, not at all.

        Returns:
            [N, 3, H, W] float32 in [-1, 1]; three equal planes where the config says `gray` and the image has them.
        """
        near = grown(mask, self.reach_px)
        noise = _or_zeros(noise, self.noise_planes, image) * near
        texture = self._fitting(texture, image)
        seen = torch.cat([image, mask, noise, texture] if self.sees_mask else [image, noise, texture], 1)
        drawn = self.draw(seen)
        if self.texture is not None:
            drawn = self.texture(drawn, mask, noise)
        if self.detail is not None:
            drawn = drawn + DETAIL_GAIN * self.detail(seen)
        drawn = drawn.float()
        if not self.blends:
            return drawn.tanh().expand(-1, 3, -1, -1)
        start = RING_OPACITY_START + (self.opacity_start - RING_OPACITY_START) * grown(mask, OUTLINE_PX)
        opacity, content = (drawn[:, :1] + start).sigmoid(), drawn[:, 1:].tanh()
        if self.fills:
            smooth = surroundings(image, grown(mask, OUTLINE_PX))
            laid = laid_over(smooth, texture) if self.texture_planes else smooth
            content = (laid + 2 * content).clamp(-1, 1)
        blended: Tensor = image + opacity * near * (content - image)
        return blended

    def _fitting(self, texture: Tensor | None, image: Tensor) -> Tensor:
        """[N, texture_planes, H, W]; the mean of three planes where the network draws one, one plane three times."""
        if texture is None or not self.texture_planes:
            return _or_zeros(None, self.texture_planes, image)
        if self.texture_planes < texture.shape[1]:
            return texture.mean(1, keepdim=True)
        return texture.expand(-1, self.texture_planes, -1, -1)

    @abstractmethod
    def draw(self, seen: Tensor) -> Tensor:
        """The planes before tanh and sigmoid.

        Args:
            seen: [N, in_channels, H, W]: the image, and the mask where the generator sees it.

        Returns:
            [N, drawn_channels, H, W].
        """

    @property
    @abstractmethod
    def last_layer(self) -> nn.Module:
        """The layer whose parameters scale the planes."""


def _or_zeros(planes: Tensor | None, count: int, like: Tensor) -> Tensor:
    return like.new_zeros(len(like), count, *like.shape[2:]) if planes is None else planes


def grown(mask: Tensor, px: int) -> Tensor:
    """The mask [N, 1, H, W] and all that is at most `px` rows and columns away from it."""
    side = 2 * px + 1
    return max_pool2d(max_pool2d(mask, (side, 1), 1, (px, 0)), (1, side), 1, (0, px))
