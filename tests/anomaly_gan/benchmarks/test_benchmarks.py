"""What the benchmarks promise of how they measure; no test asks how fast anything is."""

import os
import time
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from anomaly_gan.benchmarks import stepping
from anomaly_gan.benchmarks.looping import windows
from anomaly_gan.benchmarks.measuring import Figures, in_turn, threads_set, timed
from anomaly_gan.benchmarks.parts import StepParts
from anomaly_gan.benchmarks.synthetic import CLASS, synthetic_source
from anomaly_gan.benchmarks.workers import cores_of
from anomaly_gan.config import ViewConfig
from anomaly_gan.gan.method import AnomalyGan
from anomaly_gan.gan.step import train_step
from anomaly_gan.rivals.cyclegan import CycleGan
from tests.support.builders import CPU, batch_source, gradients_of, train_config, train_state

pytestmark = pytest.mark.usefixtures("one_thread")

VIEW = ViewConfig(kind="window", size=64)


# --- how things are measured


def test_runs_take_turns_after_a_round_that_is_dropped() -> None:
    order: list[str] = []

    def run(name: str) -> int:
        order.append(name)
        return len(order)

    rounds: list[tuple[int, int]] = []
    returned = in_turn({"a": lambda: run("a"), "b": lambda: run("b")}, 2, lambda *done: rounds.append(done))
    assert "".join(order) == "ababab"
    assert returned == {"a": [3, 5], "b": [4, 6]}
    assert rounds == [(1, 3), (2, 3), (3, 3)]


def test_a_timed_run_returns_its_seconds() -> None:
    started = time.perf_counter()
    seconds = timed(lambda: time.sleep(0.02))()
    assert 0.02 <= seconds <= time.perf_counter() - started


def test_figures_tell_the_median_of_each_measure() -> None:
    figures = Figures({"x": {"sec": [3.0, 1.0, 2.0], "share": [0.5, 0.1, 0.2]}}, {})
    assert figures.medians() == {"x": {"sec": 2.0, "share": 0.2}}


def test_the_number_of_threads_holds_within_only() -> None:
    with threads_set(2):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 1


# --- the parts of a step


class Recorder:
    """Counts what a state's networks are called with and what is asked of them, and its optimisers' steps."""

    def __init__(self, state: AnomalyGan) -> None:
        self.seen: Counter[Any] = Counter()
        networks: dict[str, nn.Module] = {**state.discriminators.nets, "aware": state.aware}
        if state.discriminators.critic is not None:
            networks["critic"] = state.discriminators.critic
        networks |= {"norm2abnl": state.generators.norm2abnl, "abnl2norm": state.generators.abnl2norm}
        for name, network in networks.items():
            network.register_forward_pre_hook(self._call(name))
        for name, optimiser in (("optim_g", state.optim_g), ("optim_d", state.optim_d)):
            optimiser.register_step_post_hook(lambda *_, name=name: self.seen.update([name]))

    def _call(self, name: str) -> Any:
        def record(network: nn.Module, inputs: tuple[Tensor | None, ...]) -> None:
            asked = torch.is_grad_enabled(), next(network.parameters()).requires_grad
            given = [None if x is None else (tuple(x.shape), x.requires_grad) for x in inputs]
            self.seen.update([(name, *asked, *given)])

        return record

    def taken(self) -> Counter[Any]:
        seen, self.seen = self.seen, Counter()
        return seen


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": {"discriminator_norm": "batch", "discriminator_input": "masked"}},
        {"loss": {"aware": "l2_pixels"}},
        {"crop": {"parts": 2}},
    ],
    ids=str,
)
def test_the_parts_ask_of_the_networks_what_a_step_asks(changes: dict[str, Any]) -> None:
    state = train_state(train_config(**changes))
    batch = batch_source(parts=state.config.crop.parts).batch(0)
    parts = StepParts(state, batch).all()
    recorder = Recorder(state)
    train_step(state, batch)
    of_step = recorder.taken()
    for part in parts.values():
        part()
    assert recorder.taken() == of_step
    assert of_step["optim_g"] == of_step["optim_d"] == 1


def test_the_passes_leave_a_gradient_for_every_parameter_that_the_optimisers_move() -> None:
    state = train_state(train_config())
    parts = StepParts(state, batch_source().batch(0))
    parts.generators()
    parts.discriminators()
    missing = [
        name
        for module in (state.generators, state.discriminators)
        for name, parameter in module.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert missing == []


def test_the_pass_for_the_generators_adds_nothing_to_the_discriminators_gradient() -> None:
    state = train_state(train_config())
    parts = StepParts(state, batch_source().batch(0))
    parts.discriminators()
    before = gradients_of(state.discriminators)
    parts.frozen_discriminators()
    parts.aware_network()
    assert torch.equal(gradients_of(state.discriminators), before)
    assert all(parameter.requires_grad for parameter in state.discriminators.parameters())


# --- beside CycleGAN


def test_a_step_beside_cyclegan_is_timed_right_after_another_of_the_same_networks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []
    monkeypatch.setattr(CycleGan, "train_step", lambda plain, batch: order.append("CycleGAN"))
    monkeypatch.setattr(stepping, "train_step", lambda state, batch: order.append(state.config.model.generator))
    found = stepping.measure_beside_cyclegan(train_config(), VIEW, CPU, 2, lambda done, of: None)
    assert order == ["CycleGAN"] * 2 + ["resnet9"] * 2 + ["unet"] * 2 + order[:6] * 2
    assert all(len(row["sec"]) == 2 for row in found.rounds.values())


# --- the loop and its data


def test_made_up_batches_have_windows_and_masks_of_every_rank() -> None:
    config = train_config(batch_size=4)
    whole = synthetic_source(config, VIEW).batch(1)
    halves = [synthetic_source(config, VIEW, rank, 2).batch(1) for rank in range(2)]
    assert whole.normal_image.shape == (4, 3, 64, 64) and whole.normal_image.dtype == torch.uint8
    assert whole.prior_mask.flatten(1).any(1).all() and whole.expert_mask.flatten(1).any(1).all()
    assert torch.equal(halves[1].abnormal_image, whole.abnormal_image[1::2])


def test_made_up_frames_are_larger_than_the_windows() -> None:
    source = synthetic_source(train_config(), VIEW)
    assert {sample.image.shape for sample in (*source.normals, *source.abnormals)} == {(512, 512)}
    assert all(sample.masks[CLASS].any() for sample in source.abnormals)


def test_windows_of_the_loop_have_equal_lengths_whatever_the_config_reports() -> None:
    config = train_config(log_every_steps=1, checkpoint_every_steps=7, total_images=1000)
    reports = list(windows(config, VIEW, CPU, steps=2, count=3))
    assert [report.step for report in reports] == [2, 4, 6]
    assert reports[-1].total_steps == 6
    assert all(0 <= report.data_wait <= 1 and report.images_per_sec > 0 for report in reports)


def test_each_worker_has_cores_of_its_own_where_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {7, 3, 5})
    assert [cores_of(rank, 2, 1) for rank in range(2)] == [{3}, {5}]
    assert cores_of(0, 1, 2) == {3, 5}
    assert cores_of(1, 2, 2) == set()


def test_no_worker_is_bound_where_the_system_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_setaffinity")
    assert cores_of(0, 1, 1) == set()
