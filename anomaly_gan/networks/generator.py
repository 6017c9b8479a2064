"""The generators G_norm2abnl and H_abnl2norm by the config: built, begun, and the views that fit them."""

import torch
from torch import nn

from anomaly_gan.config import ModelConfig
from anomaly_gan.networks.base import DETAIL_GAIN, Generator
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
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if generator.detail is not None:
        with torch.no_grad():
            for parameter in (*generator.last_layer.parameters(), *generator.detail.parameters()):
                parameter.mul_(generator.blend_init)
            generator.detail.weight.div_(DETAIL_GAIN)
    return generator


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
