"""One training step as the paper has it: fakes, discriminators, generators, averaged weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from anomaly_gan.config import LossConfig, TrainConfig
from anomaly_gan.gan import losses
from anomaly_gan.gan.state import Fakes, Seen, TrainState, power_iterated
from anomaly_gan.networks.crops import crop, mask_boxes
from anomaly_gan.samples.tensors import to_model_range
from anomaly_gan.training.augmentation import augment
from anomaly_gan.training.batches import Batch
from anomaly_gan.training.joining import gradients_joined
from anomaly_gan.training.optimization import add_terms, gradient_norm, update_average

D_REAL, D_FAKE, G_FAKE = range(3)
"""Why the discriminators look at an image: as real, as generated, or to teach the generators.

Each look has an augmentation of its own."""


@dataclass(frozen=True)
class Share:
    """A part of a batch in the networks' range.

    normal, abnormal [N, 3, H, W] in [-1, 1]; expert, prior [N, 1, H, W] uint8 numbers of parts, 0 outside.
    """

    normal: Tensor
    expert: Tensor
    abnormal: Tensor
    prior: Tensor
    positions: tuple[int, ...]

    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the generators take: images, and masks in {0, 1}."""
        return self.normal, _as_mask(self.expert), self.abnormal, _as_mask(self.prior)


def see(image: Tensor, parts: Tensor, config: TrainConfig) -> Seen:
    """Add the mask as the config says, and cut the crops around it.

    Args:
        image: [N, 3, H, W] in [-1, 1].
        parts: [N, 1, H, W] uint8, 0 outside the mask.
    """
    boxes, has_mask = mask_boxes(parts, config.crop)
    mask = _as_mask(parts)
    if config.model.discriminator_input == "mask_channel":
        view = torch.cat([image, mask], 1)
        return Seen(view, crop(view, boxes), has_mask)
    return Seen(image, crop(image * mask, boxes), has_mask)


def train_step(state: TrainState, batch: Batch) -> dict[str, Tensor]:
    """One update of the discriminators, then one of the generators.

    The fakes are made once for both. Where a batch is computed in several parts, only one part's graph is kept at
    a time, so its fakes are made again for the generators.

    Returns:
        Unweighted terms, scalars [], named as in `AnomalyGan.terms`.
    """
    shares = [_share(part) for part in batch.split(state.config.compute.accumulate)]
    # both cycles, G(x, m), H(G(x, m), m), H(y, n), G(H(y, n), n): normal x, abnormal y, their masks m and n
    fakes: Fakes | None = state.generators_joined(*shares[0].inputs()) if len(shares) == 1 else None
    # D1 and D2 of both domains, on fakes without gradient
    terms = _discriminator_update(state, shares, fakes)
    # G and H, against the discriminators that have just been updated
    terms |= _generator_update(state, shares, fakes)
    # the averaged G, which will generate
    update_average(state.g_ema, state.generators.norm2abnl, state.config.optim.ema_decay, state.step)
    return terms


def _share(part: Batch) -> Share:
    return Share(
        to_model_range(part.normal_image),
        part.expert_mask,
        to_model_range(part.abnormal_image),
        part.prior_mask,
        part.positions,
    )


def _as_mask(parts: Tensor) -> Tensor:
    return (parts > 0).float()


def _discriminator_update(state: TrainState, shares: Sequence[Share], fakes: Fakes | None) -> dict[str, Tensor]:
    state.optim_d.zero_grad(set_to_none=True)
    total: dict[str, Tensor] = {}
    for share in shares:
        if fakes is not None:
            made = fakes.fake_abnormal.detach(), fakes.fake_normal.detach()
        else:
            made = state.generators.first_pass(*share.inputs())
        with (
            # ranks exchange gradients once a step, and spectral norms are improved once, however many the parts
            gradients_joined(state.discriminators_joined, now=share is shares[-1]),
            power_iterated(state.discriminators, now=share is shares[0]),
        ):
            terms = _discriminator_terms(state, share, *made)
            ((terms["d1"] + terms["d2"]) / len(shares)).backward()  # type: ignore[no-untyped-call]
        add_terms(total, terms, len(shares))
    total["grad_d"] = gradient_norm(state.discriminators)
    state.optim_d.step()
    return total


def _discriminator_terms(
    state: TrainState, share: Share, fake_abnormal: Tensor, fake_normal: Tensor
) -> dict[str, Tensor]:
    weights, positions = state.config.loss, share.positions
    # some fakes are replaced by earlier ones, which bring their masks and so their boxes along
    shown_abnl = state.image_pools["abnl"].exchange(fake_abnormal, share.expert, positions)
    shown_norm = state.image_pools["norm"].exchange(fake_normal, share.prior, positions)
    logits = state.discriminators_joined(
        _look(state, share.abnormal, share.prior, positions, D_REAL),
        _look(state, *shown_abnl, positions, D_FAKE),
        _look(state, share.normal, share.expert, positions, D_REAL),
        _look(state, *shown_norm, positions, D_FAKE),
    )
    terms = {
        "d1_abnl": losses.loss_d1(logits[0], logits[1], weights),
        "d2_abnl": losses.loss_d2(logits[2], logits[3], weights),
        "d1_norm": losses.loss_d1(logits[4], logits[5], weights),
        "d2_norm": losses.loss_d2(logits[6], logits[7], weights),
    }
    return {"d1": terms["d1_abnl"] + terms["d1_norm"], "d2": terms["d2_abnl"] + terms["d2_norm"], **terms}


def _generator_update(state: TrainState, shares: Sequence[Share], fakes: Fakes | None) -> dict[str, Tensor]:
    state.optim_g.zero_grad(set_to_none=True)
    state.discriminators.requires_grad_(False)  # they judge, and learn nothing from it
    total: dict[str, Tensor] = {}
    for share in shares:
        with (
            gradients_joined(state.generators_joined, now=share is shares[-1]),
            power_iterated(state.discriminators, now=share is shares[0]),
        ):
            terms = _generator_terms(state, share, fakes or state.generators_joined(*share.inputs()))
            (_objective(terms, state.config.loss) / len(shares)).backward()  # type: ignore[no-untyped-call]
        add_terms(total, terms, len(shares))
    total["grad_g"] = gradient_norm(state.generators)
    state.optim_g.step()
    state.discriminators.requires_grad_(True)
    return total


def _objective(terms: dict[str, Tensor], weights: LossConfig) -> Tensor:
    """Eq. 8, with ours outside the mask; a term of weight 0 is left out, since 0 times a gradient of NaN is NaN."""
    weighted = {
        "adv_d1": 1.0,
        "adv_d2": weights.lambda_1,
        "cycle": weights.lambda_cycle,
        "aware": weights.lambda_aware,
        "outside": weights.lambda_outside,
    }
    return torch.stack([weight * terms[name] for name, weight in weighted.items() if weight]).sum()


def _generator_terms(state: TrainState, share: Share, fakes: Fakes) -> dict[str, Tensor]:
    normal, expert_mask, abnormal, prior_mask = share.inputs()
    fake_abnl = _look(state, fakes.fake_abnormal, share.expert, share.positions, G_FAKE)
    fake_norm = _look(state, fakes.fake_normal, share.prior, share.positions, G_FAKE)
    judge, weights = state.discriminators.judge, state.config.loss
    # the aware term compares contents, so it sees the fakes before augmentation
    plain_norm, plain_abnl = fake_norm, fake_abnl
    if state.config.augment.probability:
        plain_norm = see(fakes.fake_normal, share.prior, state.config)
        plain_abnl = see(fakes.fake_abnormal, share.expert, state.config)
    return {
        "adv_d1": losses.loss_adv_d1(judge("d1_abnl", fake_abnl), weights)
        + losses.loss_adv_d1(judge("d1_norm", fake_norm), weights),
        "adv_d2": losses.loss_adv_d2(judge("d2_abnl", fake_abnl), weights)
        + losses.loss_adv_d2(judge("d2_norm", fake_norm), weights),
        "cycle": losses.loss_cycle(fakes.cycled_normal, normal, expert_mask, weights.cycle_inside)
        + losses.loss_cycle(fakes.cycled_abnormal, abnormal, prior_mask, weights.cycle_inside),
        "outside": losses.loss_outside(fakes.fake_abnormal, normal, expert_mask)
        + losses.loss_outside(fakes.fake_normal, abnormal, prior_mask),
        "aware": _aware_term(state, share, plain_norm, plain_abnl),
    }


def _look(state: TrainState, image: Tensor, parts: Tensor, positions: Sequence[int], purpose: int) -> Seen:
    """What the discriminators see of an image, after augmentation."""
    changed = augment(image, parts, positions, state.config.augment, (state.config.seed, purpose))
    return see(*changed, state.config)


def _aware_term(state: TrainState, share: Share, fake_norm: Seen, fake_abnl: Seen) -> Tensor:
    """Eq. 7; both domains' crops side by side, so that the aware network runs once for real and once for generated.

    It does not run at all where the term weighs 0, and the term is then 0.
    """
    config = state.config
    if config.loss.lambda_aware == 0:
        return fake_norm.view.new_zeros(())
    real_norm, real_abnl = see(share.normal, share.expert, config), see(share.abnormal, share.prior, config)
    # [2 N], 0 where an image of the pair has no mask and so no crop to compare; K boxes an image: [2 N * K]
    weight = torch.cat([fake_norm.has_mask * real_norm.has_mask, fake_abnl.has_mask * real_abnl.has_mask])
    weight = weight.repeat_interleave(config.crop.parts)
    real = torch.cat([real_norm.crop, real_abnl.crop])[:, :3]  # [2 N * K, 3, 64, 64], without the mask's plane
    fake = torch.cat([fake_norm.crop, fake_abnl.crop])[:, :3]
    if config.loss.aware == "l2_pixels":
        return 2 * losses.loss_pixels(fake, real, weight)
    with torch.no_grad():
        real_features = state.features(real)
    return 2 * losses.loss_semantic(state.features(fake), real_features, weight, config.loss.aware_norm)
