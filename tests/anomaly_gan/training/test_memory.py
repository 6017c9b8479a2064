"""The memory estimate against what the allocator is really asked for."""

from itertools import accumulate

import pytest
from torch.profiler import ProfilerActivity, profile

from anomaly_gan.gan.method import AnomalyGan, build_anomaly_gan
from anomaly_gan.gan.step import train_step
from anomaly_gan.methods import estimate_memory
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.training.memory_estimate import MemoryEstimate
from tests.support.builders import CPU, batch_source, train_config

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = {"discriminator_norm": "instance"}
"""Spectral norm is slow to set up without values."""


def allocated_in_a_step(state: AnomalyGan) -> int:
    """The most bytes above those held before the step, by the allocator's own events."""
    source = batch_source(batch_size=state.config.batch_size)
    train_step(state, source.batch(0))
    state.optim_g.zero_grad()
    state.optim_d.zero_grad()
    batch = source.batch(1)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        train_step(state, batch)
    assert profiler.profiler is not None and profiler.profiler.kineto_results is not None
    events = sorted(profiler.profiler.kineto_results.events(), key=lambda event: event.start_ns())
    return int(max(accumulate(event.nbytes() for event in events if event.name() == "[memory]")))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": {**QUICK, "generator": "resnet9", "resnet_width": 8}, "compute": {"recompute": True}},
        {"model": QUICK, "compute": {"accumulate": 2}},
        pytest.param(
            {"model": QUICK, "compute": {"accumulate": 2, "precision": "bf16"}},
            marks=pytest.mark.slow,  # two minutes on a CPU without instructions for it
        ),
    ],
)
def test_the_estimated_peak_is_within_a_fifth_of_the_real_one(changes: dict[str, dict[str, object]]) -> None:
    config = train_config(batch_size=4, total_images=64, image_pool=0, **changes)
    estimate = estimate_memory(config, 64)
    state = build_anomaly_gan(config, 64, AwareNetwork(), CPU)
    assert estimate.peak - estimate.resting == pytest.approx(allocated_in_a_step(state), rel=0.2)


def test_at_rest_there_are_weights_moments_averages_and_full_image_pools() -> None:
    config = train_config(batch_size=4, image_pool=3, model=QUICK)
    state = build_anomaly_gan(config, 64, AwareNetwork(), CPU)
    weights, frozen = 0, 0
    for module in (state.generators, state.discriminators):
        weights += sum(tensor.nbytes for tensor in module.parameters())
        frozen += sum(tensor.nbytes for tensor in module.buffers())
    frozen += sum(tensor.nbytes for module in (state.g_ema, state.aware) for tensor in module.state_dict().values())
    pools = 2 * 4 * 3 * (3 * 4 + 1) * 64 * 64
    batch = 4 * (3 + 1 + 3 + 1) * 64 * 64
    assert estimate_memory(config, 64).resting == pytest.approx(3 * weights + frozen + pools + batch, rel=0.01)


def peak(world_size: int = 1, **changes: object) -> MemoryEstimate:
    return estimate_memory(train_config(batch_size=8, total_images=64, model=QUICK, **changes), 128, world_size)


def test_what_saves_memory_is_estimated_lower() -> None:
    whole = peak().peak
    assert peak(compute={"accumulate": 4}).peak < 0.7 * whole
    assert peak(compute={"recompute": True}).peak < 0.95 * whole
    assert peak(world_size=2).peak < 0.8 * whole
