"""One function per equation; every term is returned unweighted, in fp32, as a scalar [].

| Term | Source | What it is |
|---|---|---|
| `loss_d1`, `loss_d2` | Eqs. 2 and 3 | what a discriminator minimises; D1 scores real high, D2 generated |
| `loss_adv_d1`, `loss_adv_d2` | Eqs. 4 and 5 | what a generator minimises against D1 and D2, without lambda_1 |
| `loss_cycle` | Eq. 6, one half | L1 of the reconstruction |
| `loss_semantic` | Eqs. 1 and 7, one half | distance of two crops' features, `aware: network` |
| `loss_pixels` | Table 1, one half of its ablation | L2 of two crops, `aware: l2_pixels` |
| `loss_outside` | ours | L1 change outside the mask |

Every term is a mean over the N images or pairs, also over those that it weights with 0. So the term of a batch is the
mean of the terms of its equal shares, and no worker needs to know the others' weights or masks.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from anomaly_gan.config import LossConfig
from anomaly_gan.gan.adversarial import FORMS


def loss_d1(logits_real: Tensor, logits_fake: Tensor, config: LossConfig) -> Tensor:
    """Eq. 2 as something to minimise: D1 scores real high and generated low.

    The two printed expectations are swapped; each is taken over the images that the term shows.

    Args:
        logits_real, logits_fake: [N], of one D1.
    """
    form = FORMS[config.adversarial]
    alpha, _ = _log_weights(config)
    return alpha * form.high(logits_real.float()).mean() + form.low(logits_fake.float()).mean()


def loss_d2(logits_real: Tensor, logits_fake: Tensor, config: LossConfig) -> Tensor:
    """Eq. 3 as something to minimise: D2 scores generated high and real low.

    Args:
        logits_real, logits_fake: [N], of one D2.
    """
    form = FORMS[config.adversarial]
    _, beta = _log_weights(config)
    return beta * form.high(logits_fake.float()).mean() + form.low(logits_real.float()).mean()


def loss_adv_d1(logits_fake: Tensor, config: LossConfig) -> Tensor:
    """The generator's part of Eq. 2: D1's score of the generated images shall rise.

    Args:
        logits_fake: [N], of one D1.
    """
    return FORMS[config.adversarial].rise(logits_fake.float()).mean()


def loss_adv_d2(logits_fake: Tensor, config: LossConfig) -> Tensor:
    """The generator's part of Eq. 3, before lambda_1: D2's score of the generated images shall fall.

    Args:
        logits_fake: [N], of one D2.
    """
    _, beta = _log_weights(config)
    return beta * FORMS[config.adversarial].fall(logits_fake.float()).mean()


def loss_cycle(cycled: Tensor, image: Tensor, mask: Tensor, reach: Tensor, inside: float) -> Tensor:
    """One half of Eq. 6: the L1 distance of the reconstruction, a mean over the pixels that can change.

    What an opaque anomaly covers cannot be seen in the picture any more: with the full weight the generators learn
    to show it through, or, where masks are large, to change nothing.

    Args:
        cycled, image: [N, 3, H, W].
        mask: [N, 1, H, W] in {0, 1}.
        reach: [N, 1, H, W] in {0, 1}, where a generator can change an image; the mean is over these pixels, so that it
            means the same in a view of any size.
        inside: weight of the mask's pixels; 1 as printed.
    """
    weight = reach * (1 - (1 - inside) * mask.float())
    changed = ((cycled.float() - image.float()).abs() * weight).sum((1, 2, 3))
    return (changed / (image.shape[1] * reach.sum((1, 2, 3))).clamp(min=1)).mean()


def loss_outside(fake: Tensor, image: Tensor, mask: Tensor, reach: Tensor) -> Tensor:
    """Ours: each image's mean L1 change outside its mask, which the paper asks for in words only (Sec. 4.2.3).

    Args:
        fake, image: [N, 3, H, W].
        mask: [N, 1, H, W] in {0, 1}; an image with a full mask counts as unchanged.
        reach: as that of `loss_cycle`.
    """
    outside = (reach * (1 - mask.float())).expand_as(fake)
    changed = ((fake.float() - image.float()).abs() * outside).sum((1, 2, 3))
    return (changed / outside.sum((1, 2, 3)).clamp(min=1)).mean()


def loss_semantic(
    fake_features: Sequence[Tensor], real_features: Sequence[Tensor], weight: Tensor, norm: str
) -> Tensor:
    """Eq. 1 summed over the taps; the print has a signed difference, ours is a distance.

    `l2`, `l1`: the mean square or mean absolute difference over D, H and W.
    `gram`: the squared Frobenius distance of the Gram matrices F F^T / (D H W) (Johnson et al. 2016).
    `channel_mean`: the mean square difference of the channels' means over H and W.
    `energy`: the energy distance (Szekely and Rizzo 2013) of the channels' means and deviations: how far generated
    crops are from real ones, less how far they are from each other. It is least where their distributions agree; all
    others are least where every crop is the real ones' mean.
    The last three compare texture without asking two unpaired anomalies to have one shape.

    Args:
        fake_features, real_features: per tap [N, D, H, W].
        weight: [N] in [0, 1]; 0 leaves a pair out (an empty mask).
        norm: `l2`, `l1`, `gram` or `channel_mean`.
    """
    pairs = zip(fake_features, real_features, strict=True)
    if norm == "energy":
        fake, real = (torch.cat(list(map(_style, taps)), 1) for taps in (fake_features, real_features))
        return _energy(fake, real, weight)
    taps = [NORMS[norm](fake.float(), real.float()) for fake, real in pairs]
    return _weighted_mean(torch.stack(taps).sum(0), weight)


def _style(features: Tensor) -> Tensor:
    """[N, D, H, W] to [N, 2 D]: each channel's mean and deviation, over the root of 2 D, so that taps weigh alike."""
    flat = features.float().flatten(2)
    deviation = (flat.var(2) + 1e-6).sqrt()  # with a slope also where all is equal
    return torch.cat([flat.mean(2), deviation], 1) / math.sqrt(2 * flat.shape[1])


def _energy(fake: Tensor, real: Tensor, weight: Tensor) -> Tensor:
    """Both [N, D]; each generated crop's partner is half a batch away, of another image also where an image has several
    crops. A part of one pair has no partner."""
    apart = _weighted_mean(_length(fake - real), weight)
    if len(fake) == 1:
        return apart
    away = len(fake) // 2
    return apart - _weighted_mean(_length(fake - fake.roll(away, 0)), weight * weight.roll(away, 0)) / 2


def _length(difference: Tensor) -> Tensor:
    return (difference.square().sum(1) + 1e-8).sqrt()


def loss_pixels(fake_crop: Tensor, real_crop: Tensor, weight: Tensor) -> Tensor:
    """What replaces Eq. 1 in the ablation of Table 1: the mean square difference of the crops' values.

    Args:
        fake_crop, real_crop: [N, 3, 64, 64] in [-1, 1].
        weight: [N] in [0, 1]; 0 leaves a pair out (an empty mask).
    """
    return _weighted_mean(_l2(fake_crop.float(), real_crop.float()), weight)


def _log_weights(config: LossConfig) -> tuple[float, float]:
    """alpha and beta of Nguyen et al. 2017: weights of log D1 on real and of log D2 on generated images."""
    return (config.d2gan_alpha, config.d2gan_beta) if config.adversarial == "d2gan" else (1.0, 1.0)


def _weighted_mean(per_pair: Tensor, weight: Tensor) -> Tensor:
    """The sum of the weighted pairs over the number of all of them. Both [N]."""
    return (weight.float() * per_pair).mean()


def _l2(fake: Tensor, real: Tensor) -> Tensor:
    return (fake - real).square().mean((1, 2, 3))


def _l1(fake: Tensor, real: Tensor) -> Tensor:
    return (fake - real).abs().mean((1, 2, 3))


def _gram(fake: Tensor, real: Tensor) -> Tensor:
    return (_gram_matrix(fake) - _gram_matrix(real)).square().sum((1, 2))


def _gram_matrix(features: Tensor) -> Tensor:
    """[N, D, H, W] to [N, D, D]."""
    rows = features.flatten(2)
    with torch.autocast(features.device.type, enabled=False):  # which would multiply in bf16
        return rows @ rows.mT / features[0].numel()


def _channel_mean(fake: Tensor, real: Tensor) -> Tensor:
    return (fake - real).mean((2, 3)).square().mean(1)


NORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l2": _l2,
    "l1": _l1,
    "gram": _gram,
    "channel_mean": _channel_mean,
}
"""Distance of the features of each pair at one tap: two [N, D, H, W] to [N]."""
