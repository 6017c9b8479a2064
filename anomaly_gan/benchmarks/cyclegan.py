"""Plain CycleGAN (Zhu et al. 2017), written straight down: what our step is compared with.

Two ResNet generators with 9 blocks, two 70 x 70 PatchGAN discriminators, least squares, cycle and identity losses,
Adam; without the paper's pool of earlier images. All of it in fp32.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

LAMBDA_CYCLE = 10.0
LAMBDA_IDENTITY = 5.0


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = features + self.layers(features)
        return changed


def resnet_generator(width: int = 64) -> nn.Sequential:
    """[N, 3, H, W] to [N, 3, H, W] in [-1, 1]; H and W multiples of 4. 11,378,179 parameters."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), nn.InstanceNorm2d(width), nn.ReLU()]
    for before, after in ((width, 2 * width), (2 * width, 4 * width)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.InstanceNorm2d(after), nn.ReLU()]
    layers += [Block(4 * width) for _ in range(9)]
    for before, after in ((4 * width, 2 * width), (2 * width, width)):
        up = nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1)
        layers += [up, nn.InstanceNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())


def patch_discriminator(width: int = 64) -> nn.Sequential:
    """[N, 3, H, W] to logits [N, 1, H/8 - 2, W/8 - 2], each of a patch of 70 x 70 px. 2,764,737 parameters."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    for before, after, stride in ((width, 2 * width, 2), (2 * width, 4 * width, 2), (4 * width, 8 * width, 1)):
        conv = nn.Conv2d(before, after, 4, stride=stride, padding=1)
        layers += [conv, nn.InstanceNorm2d(after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, padding=1))


class CycleGAN:
    """The networks of domains A and B, their optimisers, and the update of both."""

    def __init__(self, device: torch.device, width: int = 64) -> None:
        self.a_to_b, self.b_to_a = resnet_generator(width).to(device), resnet_generator(width).to(device)
        self.judge_a, self.judge_b = patch_discriminator(width).to(device), patch_discriminator(width).to(device)
        self._optim_g = _adam(self.a_to_b, self.b_to_a)
        self._optim_d = _adam(self.judge_a, self.judge_b)

    def step(self, real_a: Tensor, real_b: Tensor) -> dict[str, Tensor]:
        """One update of the generators, then one of the discriminators.

        Args:
            real_a, real_b: [N, 3, H, W] in [-1, 1].

        Returns:
            The objectives of both, scalars [].
        """
        fake_b, fake_a = self.a_to_b(real_a), self.b_to_a(real_b)
        self._ask_gradients(False)
        self._optim_g.zero_grad()
        adversarial = _squared(self.judge_b(fake_b), 1) + _squared(self.judge_a(fake_a), 1)
        cycle = l1_loss(self.b_to_a(fake_b), real_a) + l1_loss(self.a_to_b(fake_a), real_b)
        identity = l1_loss(self.b_to_a(real_a), real_a) + l1_loss(self.a_to_b(real_b), real_b)
        loss_g = adversarial + LAMBDA_CYCLE * cycle + LAMBDA_IDENTITY * identity
        loss_g.backward()  # type: ignore[no-untyped-call]
        self._optim_g.step()

        self._ask_gradients(True)
        self._optim_d.zero_grad()
        loss_d = _judging(self.judge_a, real_a, fake_a) + _judging(self.judge_b, real_b, fake_b)
        loss_d.backward()  # type: ignore[no-untyped-call]
        self._optim_d.step()
        return {"generators": loss_g.detach(), "discriminators": loss_d.detach()}

    def _ask_gradients(self, flag: bool) -> None:
        for judge in (self.judge_a, self.judge_b):
            judge.requires_grad_(flag)


def _adam(*networks: nn.Module) -> torch.optim.Adam:
    parameters = itertools.chain.from_iterable(network.parameters() for network in networks)
    return torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999), fused=True)


def _squared(logits: Tensor, wanted: float) -> Tensor:
    return (logits - wanted).square().mean()


def _judging(judge: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return (_squared(judge(real), 1) + _squared(judge(fake.detach()), 0)) / 2
