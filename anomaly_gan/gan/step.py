"""One training step as the paper has it: fakes, discriminators, generators, averaged weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torchvision.ops import roi_align

from anomaly_gan.config import LossConfig, ModelConfig, TrainConfig
from anomaly_gan.exemplars.assembling import RING_PX
from anomaly_gan.exemplars.exemplar import OUTLINE_PX
from anomaly_gan.exemplars.surroundings import surroundings
from anomaly_gan.gan import losses
from anomaly_gan.gan.state import Fakes, Seen, TrainState, Translated, power_iterated
from anomaly_gan.networks.base import grown
from anomaly_gan.networks.crops import crop, mask_boxes
from anomaly_gan.networks.noise import draw_noise
from anomaly_gan.networks.texture_critic import GROWN_PX, WINDOW_PX
from anomaly_gan.samples.contrast import contrast_to
from anomaly_gan.samples.tensors import to_model_range
from anomaly_gan.training.augmentation import augment
from anomaly_gan.training.batches import Batch
from anomaly_gan.training.joining import gradients_joined
from anomaly_gan.training.optimization import add_terms, gradient_norm, update_average

D_REAL, D_FAKE, G_FAKE = range(3)
"""Why the discriminators look at an image: as real, as generated, or to teach the generators.

Each look has an augmentation of its own."""


NOISE_STREAM, WINDOW_STREAM = 6, 7
"""Numbers of these uses of chance beside the seed; each use has its own, so that none repeats another."""
EXPERT, PRIOR = range(2)
"""Which mask the noise belongs to."""
NATIVE_PLANES = 5
"""What the critic of texture gets: the image, the mask, and where it judges."""
SOFT_PX = 2


@dataclass(frozen=True)
class Share:
    """A part of a batch in the networks' range.

    normal, abnormal [N, 3, H, W] in [-1, 1]; expert, prior [N, 1, H, W] uint8 numbers of parts, 0 outside; texture
    [N, 1 or 3, H, W] in half ranges, how the anomalies of the expert masks are to differ from their surroundings.
    """

    normal: Tensor
    expert: Tensor
    abnormal: Tensor
    prior: Tensor
    texture: Tensor | None
    positions: tuple[int, ...]

    def inputs(self, config: TrainConfig) -> tuple[Translated, Translated]:
        """What the generators take, towards abnormal and towards normal images."""
        return (
            Translated(self.normal, _as_mask(self.expert), self._noise(config, EXPERT), self.texture),
            Translated(self.abnormal, _as_mask(self.prior), self._noise(config, PRIOR), self._own_texture(config)),
        )

    def _own_texture(self, config: TrainConfig) -> Tensor | None:
        """[N, 1 or 3, H, W] how the abnormal images differ from the surroundings of their masks, as `texture` is."""
        if config.model.content != "exemplar":
            return None
        mask = _as_mask(self.prior)
        smooth = surroundings(self.abnormal, grown(mask, OUTLINE_PX))
        texture = contrast_to(self.abnormal, smooth) * grown(mask, RING_PX)
        return texture[:, :1] if config.model.gray else texture

    def _noise(self, config: TrainConfig, of: int) -> Tensor:
        """[N, P, H, W], of each pair by its position alone."""
        seed, planes, size = [config.seed, NOISE_STREAM, of], config.model.noise_planes, self.normal.shape[-1]
        drawn = [draw_noise([*seed, position], planes, size, self.normal.device) for position in self.positions]
        return torch.stack(drawn)


def see(image: Tensor, parts: Tensor, config: TrainConfig, windows: Tensor | None = None) -> Seen:
    """Add the mask as the config says, and cut the crops around it.

    Args:
        image: [N, 3, H, W] in [-1, 1].
        parts: [N, 1, H, W] uint8, 0 outside the mask.
        windows: [N, H, W] random numbers that choose what the critic of texture sees; None = nothing.
    """
    boxes, has_mask = mask_boxes(parts, config.crop)
    mask = _as_mask(parts)
    view = torch.cat([image, softened(mask)], 1)
    if windows is None:
        native = image.new_zeros(len(image), NATIVE_PLANES, 0, 0)
    else:
        native = native_window(torch.cat([view, grown(mask, GROWN_PX)], 1), mask, windows)
    if config.model.discriminator_input == "masked":
        return Seen(image, crop(image * mask, boxes), has_mask, native)
    return Seen(view, crop(view, boxes), has_mask, native)


def softened(mask: Tensor) -> Tensor:
    """The mask [N, 1, H, W] as discriminators see it: without the steps of its outline.

    These differ between masks as they were drawn and those that were turned, and would tell which are generated.
    """
    return avg_pool2d(mask, 2 * SOFT_PX + 1, 1, SOFT_PX, count_include_pad=False)


def native_window(planes: Tensor, mask: Tensor, numbers: Tensor) -> Tensor:
    """A window of WINDOW_PX, or the whole view where that is smaller, around a random pixel of each mask.

    Args:
        planes: [N, C, H, W].
        mask: [N, 1, H, W] in {0, 1}.
        numbers: [N, H, W] above 0; the window lies around the mask's pixel with the largest.
    """
    size = min(WINDOW_PX, planes.shape[-1])
    width = planes.shape[-1]
    chosen = (numbers * mask[:, 0]).flatten(1).argmax(1)
    x, y = chosen % width, torch.div(chosen, width, rounding_mode="floor")
    left, top = ((at - size // 2).clamp(0, width - size).to(planes.dtype) for at in (x, y))
    rows = torch.arange(len(planes), device=planes.device, dtype=planes.dtype)
    # boxes of whole pixels, as large as what they are resized to: each value is one pixel's
    boxes = torch.stack([rows, left, top, left + size, top + size], 1)
    window: Tensor = roi_align(planes, boxes, size, sampling_ratio=1, aligned=True)
    return window


def train_step(state: TrainState, batch: Batch) -> dict[str, Tensor]:
    """One update of the discriminators, then one of the generators.

    The fakes are made once for both. Where a batch is computed in several parts, only one part's graph is kept at
    a time, so its fakes are made again for the generators.

    Returns:
        Unweighted terms, scalars [], named as in `AnomalyGan.terms`.
    """
    shares = [share_of(part) for part in batch.split(state.config.compute.accumulate)]
    # both cycles, G(x, m), H(G(x, m), m), H(y, n), G(H(y, n), n): normal x, abnormal y, their masks m and n
    fakes: Fakes | None = state.generators_joined(*shares[0].inputs(state.config)) if len(shares) == 1 else None
    # D1 and D2 of both domains, on fakes without gradient
    terms = _discriminator_update(state, shares, fakes)
    # G and H, against the discriminators that have just been updated
    terms |= _generator_update(state, shares, fakes)
    # the averaged G, which will generate
    update_average(state.g_ema, state.generators.norm2abnl, state.config.optim.ema_decay, state.step)
    return terms


def share_of(part: Batch) -> Share:
    """A batch, or a part of one, in the networks' range."""
    return Share(
        to_model_range(part.normal_image),
        part.expert_mask,
        to_model_range(part.abnormal_image),
        part.prior_mask,
        None if part.texture is None else part.texture.float(),
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
            made = state.generators.first_pass(*share.inputs(state.config))
        with (
            # ranks exchange gradients once a step, and spectral norms are improved once, however many the parts
            gradients_joined(state.discriminators_joined, now=share is shares[-1]),
            power_iterated(state.discriminators, now=share is shares[0]),
        ):
            terms = _discriminator_terms(state, share, *made)
            ((terms["d1"] + terms["d2"] + terms["critic"]) / len(shares)).backward()  # type: ignore[no-untyped-call]
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
        look(state, share.abnormal, share.prior, positions, D_REAL),
        look(state, *shown_abnl, positions, D_FAKE),
        look(state, share.normal, share.expert, positions, D_REAL),
        look(state, *shown_norm, positions, D_FAKE),
    )
    terms = {
        "d1_abnl": losses.loss_d1(logits[0], logits[1], weights),
        "d2_abnl": losses.loss_d2(logits[2], logits[3], weights),
        "d1_norm": losses.loss_d1(logits[4], logits[5], weights),
        "d2_norm": losses.loss_d2(logits[6], logits[7], weights),
    }
    terms = {"d1": terms["d1_abnl"] + terms["d1_norm"], "d2": terms["d2_abnl"] + terms["d2_norm"], **terms}
    terms["critic"] = losses.loss_d1(logits[8], logits[9], weights) if logits[8:] else share.normal.new_zeros(())
    return terms


def _generator_update(state: TrainState, shares: Sequence[Share], fakes: Fakes | None) -> dict[str, Tensor]:
    state.optim_g.zero_grad(set_to_none=True)
    state.discriminators.requires_grad_(False)  # they judge, and learn nothing from it
    total: dict[str, Tensor] = {}
    for share in shares:
        with (
            gradients_joined(state.generators_joined, now=share is shares[-1]),
            power_iterated(state.discriminators, now=share is shares[0]),
        ):
            terms = _generator_terms(state, share, fakes or state.generators_joined(*share.inputs(state.config)))
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
        "adv_critic": weights.lambda_critic,
        "cycle": weights.lambda_cycle,
        "aware": weights.lambda_aware,
        "outside": weights.lambda_outside,
    }
    return torch.stack([weight * terms[name] for name, weight in weighted.items() if weight]).sum()


def _generator_terms(state: TrainState, share: Share, fakes: Fakes) -> dict[str, Tensor]:
    normal, expert_mask, abnormal, prior_mask = (
        share.normal,
        _as_mask(share.expert),
        share.abnormal,
        _as_mask(share.prior),
    )
    fake_abnl = look(state, fakes.fake_abnormal, share.expert, share.positions, G_FAKE)
    fake_norm = look(state, fakes.fake_normal, share.prior, share.positions, G_FAKE)
    judge, weights = state.discriminators.judge, state.config.loss
    reach = [_reachable(mask, state.config.model) for mask in (expert_mask, prior_mask)]
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
        "adv_critic": losses.loss_adv_d1(state.discriminators.judge_texture(fake_abnl.native), weights)
        if state.discriminators.critic is not None
        else normal.new_zeros(()),
        "cycle": losses.loss_cycle(fakes.cycled_normal, normal, expert_mask, reach[0], weights.cycle_inside)
        + losses.loss_cycle(fakes.cycled_abnormal, abnormal, prior_mask, reach[1], weights.cycle_inside),
        "outside": losses.loss_outside(fakes.fake_abnormal, normal, expert_mask, reach[0])
        + losses.loss_outside(fakes.fake_normal, abnormal, prior_mask, reach[1]),
        "aware": _aware_term(state, share, plain_norm, plain_abnl),
    }


def _reachable(mask: Tensor, model: ModelConfig) -> Tensor:
    """[N, 1, H, W] in {0, 1}, where a generator can change its input."""
    return grown(mask, model.reach_px) if model.blend else torch.ones_like(mask)


def look(state: TrainState, image: Tensor, parts: Tensor, positions: Sequence[int], purpose: int) -> Seen:
    """What the discriminators see of an image, after augmentation."""
    config = state.config
    image, parts = augment(image, parts, positions, config.augment, (config.seed, purpose))
    if not config.model.texture_critic:
        return see(image, parts, config)
    size, device = image.shape[-1], image.device
    drawn = [draw_noise([config.seed, WINDOW_STREAM, purpose, at], 1, size, device) for at in positions]
    return see(image, parts, config, torch.cat(drawn).exp())


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
        real_taps = [tap.chunk(2) for tap in state.features(real)]
    fake_taps = [tap.chunk(2) for tap in state.features(fake)]
    of_domains = [
        losses.loss_semantic([tap[k] for tap in fake_taps], [tap[k] for tap in real_taps], part, config.loss.aware_norm)
        for k, part in enumerate(weight.chunk(2))
    ]
    return torch.stack(of_domains).sum()
