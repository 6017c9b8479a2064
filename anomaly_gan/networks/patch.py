"""The discriminator of patches (Isola et al. 2017), as CycleGAN has it."""

from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512)


class PatchDiscriminator(nn.Module):
    """Judges patches of 70 x 70 px; with all channels 2,764,737 parameters."""

    def __init__(self, width_mult: float = 1.0) -> None:
        """
        Args:
            width_mult: scales the channels; 1 is the published form.
        """
        super().__init__()
        widths = [max(1, round(width * width_mult)) for width in WIDTHS]
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for before, after, stride in zip(widths, widths[1:], (2, 2, 1), strict=False):
            conv = nn.Conv2d(before, after, 4, stride=stride, padding=1)
            layers += [conv, nn.InstanceNorm2d(after), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1] to logits [N, 1, H/8 - 2, W/8 - 2]."""
        logits: Tensor = self.model(image)
        return logits
