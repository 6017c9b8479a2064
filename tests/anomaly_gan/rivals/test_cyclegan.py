"""CycleGAN: its published form, its losses, and a run that is stopped, resumed and generated from."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from anomaly_gan.config import ModelConfig, TrainConfig, ViewConfig
from anomaly_gan.generation.generate import generate
from anomaly_gan.generation.snapshot import Snapshot, load_snapshot, snapshot_bytes
from anomaly_gan.networks.generator import build_generator
from anomaly_gan.networks.patch import PatchDiscriminator
from anomaly_gan.rivals.cyclegan import CYCLEGAN_DEFAULTS, CycleGan, build_cyclegan
from anomaly_gan.samples.tensors import to_model_range
from tests.support.builders import (
    CLASS,
    CPU,
    NarrowAware,
    batch_source,
    equal_states,
    generation_plan,
    train_config,
    weights_of,
)

pytestmark = pytest.mark.usefixtures("one_thread")


PUBLISHED: dict[str, Any] = {
    "generator": "plain_resnet9",
    "upsample": "transposed",
    "blend": False,
    "noise_planes": 0,
    "content": "image",
    "gray": False,
}


def config(**changes: Any) -> TrainConfig:
    """The published form with 4 channels, and no picture of before."""
    loss = {"lambda_cycle": 10.0} | changes.pop("loss", {})
    model = PUBLISHED | {"resnet_width": 4}
    wanted = {"method": "cyclegan", "image_pool": 0, "model": model, "optim": {"ema_decay": 0.0}, "loss": loss}
    return train_config(**(wanted | changes))


def cyclegan(**changes: Any) -> CycleGan:
    return build_cyclegan(config(**changes), 64, NarrowAware(), CPU)


def convolutions(module: nn.Module) -> list[torch.Tensor]:
    return [layer.weight for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]


def parameters_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_networks_have_the_published_sizes() -> None:
    model = ModelConfig.model_validate(PUBLISHED)
    norms = 2 * (2 * (64 + 128) + 256 + 18 * 256)  # ours have a weight and a bias for each channel
    assert round((parameters_of(build_generator(model)) - norms) / 1e6, 3) == 11.378
    assert round(parameters_of(PatchDiscriminator()) / 1e6, 3) == 2.765


def test_a_logit_sees_70_px() -> None:
    layers = [layer for layer in PatchDiscriminator(0.0625).model if not isinstance(layer, nn.InstanceNorm2d)]
    image = torch.zeros(1, 3, 128, 128, requires_grad=True)
    logits = nn.Sequential(*layers)(image)
    assert logits.shape == (1, 1, 14, 14)
    [gradient] = torch.autograd.grad(logits[0, 0, 7, 7], image)
    rows, columns = gradient[0].abs().sum(0).nonzero(as_tuple=True)
    assert [int(x.max() - x.min()) + 1 for x in (rows, columns)] == [70, 70]


def test_the_plain_generator_does_not_see_the_mask() -> None:
    generator = build_generator(config().model).eval()
    image, mask = torch.rand(1, 3, 64, 64), torch.zeros(1, 1, 64, 64)
    assert torch.equal(generator(image, mask), generator(image, mask + 1))


def test_a_step_follows_the_losses_and_changes_all_four_networks() -> None:
    method, batch = cyclegan(), batch_source().batch(0)
    normal, abnormal = to_model_range(batch.normal_image), to_model_range(batch.abnormal_image)
    nets = [method.generators.norm2abnl, method.generators.abnl2norm, *method.discriminators.nets.values()]
    g, h, judge_a, judge_n = before = deepcopy(nets)
    no_mask = torch.zeros(2, 1, 64, 64)
    fake_a, fake_n = g(normal, no_mask), h(abnormal, no_mask)
    adversarial = (judge_a(fake_a) - 1).square().mean() + (judge_n(fake_n) - 1).square().mean()
    cycle = (h(fake_a, no_mask) - normal).abs().mean() + (g(fake_n, no_mask) - abnormal).abs().mean()
    identity = (g(abnormal, no_mask) - abnormal).abs().mean() + (h(normal, no_mask) - normal).abs().mean()
    d_abnl = ((judge_a(abnormal) - 1).square().mean() + judge_a(fake_a).square().mean()) / 2
    d_norm = ((judge_n(normal) - 1).square().mean() + judge_n(fake_n).square().mean()) / 2
    (adversarial + 10 * cycle + 5 * identity).backward()
    gradient = torch.cat([p.grad.flatten() for net in (g, h) for p in net.parameters() if p.grad is not None])

    terms = method.train_step(batch)

    wanted = {"adv": adversarial, "cycle": cycle, "identity": identity, "d_abnl": d_abnl, "d_norm": d_norm}
    for name, value in wanted.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-5), name
    assert terms["grad_g"].item() == pytest.approx(gradient.norm().item(), rel=1e-4)
    for net, earlier in zip(nets, before, strict=True):
        assert not any(map(torch.equal, convolutions(net), convolutions(earlier)))
    assert equal_states(weights_of(method.generator), weights_of(method.generators.norm2abnl))


def test_without_its_weight_the_identity_term_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    method = cyclegan(loss={"lambda_identity": 0.0})
    calls: list[int] = []
    method.generators.norm2abnl.register_forward_hook(lambda *_: calls.append(1))
    assert method.train_step(batch_source().batch(0))["identity"].item() == 0
    assert len(calls) == 2


def test_a_batch_in_two_parts_gives_the_terms_of_the_whole_batch() -> None:
    whole, parts = (cyclegan(compute={"accumulate": count}) for count in (1, 2))
    batch = batch_source().batch(0)
    expected = whole.train_step(batch)
    assert {k: v.item() for k, v in parts.train_step(batch).items()} == pytest.approx(
        {k: v.item() for k, v in expected.items()}, rel=1e-4
    )


def test_its_model_generates_as_any_other_does_and_leaves_what_is_outside_the_mask() -> None:
    method = cyclegan()
    snapshot = Snapshot(method.generator, CLASS, ViewConfig(size=64), method.config, {})
    loaded = load_snapshot(*snapshot_bytes(snapshot), "model", CPU)
    assert loaded.config.method == "cyclegan"
    [made] = generate(generation_plan(feather_px=0), [0], loaded.generator)
    changed = (made.pasted != made.normal).any(-1) if made.pasted.ndim == 3 else made.pasted != made.normal
    assert changed.any() and not changed[made.mask == 0].any()
    assert np.array_equal(made.sample.masks[CLASS], made.mask)


def test_its_defaults_are_keys_of_a_training() -> None:
    for key in CYCLEGAN_DEFAULTS:
        section, _, name = key.partition(".")
        assert name in type(getattr(TrainConfig(), section)).model_fields
