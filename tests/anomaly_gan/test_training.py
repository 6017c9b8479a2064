"""One training step against Eqs. 1 to 8 written out by hand, and the loop around it."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from anomaly_gan import training
from anomaly_gan.aware_training import random_aware
from anomaly_gan.batches import Batch
from anomaly_gan.checkpoint import checkpoint_bytes, restore
from anomaly_gan.config import ModelConfig, TrainConfig
from anomaly_gan.crops import crop, mask_boxes
from anomaly_gan.data import to_model_range
from anomaly_gan.train_state import (
    DiscriminatorPass,
    GeneratorPass,
    TrainState,
    build_state,
    check_generator,
    check_ranks,
)
from anomaly_gan.training import (
    TERMS,
    is_due,
    learning_rate_factor,
    run,
    see,
    train_step,
)
from infra.errors import TrainingError, UsageError
from tests.builders import (
    PAPER_NETWORKS,
    batch_source,
    equal_states,
    gradients_of,
    train_config,
    train_state,
    weights_of,
)

pytestmark = pytest.mark.usefixtures("one_thread")

PAPER_LOSS = {"adversarial": "paper", "lambda_cycle": 1.0, "lambda_outside": 0.0, "aware_norm": "l2"}
PRESETS = {"stable": {}, "paper": {"model": PAPER_NETWORKS, "loss": PAPER_LOSS, "crop": {"margin": 0}}}


def still_discriminators(**changes: Any) -> TrainState:
    """A state whose discriminators are not moved by their step, and whose logits depend on no running average."""
    model = {"discriminator_norm": "batch"} | changes.pop("model", {})
    state = train_state(train_config(model=model, **changes))
    state.optim_d.param_groups[0]["lr"] = 0
    return state


def everything(state: TrainState) -> dict[str, Any]:
    names = ("generators", "discriminators", "aware", "g_ema", "optim_g", "optim_d")
    return {"step": state.step} | {name: getattr(state, name).state_dict() for name in names}


# --- what the networks are shown


def test_masked_input_is_the_crop_of_image_times_mask_and_the_unmasked_view() -> None:
    config = train_config(model={"discriminator_input": "masked"})
    image, mask = torch.rand(2, 3, 64, 64), batch_source().batch(0).prior_mask.float()
    seen = see(image, mask, config)
    boxes, _ = mask_boxes(mask, config.crop)
    assert torch.equal(seen.view, image)
    assert torch.equal(seen.crop, crop(image * mask, boxes))
    assert seen.has_mask.tolist() == [1, 1]


def test_mask_channel_input_is_the_image_with_the_mask_beside_it_in_view_and_crop() -> None:
    config = train_config()
    image, mask = torch.rand(2, 3, 64, 64), batch_source().batch(0).prior_mask.float()
    mask[1] = 0
    seen = see(image, mask, config)
    boxes, _ = mask_boxes(mask, config.crop)
    assert torch.equal(seen.view, torch.cat([image, mask], 1))
    assert torch.equal(seen.crop[:, :3], crop(image, boxes))
    assert torch.equal(seen.crop[:, 3:], crop(mask, boxes))
    assert seen.has_mask.tolist() == [1, 0]


# --- one step against the equations


def by_hand(state: TrainState, batch: Batch) -> dict[str, Tensor]:
    """Eqs. 1 to 7 as printed, with sigmoids and logarithms, each with its graph; of mask_channel states."""
    normal, abnormal = to_model_range(batch.normal_image), to_model_range(batch.abnormal_image)
    expert, prior = batch.expert_mask.float(), batch.prior_mask.float()
    g, h = state.generators.norm2abnl, state.generators.abnl2norm
    fake_abnormal, fake_normal = g(normal, expert), h(abnormal, prior)

    def shown(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        whole = torch.cat([image, mask], 1)
        return whole, crop(whole, mask_boxes(mask, state.config.crop)[0])

    def judged(net: str, image: Tensor, mask: Tensor) -> Tensor:
        probability: Tensor = state.discriminators.nets[net](*shown(image, mask), torch.ones(len(image))).sigmoid()
        return probability

    def discriminated(real: str, fake: str, *, detached: bool = True) -> Tensor:
        total = torch.zeros(())
        for domain, image, image_mask, made, made_mask in (
            ("abnl", abnormal, prior, fake_abnormal, expert),
            ("norm", normal, expert, fake_normal, prior),
        ):
            on_real = judged(f"{real}_{domain}", image, image_mask)
            on_fake = judged(f"{fake}_{domain}", made.detach() if detached else made, made_mask)
            high, low = (on_real, on_fake) if real == "d1" else (on_fake, on_real)
            total = total - high.log().mean() - (1 - low).log().mean()
        return total

    def aware(made: Tensor, made_mask: Tensor, image: Tensor, image_mask: Tensor) -> Tensor:
        taps = zip(
            state.aware(shown(made, made_mask)[1][:, :3]), state.aware(shown(image, image_mask)[1][:, :3]), strict=True
        )
        return torch.stack([(a - b).square().mean() for a, b in taps]).sum()

    def outside(made: Tensor, image: Tensor, mask: Tensor) -> Tensor:
        return (made - image).abs()[(mask == 0).expand_as(made)].mean()

    return {
        "d1": discriminated("d1", "d1"),
        "d2": discriminated("d2", "d2"),
        "adv_d1": (1 - judged("d1_abnl", fake_abnormal, expert)).log().mean()
        + (1 - judged("d1_norm", fake_normal, prior)).log().mean(),
        "adv_d2": judged("d2_abnl", fake_abnormal, expert).log().mean()
        + judged("d2_norm", fake_normal, prior).log().mean(),
        "cycle": (h(fake_abnormal, expert) - normal).abs().mean() + (g(fake_normal, prior) - abnormal).abs().mean(),
        "outside": outside(fake_abnormal, normal, expert) + outside(fake_normal, abnormal, prior),
        "aware": aware(fake_abnormal, expert, abnormal, prior) + aware(fake_normal, prior, normal, expert),
    }


def test_the_terms_of_a_step_are_the_equations() -> None:
    state, batch = still_discriminators(loss={"adversarial": "paper", "aware_norm": "l2"}), batch_source().batch(0)
    wanted = by_hand(state, batch)
    terms = train_step(state, batch)
    assert set(terms) == set(TERMS) == {*wanted, "grad_d", "grad_g"}
    assert all(term.shape == () and not term.requires_grad for term in terms.values())
    for name, value in wanted.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-4), name


def generator_gradient(**weights: float) -> Tensor:
    """The generators' gradient of one step in the paper's form, with all weights 0 but these."""
    nothing = {"lambda_1": 0.0, "lambda_cycle": 0.0, "lambda_aware": 0.0, "lambda_outside": 0.0}
    loss = {"adversarial": "paper", "aware_norm": "l2"} | nothing | weights
    state = still_discriminators(loss=loss)
    train_step(state, batch_source().batch(0))
    return gradients_of(state.generators)


def gradient_by_hand(name: str) -> Tensor:
    state = still_discriminators()
    by_hand(state, batch_source().batch(0))[name].backward()  # type: ignore[no-untyped-call]
    return gradients_of(state.generators)


def close(first: Tensor, second: Tensor) -> bool:
    return bool((first - second).norm() <= 1e-3 * second.norm()) and bool(second.norm() > 0)


def test_with_every_weight_0_the_generators_follow_d1_alone() -> None:
    assert close(generator_gradient(), gradient_by_hand("adv_d1"))


@pytest.mark.parametrize(
    ("weight", "term"),
    [
        ("lambda_1", "adv_d2"),
        ("lambda_cycle", "cycle"),
        ("lambda_aware", "aware"),
        ("lambda_outside", "outside"),
    ],
)
def test_a_weight_multiplies_the_gradient_of_its_term_and_of_no_other(weight: str, term: str) -> None:
    nothing, once, twice = (generator_gradient(**{weight: value}) for value in (0.0, 1.0, 2.0))
    assert close(once - nothing, gradient_by_hand(term))
    assert close(twice - nothing, 2 * (once - nothing))


def test_the_discriminators_gradient_is_that_of_their_own_terms_alone() -> None:
    batch, state, other = batch_source().batch(0), still_discriminators(), still_discriminators()
    train_step(state, batch)
    terms = by_hand(other, batch)
    other.discriminators.zero_grad()
    (terms["d1"] + terms["d2"]).backward()  # type: ignore[no-untyped-call]
    assert close(gradients_of(state.discriminators), gradients_of(other.discriminators))


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
    assert len(parts) == 6
    before, aware = {name: weights_of(part) for name, part in parts.items()}, weights_of(state.aware)
    terms = train_step(state, batch_source().batch(0))
    assert all(math.isfinite(term) for term in terms.values())
    for name, part in parts.items():
        for key, parameter in part.named_parameters():
            assert not torch.equal(parameter, before[name][key]), f"{name}.{key}"
    assert equal_states(weights_of(state.aware), aware)


def test_a_batch_without_masks_still_has_finite_terms_and_no_aware_term() -> None:
    whole = batch_source().batch(0)
    empty = Batch(whole.normal_image, whole.expert_mask * 0, whole.abnormal_image, whole.prior_mask * 0)
    for preset in PRESETS.values():
        terms = train_step(train_state(train_config(**preset)), empty)
        assert terms["aware"] == 0
        assert all(math.isfinite(term) for term in terms.values())


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
    state = build_state(config, 64, plain.aware, plain.device, Counted)
    wrapped = (state.generators_joined, state.discriminators_joined)
    assert [type(network.inner) for network in wrapped] == [GeneratorPass, DiscriminatorPass]
    train_step(state, batch_source().batch(0))
    assert [network.calls for network in wrapped] == [1, 1]


# --- the averaged generator


@pytest.mark.parametrize("decay", [0.995, 0.3])
def test_the_averaged_generator_is_the_moving_average_with_a_warm_up(decay: float) -> None:
    state = train_state(train_config(total_images=6, optim={"ema_decay": decay}))
    wanted = {name: p.detach().double() for name, p in state.generators.norm2abnl.named_parameters()}
    for report in run(state, batch_source()):
        kept = min(decay, report.step / (9 + report.step))
        for name, parameter in state.generators.norm2abnl.named_parameters():
            wanted[name] = kept * wanted[name] + (1 - kept) * parameter.detach().double()
    for name, parameter in state.g_ema.named_parameters():
        assert torch.allclose(parameter.double(), wanted[name], atol=1e-6), name
        assert not parameter.requires_grad


def test_an_averaged_generator_of_decay_0_is_the_last_one_with_its_batch_statistics() -> None:
    state = train_state(train_config(total_images=4, model=PAPER_NETWORKS, optim={"ema_decay": 0}))
    list(run(state, batch_source()))
    assert equal_states(state.g_ema.state_dict(), state.generators.norm2abnl.state_dict())
    assert not state.g_ema.training


# --- the loop


@pytest.mark.parametrize("preset", PRESETS)
def test_a_run_that_stops_halfway_and_resumes_equals_one_that_does_not_bit_for_bit(preset: str) -> None:
    config = train_config(total_images=12, checkpoint_every_steps=3, **PRESETS[preset])
    straight = train_state(config)
    wanted = list(run(straight, batch_source()))
    stopped = train_state(config)
    reports = run(stopped, batch_source())
    first = [next(reports) for _ in range(3)]
    data = checkpoint_bytes(stopped)
    for _ in reports:  # what is lost with the process
        break
    resumed = train_state(config)
    restore(resumed, data, "checkpoint")
    second = list(run(resumed, batch_source()))
    assert [(r.step, r.nimg, r.losses) for r in first + second] == [(r.step, r.nimg, r.losses) for r in wanted]
    assert equal_states(everything(resumed), everything(straight))


def test_the_reconstruction_is_learnt() -> None:
    optim = {"lr_g": 2e-3, "lr_d": 2e-3, "decay_start": 1.0}
    config = train_config(total_images=30, model=PAPER_NETWORKS, optim=optim)
    bright = [replace(sample, image=sample.image + np.uint8(80)) for sample in batch_source().normals]
    cycle = [report.losses["cycle"] for report in run(train_state(config), batch_source(normals=bright))]
    assert sum(cycle[-3:]) < 0.7 * sum(cycle[:3])


def test_a_report_holds_the_mean_of_each_term_since_the_last_one() -> None:
    every = [r.losses for r in run(train_state(train_config()), batch_source())]
    reports = list(run(train_state(train_config(log_every_steps=3)), batch_source()))
    assert [(r.step, r.total_steps, r.nimg) for r in reports] == [(3, 4, 6), (4, 4, 8)]
    for name in TERMS:
        assert reports[0].losses[name] == pytest.approx(sum(terms[name] for terms in every[:3]) / 3)
        assert reports[1].losses[name] == pytest.approx(every[3][name])
    assert all(r.images_per_sec > 0 for r in reports)


def test_learning_rates_are_set_at_every_step() -> None:
    state = train_state(train_config(optim={"lr_g": 1e-3, "lr_d": 2e-3, "decay_start": 0.5}))
    told = []
    for report in run(state, batch_source()):
        rates = [optimizer.param_groups[0]["lr"] for optimizer in (state.optim_g, state.optim_d)]
        assert rates == pytest.approx([1e-3 * report.learning_rate_factor, 2e-3 * report.learning_rate_factor])
        told.append(report.learning_rate_factor)
    assert told == [1, 1, 1, 0.5]


@pytest.mark.parametrize(
    ("start", "factors"),
    [(0.5, {0: 1, 50: 1, 75: 0.5, 99: 0.02}), (1.0, {0: 1, 99: 1}), (0.0, {0: 1, 25: 0.75, 100: 0})],
)
def test_the_learning_rate_is_constant_and_then_falls_linearly_to_0(start: float, factors: dict[int, float]) -> None:
    config = train_config(total_images=200, optim={"decay_start": start})
    for step, factor in factors.items():
        assert learning_rate_factor(config, step) == pytest.approx(factor)


def test_a_report_is_due_to_log_to_sample_to_checkpoint_and_at_the_end() -> None:
    config = train_config(total_images=44, log_every_steps=5, sample_every_steps=8, checkpoint_every_steps=9)
    assert [step for step in range(1, 23) if is_due(config, step)] == [5, 8, 9, 10, 15, 16, 18, 20, 22]


def test_a_run_shows_at_least_total_images() -> None:
    assert train_config(total_images=7, batch_size=4).total_steps == 2
    assert train_config(total_images=8, batch_size=4).total_steps == 2


def spoil(module: nn.Module) -> None:
    with torch.no_grad():
        next(module.parameters()).fill_(math.nan)


@pytest.mark.parametrize(
    ("term", "part"),
    [
        ("d1", lambda state: state.generators.norm2abnl),
        ("d1", lambda state: state.discriminators.nets["d1_norm"]),
        ("d2", lambda state: state.discriminators.nets["d2_abnl"]),
        ("aware", lambda state: state.aware),
    ],
)
def test_the_first_term_that_is_not_finite_stops_the_run_with_name_position_and_rank(
    term: str, part: Callable[[TrainState], nn.Module]
) -> None:
    state = train_state(train_config(batch_size=4, total_images=16))
    source = batch_source(batch_size=4, rank=1, world_size=2)
    reports = run(state, source)
    next(reports)
    spoil(part(state))
    with pytest.raises(TrainingError, match=rf"^{term} is nan at nimg=4, rank 1; .*learning rates"):
        next(reports)
    assert state.step == 1


# --- refusals


def test_a_batch_that_the_ranks_cannot_share_is_refused() -> None:
    check_ranks(train_config(batch_size=6), 3)
    with pytest.raises(UsageError, match=r"^train\.batch_size: 6 pairs cannot be shared by 4 workers; use a multiple"):
        check_ranks(train_config(batch_size=6), 4)


@pytest.mark.parametrize("norm", ["generator_norm", "discriminator_norm"])
def test_batch_norm_with_one_pair_a_worker_is_refused(norm: str) -> None:
    config = train_config(batch_size=4, model={norm: "batch"})
    check_ranks(config, 2)
    with pytest.raises(UsageError, match=r"^train\.batch_size: batch norm needs 2 pairs per worker, got 1"):
        check_ranks(config, 4)
    check_ranks(train_config(batch_size=4), 4)


def test_a_view_that_the_generator_cannot_halve_often_enough_is_refused() -> None:
    check_generator(ModelConfig(), 64)
    seven = ModelConfig(generator_widths=(8,) * 7)
    check_generator(seven, 256)
    for size in (64, 128):
        with pytest.raises(UsageError, match=rf"^train\.model\.generator_widths: 7 down steps do not fit .* {size} px"):
            check_generator(seven, size)
    config: TrainConfig = train_config(model={"generator_widths": (8,) * 6})
    with pytest.raises(UsageError, match="generator_widths"):
        train_state(config)


def test_a_gradient_that_is_not_finite_stops_the_run_before_anything_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Losses may still be finite when a gradient is not; its step must never reach a checkpoint."""
    monkeypatch.setattr(training, "_gradient_norm", lambda module: torch.tensor(float("inf")))
    with pytest.raises(TrainingError, match=r"^grad_d is inf at nimg=0, rank 0"):
        next(run(train_state(train_config()), batch_source()))
