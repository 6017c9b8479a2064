"""The generators G_norm2abnl and H_abnl2norm by the config: built, begun, and the views that fit them."""

import torch
from torch import nn

from anomaly_gan.config import ModelConfig
from anomaly_gan.networks.base import DETAIL_GAIN, Generator, Texture
from anomaly_gan.networks.resnet import FACTOR, ResNetGenerator
from anomaly_gan.networks.unet import UNet
from infra.errors import UsageError

__all__ = ["Generator", "ResNetGenerator", "UNet", "build_generator", "check_view", "make_generator"]


def make_generator(config: ModelConfig) -> Generator:
    """The network that the config names, with torch's own first weights; for weights that are loaded."""
    return UNet(config) if config.generator == "unet" else ResNetGenerator(config)


def build_generator(config: ModelConfig) -> Generator:
    """A generator with weights drawn from N(0, 0.02), as CycleGAN's; norms start at 1 and 0.

    A blending one begins close to the identity, so that it never has to learn the background.
    """
    generator = make_generator(config)
    for module in generator.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if isinstance(module, nn.ConvTranspose2d):
                _even(module)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if isinstance(generator.texture, Texture):
        generator.texture.begin()
    elif generator.detail is not None:
        with torch.no_grad():
            for parameter in (*generator.last_layer.parameters(), *generator.detail.parameters()):
                parameter.mul_(generator.blend_init)
            generator.detail.weight.div_(DETAIL_GAIN)
    return generator


@torch.no_grad()
def _even(layer: nn.ConvTranspose2d) -> None:
    """Give all outputs of one input pixel the same weights, so that no grid is there before anything is learnt.

    After Aitken et al. 2017, who do it for sub-pixel convolutions. A kernel of 4 with a stride of 2 has 2 x 2 weights
    for each of the 2 x 2 outputs; others are left as they are.
    """
    if layer.kernel_size == (4, 4) and layer.stride == (2, 2):
        own = layer.weight[:, :, ::2, ::2]
        layer.weight.copy_(own.repeat_interleave(2, 2).repeat_interleave(2, 3))


def check_view(config: ModelConfig, resolution: int) -> None:
    """Refuse a view that the generator cannot halve as often as it must; a U-Net down to 2 px or more.

    Args:
        config: of the generator.
        resolution: side of the view in px.

    Raises:
        UsageError: the view is too small, or no multiple.
    """
    if config.generator != "unet":
        if resolution % FACTOR:
            raise UsageError(
                f"train.model.generator: {config.generator} needs a view whose side is a multiple of {FACTOR} px,"
                f" got {resolution}; choose another size"
            )
        return
    factor = 2 ** len(config.generator_widths)
    if resolution % factor or resolution // factor < 2:
        raise UsageError(
            f"train.model.generator_widths: {len(config.generator_widths)} down steps do not fit a view of"
            f" {resolution} px; name fewer widths"
        )
