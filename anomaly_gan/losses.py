"""One function per equation; every term is returned unweighted, in fp32, as a scalar [].

Logits s stand for the paper's probabilities D = sigmoid(s), and every logarithm is a softplus:
log D = -softplus(-s), log(1 - D) = -softplus(s), which stay finite where the logarithm would not.
"""

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import softplus


def loss_d1(logits_real: Tensor, logits_fake: Tensor) -> Tensor:
    """Eq. 2, negated for minimising: D1 scores real high and generated low.

    The two printed expectations are swapped; each is taken over the images that the term shows.

    Args:
        logits_real, logits_fake: [N].
    """
    return softplus(-logits_real.float()).mean() + softplus(logits_fake.float()).mean()


def loss_d2(logits_real: Tensor, logits_fake: Tensor) -> Tensor:
    """Eq. 3, negated for minimising: D2 scores generated high and real low."""
    return loss_d1(logits_fake, logits_real)


def loss_adv_d1(logits_fake: Tensor, form: str) -> Tensor:
    """What a generator minimises against D1 (Eqs. 2 and 4).

    `paper`: E[log(1 - D1(F))]; `nonsaturating`: -E[log D1(F)], with a gradient where D1 is sure.
    """
    if form == "paper":
        return -softplus(logits_fake.float()).mean()
    return softplus(-logits_fake.float()).mean()


def loss_adv_d2(logits_fake: Tensor, form: str) -> Tensor:
    """What a generator minimises against D2, before lambda_1 (Eqs. 3 and 4).

    `paper`: E[log D2(F)]; `nonsaturating`: -E[log(1 - D2(F))].
    """
    return loss_adv_d1(-logits_fake, form)


def loss_cycle(cycled: Tensor, image: Tensor) -> Tensor:
    """One half of Eq. 6: the L1 distance of the reconstruction, a mean over pixels. Both [N, 3, H, W]."""
    return (cycled.float() - image.float()).abs().mean()


def loss_outside(fake: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Ours: the mean L1 change outside the mask, which the paper asks for in words only (Sec. 4.2.3).

    Args:
        fake, image: [N, 3, H, W].
        mask: [N, 1, H, W] in {0, 1}.
    """
    outside = (1 - mask.float()).expand_as(fake)
    changed = ((fake.float() - image.float()).abs() * outside).sum()
    return changed / outside.sum().clamp(min=1)


def loss_semantic(
    fake_features: Sequence[Tensor], real_features: Sequence[Tensor], weight: Tensor, norm: str
) -> Tensor:
    """Eq. 1 summed over the taps; the print has a signed difference, ours is squared.

    `l2`: each tap's mean square over D, H and W. `channel_mean`: the same of each channel's mean over
    H and W, which compares texture without asking two unpaired anomalies to have one shape.

    Args:
        fake_features, real_features: per tap [N, D, H, W].
        weight: [N] in {0, 1}; pairs of weight 0 (an empty mask) are left out.
        norm: `l2` or `channel_mean`.
    """
    total = weight.new_zeros(())
    for fake, real in zip(fake_features, real_features, strict=True):
        difference = fake.float() - real.float()
        if norm == "channel_mean":
            difference = difference.mean((2, 3), keepdim=True)
        per_pair = difference.square().flatten(1).mean(1)
        total = total + (per_pair * weight).sum() / weight.sum().clamp(min=1)
    return total
