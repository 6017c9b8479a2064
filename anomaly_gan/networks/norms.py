"""The norms of generators and discriminators, by the names that the config gives them."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from anomaly_gan.networks.collectives import sum_over_ranks
from anomaly_gan.ranks import rank, world_size

Norm = Literal["batch", "sync", "instance", "group"]

MIXING = ("batch", "sync")
"""Norms with which an image's result depends on the other images of its batch."""

MAX_GROUPS = 32
MIN_GROUP_CHANNELS = 4


def norm2d(kind: Norm, channels: int) -> nn.Module:
    """A norm of [N, channels, H, W] with a weight and a bias for each channel.

    Args:
        kind: batch, over this rank's images; sync, over those of all ranks; instance, over each channel of each
            image; group, over each group of channels of each image.
        channels: of the feature map.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "sync":
        return SyncBatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(group_count(channels), channels)
    return nn.InstanceNorm2d(channels, affine=True)


def group_count(channels: int) -> int:
    """The most equal groups, up to 32 (Wu and He 2018), of 4 channels or more; 1 where there are none."""
    fitting = (n for n in range(1, MAX_GROUPS + 1) if channels % n == 0 and channels // n >= MIN_GROUP_CHANNELS)
    return max(fitting, default=1)


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the images of all ranks, on CPU too; nn.BatchNorm2d where there is one rank.

    In training mode all ranks must call it in the same order, forward and backward. A rank's gradients are its
    share: those of the whole batch are the sum over ranks.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(input)
        values = input.float()
        mean, variance, count = _statistics_of_all_ranks(values)
        self._track(mean.detach(), variance.detach(), count)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (values * scale[:, None, None] + shift[:, None, None]).to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)


def _statistics_of_all_ranks(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [C], biased variance [C] and number of values [1] per channel, over the [N, C, H, W] of all ranks.

    Each rank adds its row to a table of zeros: with every rank's mean at hand the variance needs no difference of
    large sums of squares (Chan et al. 1979).
    """
    channels = values.shape[1]
    variance, mean = torch.var_mean(values, (0, 2, 3), correction=0)
    own = torch.cat([mean, variance, values.new_tensor([values.numel() // channels])])
    table = sum_over_ranks(pad(own[None], (0, 0, rank(), world_size() - 1 - rank())))
    means, variances, counts = table.split([channels, channels, 1], 1)  # type: ignore[no-untyped-call]
    count = counts.sum(0)
    mean = (means * counts).sum(0) / count
    variance = ((variances + (means - mean).square()) * counts).sum(0) / count
    return mean, variance, count
