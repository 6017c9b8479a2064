"""One training step against Eqs. 1 to 8 written out by hand, and the ways in which it may be computed."""

import math
from collections.abc import Callable
from shutil import which
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from anomaly_gan.config import CropConfig
from anomaly_gan.exemplars.exemplar import cut_exemplars
from anomaly_gan.exemplars.surroundings import surroundings
from anomaly_gan.gan import losses
from anomaly_gan.gan.aware_training import random_aware
from anomaly_gan.gan.method import AnomalyGan, build_anomaly_gan
from anomaly_gan.gan.state import DiscriminatorPass, GeneratorPass, Translated
from anomaly_gan.gan.step import NOISE_STREAM, Share, see, train_step
from anomaly_gan.networks.crops import crop, mask_boxes
from anomaly_gan.networks.noise import draw_noise
from anomaly_gan.networks.spectral import SpectralNorm
from anomaly_gan.samples.tensors import to_model_range
from anomaly_gan.training import image_pool
from anomaly_gan.training.batches import Batch
from tests.support.builders import (
    PRESETS,
    abnormal_sample,
    batch_source,
    equal_states,
    everything,
    gradients_of,
    train_config,
    train_state,
    weights_of,
)

pytestmark = pytest.mark.usefixtures("one_thread")

PAPER_FORM = {"adversarial": "paper", "aware_norm": "l2"}
LAMBDAS = ("lambda_1", "lambda_critic", "lambda_cycle", "lambda_aware", "lambda_outside")
FORMS = ("paper", "nonsaturating", "d2gan", "lsgan", "hinge")
POOL_AND_AUGMENT: dict[str, Any] = {"image_pool": 1, "augment": {"probability": 0.5}}


def still_discriminators(**changes: Any) -> AnomalyGan:
    """A state whose discriminators are not moved by their step, and whose logits depend on no running average or
    estimate."""
    model = {"discriminator_norm": "instance"} | changes.pop("model", {})
    state = train_state(train_config(model=model, **changes))
    state.optim_d.param_groups[0]["lr"] = 0
    for module in state.discriminators.modules():
        if isinstance(module, SpectralNorm):
            module.iterations = 0
    return state


def torn_batch(parts: int = 2, size: int = 2, step: int = 0) -> Batch:
    """A batch with masks of one and of two parts, the prior mask of the second pair among those of two; with texture of
    real anomalies."""
    torn = [abnormal_sample(i) for i in range(3)]
    for sample in torn[:2]:
        sample.masks["hole"][58:64, 2:12] = 1
    exemplars = cut_exemplars(torn, "hole", 64)
    batch = batch_source(abnormals=torn, batch_size=size, parts=parts, exemplars=exemplars).batch(step)
    assert parts == 1 or {1, 2} == {int(mask.max()) for mask in torch.cat([batch.prior_mask, batch.expert_mask])}
    return batch


def inputs(state: AnomalyGan, batch: Batch) -> tuple[Translated, Translated]:
    """What the generators take of a batch."""
    texture = None if batch.texture is None else batch.texture.float()
    normal, abnormal = to_model_range(batch.normal_image), to_model_range(batch.abnormal_image)
    share = Share(normal, batch.expert_mask, abnormal, batch.prior_mask, texture, batch.positions)
    return share.inputs(state.config)


def soft(mask: Tensor) -> Tensor:
    """The mean over the 5 x 5 pixels around each, or those of them that are there."""
    padded, there = (nn.functional.pad(each, (2, 2, 2, 2)) for each in (mask.float(), torch.ones_like(mask).float()))
    return nn.functional.avg_pool2d(padded, 5, 1) / nn.functional.avg_pool2d(there, 5, 1)


def within(mask: Tensor, px: int) -> Tensor:
    """All that is at most so many rows and columns away from the mask."""
    return nn.functional.max_pool2d(mask.float(), 2 * px + 1, 1, px)


# --- what the networks are shown


def test_masked_input_is_the_crop_of_image_times_mask_and_the_unmasked_view() -> None:
    config = train_config(model={"discriminator_input": "masked"})
    image, mask = torch.rand(2, 3, 64, 64), batch_source().batch(0).prior_mask
    seen = see(image, mask, config)
    boxes, _ = mask_boxes(mask, config.crop)
    assert torch.equal(seen.view, image)
    assert torch.equal(seen.crop, crop(image * mask, boxes))
    assert seen.has_mask.tolist() == [1, 1]


def test_mask_channel_input_is_the_image_with_the_soft_mask_beside_it_in_view_and_crop() -> None:
    config = train_config()
    image, mask = torch.rand(2, 3, 64, 64), batch_source().batch(0).prior_mask
    mask[1] = 0
    seen = see(image, mask, config)
    boxes, _ = mask_boxes(mask, config.crop)
    assert torch.equal(seen.view[:, :3], image)
    assert torch.allclose(seen.view[:, 3:], soft(mask), atol=1e-6)
    assert torch.equal(seen.crop[:, :3], crop(image, boxes))
    assert torch.allclose(seen.crop[:, 3:], crop(soft(mask), boxes), atol=1e-6)
    assert seen.has_mask.tolist() == [1, 0]


@pytest.mark.parametrize("kind", ["masked", "mask_channel"])
def test_the_numbers_of_parts_choose_the_boxes_and_are_never_shown(kind: str) -> None:
    config = train_config(model={"discriminator_input": kind}, crop={"parts": 2})
    image, parts = torch.rand(2, 3, 64, 64), torn_batch().prior_mask
    mask = (parts > 0).float()
    seen = see(image, parts, config)
    boxes, _ = mask_boxes(parts, config.crop)
    assert len(seen.crop) == 4
    if kind == "masked":
        assert torch.equal(seen.crop, crop(image * mask, boxes))
    else:
        assert torch.allclose(seen.view[:, 3:], soft(mask), atol=1e-6)
        assert torch.allclose(seen.crop, crop(torch.cat([image, soft(mask)], 1), boxes), atol=1e-6)


# --- one step against the equations


def by_hand(state: AnomalyGan, batch: Batch) -> dict[str, Tensor]:
    """Eqs. 1 to 7 as printed, with sigmoids and logarithms, each with its graph; of mask_channel states.

    Of each part there is one crop, taken as if the part were the whole mask; an image with fewer parts shows its
    largest again. The view is as small as the window of the critic of texture, which so sees all of it.
    """
    config = state.config
    normal, abnormal = to_model_range(batch.normal_image), to_model_range(batch.abnormal_image)
    expert, prior = batch.expert_mask, batch.prior_mask
    g, h = state.generators.norm2abnl, state.generators.abnl2norm
    expert_mask, prior_mask = (expert > 0).float(), (prior > 0).float()
    expert_noise, prior_noise = (
        torch.stack(
            [draw_noise([config.seed, NOISE_STREAM, of, at], config.model.noise_planes, 64) for at in batch.positions]
        )
        for of in (0, 1)
    )
    laid = own = None
    if config.model.content == "exemplar":
        assert batch.texture is not None
        laid = batch.texture.float()
        # an abnormal image's own texture, on the way back to it: so much of the way from its surroundings, at least 16
        # grey levels, to black or white
        around = surroundings(abnormal, within(prior_mask, 2))
        way = torch.where(abnormal < around, around + 1, 1 - around).clamp(min=16 / 127.5)
        own = ((abnormal - around) / way).clamp(-1, 1) * within(prior_mask, 4)
    fake_abnormal = g(normal, expert_mask, expert_noise, laid)
    fake_normal = h(abnormal, prior_mask, prior_noise, None)

    def crops(image: Tensor, parts: Tensor) -> list[Tensor]:
        """For each part, [N, C, 64, 64]."""
        one_box = CropConfig(margin=config.crop.margin, min_side_px=config.crop.min_side_px)
        if config.crop.parts == 1:
            return [crop(image, mask_boxes(parts, one_box)[0])]
        found = []
        for number in range(1, config.crop.parts + 1):
            there = [number if (mask == number).any() else 1 for mask in parts]
            chosen = torch.stack([mask == wanted for mask, wanted in zip(parts, there, strict=True)]).float()
            found.append(crop(image, mask_boxes(chosen, one_box)[0]))
        return found

    def judged(name: str, image: Tensor, parts: Tensor) -> Tensor:
        net, whole = state.discriminators.nets[name], torch.cat([image, soft(parts > 0)], 1)
        assert isinstance(net.global_subnet, nn.Module) and isinstance(net.head, nn.Linear)
        features = net.global_subnet(whole)
        if not config.model.global_only:
            assert isinstance(net.local_subnet, nn.Module)
            local = [net.local_subnet(cut) for cut in crops(whole, parts)]
            features = torch.cat([torch.stack(local).mean(0), features], 1)
        probability: Tensor = net.head(features).flatten().sigmoid()
        return probability

    def discriminated(role: str, domain: str) -> Tensor:
        image, image_mask, made, made_mask = {
            "abnl": (abnormal, prior, fake_abnormal, expert),
            "norm": (normal, expert, fake_normal, prior),
        }[domain]
        on_real = judged(f"{role}_{domain}", image, image_mask)
        on_fake = judged(f"{role}_{domain}", made.detach(), made_mask)
        high, low = (on_real, on_fake) if role == "d1" else (on_fake, on_real)
        return -high.log().mean() - (1 - low).log().mean()

    def critic(image: Tensor, mask: Tensor) -> Tensor:
        assert state.discriminators.critic is not None
        logits: Tensor = state.discriminators.critic(torch.cat([image, soft(mask)], 1), within(mask, 2))
        return logits.sigmoid()

    def aware(made: Tensor, made_mask: Tensor, image: Tensor, image_mask: Tensor) -> Tensor:
        distances = []
        for fake, real in zip(crops(made, made_mask), crops(image, image_mask), strict=True):
            if config.loss.aware == "l2_pixels":
                distances.append((fake - real).square().mean())
            else:
                taps = zip(state.aware(fake), state.aware(real), strict=True)
                distances.append(torch.stack([(a - b).square().mean() for a, b in taps]).sum())
        return torch.stack(distances).mean()

    def mean_where(change: Tensor, counted: Tensor, weight: Tensor | float = 1.0) -> Tensor:
        """Over the pixels that are counted, of each image."""
        changed = [each[:, where[0] == 1].mean() for each, where in zip(change.abs() * weight, counted, strict=True)]
        return torch.stack(changed).mean()

    def reach(mask: Tensor) -> Tensor:
        return within(mask, 8) if config.model.blend else torch.ones_like(mask)

    def cycle(cycled: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        return mean_where(cycled - image, reach(mask), torch.where(mask == 1, config.loss.cycle_inside, 1.0))

    def outside(made: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        return mean_where(made - image, reach(mask) * (1 - mask))

    of_each = {f"{role}_{domain}": discriminated(role, domain) for role in ("d1", "d2") for domain in ("abnl", "norm")}
    of_critic = {"critic": torch.zeros(()), "adv_critic": torch.zeros(())}
    if state.discriminators.critic is not None:
        on_real, on_fake = critic(abnormal, prior_mask), critic(fake_abnormal.detach(), expert_mask)
        of_critic = {
            "critic": -on_real.log().mean() - (1 - on_fake).log().mean(),
            "adv_critic": (1 - critic(fake_abnormal, expert_mask)).log().mean(),
        }
    cycled_normal = h(fake_abnormal, expert_mask, expert_noise, None)
    cycled_abnormal = g(fake_normal, prior_mask, prior_noise, own)
    return (
        of_each
        | of_critic
        | {
            "d1": of_each["d1_abnl"] + of_each["d1_norm"],
            "d2": of_each["d2_abnl"] + of_each["d2_norm"],
            "adv_d1": (1 - judged("d1_abnl", fake_abnormal, expert)).log().mean()
            + (1 - judged("d1_norm", fake_normal, prior)).log().mean(),
            "adv_d2": judged("d2_abnl", fake_abnormal, expert).log().mean()
            + judged("d2_norm", fake_normal, prior).log().mean(),
            "cycle": cycle(cycled_normal, normal, expert_mask) + cycle(cycled_abnormal, abnormal, prior_mask),
            "outside": outside(fake_abnormal, normal, expert_mask) + outside(fake_normal, abnormal, prior_mask),
            "aware": aware(fake_abnormal, expert, abnormal, prior) + aware(fake_normal, prior, normal, expert),
        }
    )


VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "without noise, exemplars and critic": {
        "model": {"noise_planes": 0, "content": "image", "texture_critic": False, "opacity_start": -2.0}
    },
    "whole images": {"model": {"blend": False, "noise_planes": 0, "content": "image"}},
    "filling": {"model": {"content": "filling"}},
    "colour": {"model": {"gray": False}},
    "batch norm": {"model": {"discriminator_norm": "batch"}},
    "two parts": {"crop": {"parts": 2}},
    "three parts": {"crop": {"parts": 3}},
    "global only": {"model": {"global_only": True}},
    "pixels": {"loss": {"aware": "l2_pixels"}},
    "pixels of two parts": {"loss": {"aware": "l2_pixels"}, "crop": {"parts": 2}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_terms_of_a_step_are_the_equations(variant: str) -> None:
    changes = VARIANTS[variant]
    changes = changes | {"loss": PAPER_FORM | changes.get("loss", {})}
    state = still_discriminators(**changes)
    batch = torn_batch(state.config.crop.parts)
    wanted = by_hand(state, batch)
    terms = train_step(state, batch)
    assert set(terms) == set(AnomalyGan.terms) == {*wanted, "grad_d", "grad_g"}
    assert all(term.shape == () and not term.requires_grad for term in terms.values())
    for name, value in wanted.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-4), name


def generator_gradient(weights: dict[str, float], parts: int = 1) -> Tensor:
    """The generators' gradient of one step in the paper's form, with all weights 0 but these."""
    nothing = dict.fromkeys(LAMBDAS, 0.0)
    state = still_discriminators(loss=PAPER_FORM | nothing | weights, crop={"parts": parts})
    terms = train_step(state, torn_batch(parts))
    gradient = gradients_of(state.generators)
    assert terms["grad_g"].item() == pytest.approx(gradient.norm().item(), rel=1e-4)
    return gradient


def gradient_by_hand(name: str, parts: int = 1) -> Tensor:
    state = still_discriminators(crop={"parts": parts})
    by_hand(state, torn_batch(parts))[name].backward()  # type: ignore[no-untyped-call]
    return gradients_of(state.generators)


def close(first: Tensor, second: Tensor) -> bool:
    return bool((first - second).norm() <= 1e-3 * second.norm()) and bool(second.norm() > 0)


@pytest.mark.parametrize("parts", [1, 2])
def test_with_every_weight_0_the_generators_follow_d1_alone(parts: int) -> None:
    assert close(generator_gradient({}, parts), gradient_by_hand("adv_d1", parts))


@pytest.mark.parametrize(
    ("weight", "term"),
    [
        ("lambda_1", "adv_d2"),
        ("lambda_critic", "adv_critic"),
        ("lambda_cycle", "cycle"),
        ("lambda_aware", "aware"),
        ("lambda_outside", "outside"),
    ],
)
def test_a_weight_multiplies_the_gradient_of_its_term_and_of_no_other(weight: str, term: str) -> None:
    nothing, once, twice = (generator_gradient({weight: value}) for value in (0.0, 1.0, 2.0))
    assert close(once - nothing, gradient_by_hand(term))
    assert close(twice - nothing, 2 * (once - nothing))


def test_an_aware_term_of_weight_0_is_told_as_0_and_does_not_run_the_aware_network() -> None:
    """So an aware network that overflows spoils nothing."""
    state = train_state(train_config(loss={"lambda_aware": 0.0}))
    with torch.no_grad():
        next(state.aware.parameters()).fill_(math.nan)
    state.aware.register_forward_pre_hook(lambda *_: pytest.fail("the aware network ran"))
    terms = train_step(state, torn_batch(1))
    assert terms["aware"] == 0
    assert all(math.isfinite(term) for term in terms.values())


@pytest.mark.parametrize("weight", ["lambda_1", "lambda_cycle", "lambda_outside"])
def test_a_term_of_weight_0_passes_back_no_gradient_that_is_not_finite(
    weight: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 times infinity would be NaN."""
    loss = {"lambda_1": "loss_adv_d2", "lambda_cycle": "loss_cycle", "lambda_outside": "loss_outside"}[weight]
    monkeypatch.setattr(losses, loss, lambda image, *_: image.float().square().sum().mul(0).sqrt())
    state = train_state(train_config(loss={weight: 0.0}))
    assert math.isfinite(train_step(state, torn_batch(1))["grad_g"])


@pytest.mark.parametrize("parts", [1, 2])
def test_the_discriminators_gradient_is_that_of_their_own_terms_alone(parts: int) -> None:
    state, other = (still_discriminators(crop={"parts": parts}) for _ in range(2))
    told = train_step(state, torn_batch(parts))["grad_d"]
    terms = by_hand(other, torn_batch(parts))
    other.discriminators.zero_grad()
    (terms["d1"] + terms["d2"] + terms["critic"]).backward()  # type: ignore[no-untyped-call]
    assert close(gradients_of(state.discriminators), gradients_of(other.discriminators))
    assert told.item() == pytest.approx(gradients_of(other.discriminators).norm().item(), rel=1e-4)


LOSSES: list[dict[str, Any]] = [
    *({"adversarial": form} for form in FORMS),
    *({"aware_norm": norm} for norm in ("l2", "l1", "gram", "channel_mean", "energy")),
    {"aware": "l2_pixels"},
    {"adversarial": "d2gan", "d2gan_alpha": 0.5, "d2gan_beta": 0.1},
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: " ".join(map(str, loss.values())))
def test_every_form_and_norm_gives_finite_terms_and_gradients(loss: dict[str, Any]) -> None:
    state = train_state(train_config(loss=loss, crop={"parts": 2}))
    terms = train_step(state, torn_batch())
    assert all(math.isfinite(term) for term in terms.values())
    assert terms["grad_d"] > 0 and terms["grad_g"] > 0 and terms["aware"] > 0


def test_the_generators_part_changes_no_weight_of_the_discriminators_and_gives_them_back_trainable() -> None:
    state = still_discriminators()
    before = {name: parameter.clone() for name, parameter in state.discriminators.named_parameters()}
    train_step(state, batch_source().batch(0))
    for name, parameter in state.discriminators.named_parameters():
        assert torch.equal(parameter, before[name]), name
        assert parameter.requires_grad, name


@pytest.mark.parametrize("preset", PRESETS)
def test_a_step_moves_every_generator_and_discriminator_and_leaves_the_aware_network(preset: str) -> None:
    state = train_state(train_config(**PRESETS[preset]), random_aware(0))
    parts: dict[str, nn.Module] = dict(state.generators.named_children()) | dict(state.discriminators.nets.items())
    if state.discriminators.critic is not None:
        parts["critic"] = state.discriminators.critic
    assert len(parts) == {"stable": 7, "paper": 6}[preset]
    before, aware = {name: weights_of(part) for name, part in parts.items()}, weights_of(state.aware)
    terms = train_step(state, batch_source().batch(0))
    assert all(math.isfinite(term) for term in terms.values())
    for name, part in parts.items():
        for key, parameter in part.named_parameters():
            assert not torch.equal(parameter, before[name][key]), f"{name}.{key}"
    assert equal_states(weights_of(state.aware), aware)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_batch_without_masks_still_has_finite_terms_and_no_aware_term(parts: int) -> None:
    whole = batch_source().batch(0)
    empty = Batch(whole.normal_image, whole.expert_mask * 0, whole.abnormal_image, whole.prior_mask * 0, (0, 1))
    for preset in PRESETS.values():
        crops = preset.get("crop", {}) | {"parts": parts}
        terms = train_step(train_state(train_config(**preset | {"crop": crops})), empty)
        assert terms["aware"] == 0
        assert all(math.isfinite(term) for term in terms.values())


@pytest.mark.parametrize(("norm", "parts"), [("channel_mean", 1), ("channel_mean", 2), ("energy", 1)])
def test_a_pair_with_an_empty_mask_counts_as_a_pair_without_an_aware_term(norm: str, parts: int) -> None:
    batch = torn_batch(parts)
    batch.prior_mask[0] = 0
    _, lone = batch.split(2)
    changes: dict[str, Any] = {"crop": {"parts": parts}, "loss": {"aware_norm": norm}}
    both, one = (train_step(still_discriminators(**changes), part)["aware"] for part in (batch, lone))
    assert both.item() == pytest.approx(one.item() / 2, rel=1e-5)


def test_a_state_depends_on_its_seed() -> None:
    first, again, other = (train_state(train_config(seed=seed)).generators for seed in (1, 1, 2))
    assert equal_states(first.state_dict(), again.state_dict())
    assert not equal_states(first.state_dict(), other.state_dict())


def test_networks_are_wrapped_one_by_one_and_a_step_goes_through_the_wrapping() -> None:
    class Counted(nn.Module):
        calls = 0

        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *args: Any) -> Any:
            self.calls += 1
            return self.inner(*args)

    config = train_config()
    plain = train_state(config)
    state = build_anomaly_gan(config, 64, plain.aware, plain.device, Counted)
    wrapped = (state.generators_joined, state.discriminators_joined)
    assert [type(network.inner) for network in wrapped] == [GeneratorPass, DiscriminatorPass]
    train_step(state, batch_source().batch(0))
    assert [network.calls for network in wrapped] == [1, 1]


# --- what the discriminators see


class Shown:
    """The images and masks, [N, 4, 64, 64], that one discriminator was shown in the last step, by whom."""

    def __init__(self, state: AnomalyGan, name: str) -> None:
        self._state = state
        self._calls: list[Tensor] = []
        state.discriminators.nets[name].register_forward_pre_hook(
            lambda _, args: self._calls.append(args[0].detach().clone())
        )

    def step(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Train on a batch; (real, generated for the discriminators, generated for the generators)."""
        self._calls.clear()
        train_step(self._state, batch)
        self._state.step += 1
        [both, for_generators] = self._calls
        real, generated = both.chunk(2)
        return real, generated, for_generators


@pytest.mark.parametrize(("domain", "mask"), [("abnl", "expert_mask"), ("norm", "prior_mask")])
def test_the_discriminators_see_an_earlier_image_with_its_own_mask_and_the_generators_never(
    domain: str, mask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_pool, "RETURN_PROBABILITY", 1.0)
    shown = Shown(train_state(train_config(image_pool=1)), f"d1_{domain}")
    first, second = (batch_source().batch(step) for step in range(2))
    _, made_first, for_generators = shown.step(first)
    assert torch.equal(made_first, for_generators)
    assert torch.allclose(made_first[:, 3:], soft(getattr(first, mask)), atol=1e-6)
    _, shown_again, for_generators = shown.step(second)
    assert torch.equal(shown_again, made_first)
    assert torch.allclose(for_generators[:, 3:], soft(getattr(second, mask)), atol=1e-6)
    assert not torch.equal(for_generators[:, :3], made_first[:, :3])


def test_without_an_image_pool_both_see_what_was_just_made() -> None:
    shown = Shown(train_state(train_config(image_pool=0)), "d2_abnl")
    for step in range(3):
        real, generated, for_generators = shown.step(batch_source().batch(step))
        assert torch.equal(generated, for_generators)
        assert torch.equal(real[:, :3], to_model_range(batch_source().batch(step).abnormal_image))


def test_real_and_generated_images_are_augmented_each_in_its_own_way() -> None:
    batch = batch_source().batch(0)
    plain = Shown(train_state(train_config(image_pool=0)), "d1_abnl").step(batch)
    changed = Shown(train_state(train_config(image_pool=0, augment={"probability": 1.0})), "d1_abnl").step(batch)
    assert not any(torch.equal(one, other) for one, other in zip(plain, changed, strict=True))
    assert not torch.equal(changed[1], changed[2])
    again = Shown(train_state(train_config(image_pool=0, augment={"probability": 1.0})), "d1_abnl").step(batch)
    assert all(torch.equal(one, other) for one, other in zip(changed, again, strict=True))


def test_an_earlier_image_is_kept_as_it_was_made_and_augmented_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_pool, "RETURN_PROBABILITY", 1.0)
    state = train_state(train_config(image_pool=1, augment={"probability": 1.0}))
    shown, batch = Shown(state, "d1_abnl"), batch_source().batch(0)
    made, _ = state.generators.first_pass(*inputs(state, batch))
    _, first, _ = shown.step(batch)
    kept = torch.stack([state.image_pools["abnl"].histories[place][0][0] for place in range(2)])
    assert torch.equal(kept, made)
    _, second, _ = shown.step(batch_source().batch(1))
    assert not torch.equal(first, second)


def test_augmentation_changes_what_is_judged_and_neither_cycle_nor_outside_nor_aware_term() -> None:
    plain, changed = (
        train_step(still_discriminators(augment={"probability": probability}, crop={"parts": 2}), torn_batch())
        for probability in (0.0, 1.0)
    )
    for name in ("cycle", "outside", "aware"):
        assert torch.equal(plain[name], changed[name]), name
    for name in ("d1", "d2", "adv_d1", "adv_d2"):
        assert not torch.isclose(plain[name], changed[name], rtol=1e-6), name


def test_the_generators_gradient_goes_through_the_augmentation() -> None:
    state = still_discriminators(augment={"probability": 1.0}, loss=dict.fromkeys(LAMBDAS, 0.0))
    assert train_step(state, torn_batch(1))["grad_g"] > 0


# --- ways of computing the same


def trained(steps: int = 2, **changes: Any) -> tuple[AnomalyGan, list[dict[str, float]]]:
    """A state after some steps on batches of 4, and their terms.

    AdamW's first steps have the sign of the gradient, also of one that is 0 but for rounding; a larger epsilon lets
    such ones rest.
    """
    config = train_config(batch_size=4, **changes)
    state = train_state(config)
    for optimizer in (state.optim_g, state.optim_d):
        optimizer.param_groups[0]["eps"] = 1e-3
    terms = []
    for step in range(steps):
        batch = torn_batch(config.crop.parts, size=4, step=step)
        terms.append({name: term.item() for name, term in train_step(state, batch).items()})
        state.step += 1
    return state, terms


def assert_same(
    first: tuple[AnomalyGan, list[dict[str, float]]], second: tuple[AnomalyGan, list[dict[str, float]]], within: float
) -> None:
    for one, other in zip(first[1], second[1], strict=True):
        assert other == pytest.approx(one, rel=within)
    for name in ("generators", "discriminators", "g_ema"):
        mine, its = (dict(getattr(state, name).named_parameters()) for state, _ in (first, second))
        for key, parameter in mine.items():
            assert torch.allclose(parameter, its[key], atol=within, rtol=0), f"{name}.{key}"


@pytest.mark.parametrize(
    ("norm", "count", "extra"),
    [("instance", 4, {}), ("spectral", 2, POOL_AND_AUGMENT | {"crop": {"parts": 2}})],
    ids=["instance norm", "spectral norm, pool, augmentation and two crops"],
)
def test_a_batch_in_parts_gives_the_terms_and_the_weights_of_the_whole_batch(
    norm: str, count: int, extra: dict[str, Any]
) -> None:
    """With an aware term of single pairs; `energy` compares the generated ones of a part with each other."""
    changes = extra | {"model": {"discriminator_norm": norm}, "loss": {"aware_norm": "channel_mean"}}
    assert_same(trained(**changes), trained(compute={"accumulate": count}, **changes), 1e-4)


def test_the_fakes_of_a_batch_in_parts_are_made_again_for_the_generators() -> None:
    """So only one part's graph is there at a time."""
    state = train_state(train_config(batch_size=4, compute={"accumulate": 2}))
    calls: list[tuple[int, bool]] = []
    state.generators.norm2abnl.register_forward_pre_hook(
        lambda _, args: calls.append((len(args[0]), torch.is_grad_enabled()))
    )
    train_step(state, torn_batch(1, size=4))
    assert calls == [(2, False)] * 2 + [(2, True)] * 4


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_recomputing_gives_the_same_gradients_weights_and_running_statistics(norm: str) -> None:
    model = {"generator_norm": norm, "discriminator_norm": norm}
    plain, again = trained(model=model), trained(model=model, compute={"recompute": True})
    assert_same(plain, again, 1e-7)
    assert torch.allclose(gradients_of(plain[0].generators), gradients_of(again[0].generators), rtol=1e-6)
    buffers = dict(again[0].generators.named_buffers())
    for name, buffer in plain[0].generators.named_buffers():
        if "running" in name:
            assert torch.equal(buffer, buffers[name]), name


def test_recomputing_runs_the_generators_again_in_the_backward_pass() -> None:
    state = train_state(train_config(compute={"recompute": True}))
    calls: list[bool] = []
    state.generators.norm2abnl.register_forward_pre_hook(lambda *_: calls.append(True))
    train_step(state, torn_batch(1))
    assert len(calls) == 4


@pytest.mark.parametrize("norm", ["batch", "sync"])
def test_the_fakes_of_the_discriminators_alone_leave_no_trace_in_running_statistics(norm: str) -> None:
    state, batch = train_state(train_config(model={"generator_norm": norm})), torn_batch(1)
    before = {name: buffer.clone() for name, buffer in state.generators.named_buffers() if "running" in name}
    fakes = state.generators.first_pass(*inputs(state, batch))
    after = dict(state.generators.named_buffers())
    assert before and all(torch.equal(buffer, after[name]) for name, buffer in before.items())
    both = state.generators(*inputs(state, batch))
    assert torch.equal(fakes[0], both.fake_abnormal) and torch.equal(fakes[1], both.fake_normal)
    assert not any(fake.requires_grad for fake in fakes)
    assert not any(torch.equal(buffer, after[name]) for name, buffer in before.items())


def test_batch_norm_in_parts_takes_each_part_into_the_running_statistics_once() -> None:
    model = {"generator_norm": "batch"}
    state, batch = (
        train_state(train_config(batch_size=4, model=model, compute={"accumulate": 2})),
        torn_batch(1, size=4),
    )
    other = train_state(train_config(batch_size=4, model=model))
    train_step(state, batch)
    for part in batch.split(2):
        other.generators(*inputs(other, part))
    wanted = dict(other.generators.named_buffers())
    for name, buffer in state.generators.named_buffers():
        if "running" in name:
            assert torch.allclose(buffer, wanted[name], atol=1e-6), name


def test_channels_last_is_only_a_layout() -> None:
    plain, other = trained(**POOL_AND_AUGMENT), trained(compute={"channels_last": True}, **POOL_AND_AUGMENT)
    assert_same(plain, other, 1e-4)
    kernels = [p for p in other[0].generators.parameters() if p.ndim == 4 and p.shape[1] > 1]
    assert kernels and all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


def test_bf16_changes_terms_by_a_few_percent_and_only_the_networks_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = trained(1, loss={"aware_norm": "l2"})
    given: list[tuple[str, torch.dtype]] = []

    def spied(name: str) -> Callable[..., Tensor]:
        original = getattr(losses, name)

        def call(first: Tensor, *rest: Any) -> Tensor:
            loss: Tensor = original(first, *rest)
            given.extend([(name, first.dtype), (f"result of {name}", loss.dtype)])
            return loss

        return call

    for name in ("loss_d1", "loss_adv_d2", "loss_cycle", "loss_outside"):
        monkeypatch.setattr(losses, name, spied(name))
    state, [terms] = trained(1, loss={"aware_norm": "l2"}, compute={"precision": "bf16"})
    assert terms == pytest.approx(plain[1][0], rel=0.05)
    assert all(terms[name] != plain[1][0][name] for name in ("d1", "cycle", "aware"))
    assert len(given) == 18 and {dtype for _, dtype in given} == {torch.float32}
    for module in (state.generators, state.discriminators, state.aware, state.g_ema):
        assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}
    assert {parameter.grad.dtype for parameter in state.generators.parameters() if parameter.grad is not None} == {
        torch.float32
    }
    assert all(image.dtype == torch.float32 for image, _ in state.image_pools["abnl"].histories[0])


@pytest.mark.filterwarnings("ignore")  # torch's own, on its way through the bytecode
@pytest.mark.parametrize(
    ("backend", "norm"),
    [("eager", "spectral"), ("eager", "batch"), pytest.param("aot_eager", "spectral", marks=pytest.mark.slow)],
)
def test_compiled_networks_give_the_same_terms_and_weights(
    backend: str, norm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the default backend, which takes minutes and a C++ compiler."""
    compiled: list[Any] = []
    original = torch.compile

    def told(function: Any, *args: Any, **options: Any) -> Any:
        compiled.append(function)
        return original(function, *args, backend=backend, **options)

    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", told)
    model = {"discriminator_norm": norm}
    plain, state = trained(1, model=model), trained(1, model=model, compute={"compile": True})
    assert len(compiled) == 7
    assert_same(plain, state, 1e-4)
    for name in ("generators", "discriminators"):
        assert everything(plain[0])[name].keys() == everything(state[0])[name].keys()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not any(map(which, ("g++", "clang++"))), reason="Inductor needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # torch's own, on its way through the bytecode
def test_networks_compiled_by_inductor_give_the_same_terms_and_weights() -> None:
    torch.compiler.reset()
    assert_same(trained(1), trained(1, compute={"compile": True}), 1e-4)


def test_all_ways_together_compute_the_same() -> None:
    compute = {"accumulate": 2, "recompute": True, "channels_last": True}
    extra: dict[str, Any] = POOL_AND_AUGMENT | {"crop": {"parts": 2}, "loss": {"aware_norm": "channel_mean"}}
    assert_same(trained(**extra), trained(compute=compute, **extra), 1e-4)
