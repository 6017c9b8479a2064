"""The loop around the training step: what it fetches, reports, warns of and refuses, and how it stops and goes on."""

import math
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from anomaly_gan import ranks
from anomaly_gan.config import ModelConfig, TrainConfig
from anomaly_gan.gan import step as gan_step
from anomaly_gan.gan.method import AnomalyGan
from anomaly_gan.networks.generator import check_view
from anomaly_gan.training.batches import Batch, BatchSource
from anomaly_gan.training.checkpoint import gather_image_pools, restore, save
from anomaly_gan.training.joining import check_ranks
from anomaly_gan.training.loop import StepReport, is_due, learning_rate_factor, run
from infra.errors import DataError, TrainingError, UsageError
from tests.support.builders import (
    PAPER_NETWORKS,
    PRESETS,
    batch_source,
    equal_states,
    everything,
    train_config,
    train_state,
)

pytestmark = pytest.mark.usefixtures("one_thread")

PATIENCE_SEC = 30


class Steps:
    """Stands for the training step: terms that the test names, and nothing to wait for."""

    def __init__(self, terms: Callable[[int], dict[str, float]] = lambda step: {}, seconds: float = 0) -> None:
        self.done = 0
        self._terms = terms
        self._seconds = seconds

    def __call__(self, state: AnomalyGan, batch: Batch) -> dict[str, Tensor]:
        self.done += 1
        time.sleep(self._seconds)
        usual = dict.fromkeys(AnomalyGan.terms, 1.0) | {"d1": 2.0, "d2": 2.0}
        return {name: torch.tensor(value) for name, value in (usual | self._terms(state.step + 1)).items()}


StandIn = Callable[[Steps], Steps]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    def put(steps: Steps) -> Steps:
        monkeypatch.setattr(AnomalyGan, "train_step", lambda method, batch: steps(method, batch))
        return steps

    return put


@dataclass(frozen=True)
class ToldSource(BatchSource):
    """A source that remembers the steps asked for, and takes its time."""

    asked: list[int] = field(default_factory=list)
    seconds: float = 0
    broken_at: int = -1

    def batch(self, step: int) -> Batch:
        if step == self.broken_at:
            raise DataError(f"picture of step {step}: broken")
        self.asked.append(step)
        time.sleep(self.seconds)
        return super().batch(step)


def told_source(**changes: Any) -> ToldSource:
    plain = batch_source()
    return ToldSource(**{item.name: getattr(plain, item.name) for item in fields(plain)} | changes)


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


# --- to stop and to go on


@pytest.mark.parametrize("preset", PRESETS)
def test_a_run_that_stops_halfway_and_resumes_equals_one_that_does_not_bit_for_bit(preset: str, tmp_path: Path) -> None:
    changes = PRESETS[preset] | {"image_pool": 2, "augment": {"probability": 0.5}}
    config = train_config(total_images=16, checkpoint_every_steps=4, **changes)
    straight = train_state(config)
    wanted = list(run(straight, batch_source()))
    stopped = train_state(config)
    reports = run(stopped, batch_source())
    first = [next(reports) for _ in range(4)]
    save(stopped, gather_image_pools(stopped), tmp_path / "checkpoint.pt")
    next(reports)  # what is lost with the process
    resumed = train_state(config)
    restore(resumed, tmp_path / "checkpoint.pt", "checkpoint")
    second = list(run(resumed, batch_source()))
    assert [(r.step, r.nimg, r.losses) for r in first + second] == [(r.step, r.nimg, r.losses) for r in wanted]
    assert equal_states(everything(resumed), everything(straight))


def stop_after(calls: int) -> Callable[[], bool]:
    said = iter([False] * (calls - 1))
    return lambda: next(said, True)


def test_a_run_that_is_asked_to_stop_reports_a_checkpoint_and_ends(stand_in: StandIn) -> None:
    steps = stand_in(Steps())
    state = train_state(train_config(total_images=40, log_every_steps=100))
    [report] = run(state, batch_source(), stop_after(3))
    assert (report.step, state.step, steps.done) == (3, 3, 3)
    assert report.is_stopped and report.is_checkpoint and not report.is_sample
    assert not report.is_scheduled


def test_a_run_that_was_not_asked_to_stop_says_so_in_every_report(stand_in: StandIn) -> None:
    stand_in(Steps())
    assert not any(report.is_stopped for report in run(train_state(train_config()), batch_source()))


def test_a_run_that_is_asked_to_stop_at_its_last_step_is_just_done(stand_in: StandIn) -> None:
    stand_in(Steps())
    *_, last = run(train_state(train_config()), batch_source(), stop_after(4))
    assert last.step == last.total_steps and last.is_checkpoint and not last.is_stopped


def test_one_rank_that_is_asked_stops_all(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(Steps())
    told = []

    def anyone(flag: bool) -> bool:
        told.append(flag)
        return len(told) == 2

    monkeypatch.setattr(ranks, "anyone", anyone)
    *_, last = run(train_state(train_config()), batch_source())
    assert last.is_stopped and last.step == 2
    assert told == [False, False]


def test_a_run_that_is_over_reports_nothing_more(stand_in: StandIn) -> None:
    stand_in(Steps())
    state = train_state(train_config())
    state.step = 4
    assert list(run(state, batch_source())) == []


# --- the data


def test_the_next_batch_is_fetched_while_a_step_runs(stand_in: StandIn) -> None:
    source = told_source()
    overlapped = []

    def wait_for_the_next(step: int) -> dict[str, float]:
        deadline = time.monotonic() + PATIENCE_SEC
        while step < 4 and step not in source.asked and time.monotonic() < deadline:
            time.sleep(0.001)
        overlapped.append(step == 4 or step in source.asked)
        return {}

    stand_in(Steps(wait_for_the_next))
    list(run(train_state(train_config()), source))
    assert overlapped == [True] * 4


def test_each_batch_is_fetched_once_in_order_and_none_beyond_the_end(stand_in: StandIn) -> None:
    stand_in(Steps())
    source = told_source()
    state = train_state(train_config(total_images=16))
    state.step = 3
    list(run(state, source))
    assert source.asked == [3, 4, 5, 6, 7]


def test_no_more_than_one_batch_is_fetched_ahead(stand_in: StandIn) -> None:
    stand_in(Steps())
    source = told_source()
    reports = run(train_state(train_config(total_images=40)), source)
    for _ in range(3):
        next(reports)
    time.sleep(0.1)
    assert source.asked in ([0, 1, 2], [0, 1, 2, 3])


def test_waiting_for_data_is_a_share_of_the_time(stand_in: StandIn) -> None:
    stand_in(Steps())
    config = train_config(log_every_steps=4)
    [slow] = run(train_state(config), told_source(seconds=0.05))
    assert 0.7 < slow.data_wait <= 1
    stand_in(Steps(seconds=0.1))
    [fast] = run(train_state(config), told_source())
    assert 0 <= fast.data_wait < 0.3


def test_the_time_that_a_reader_takes_between_two_reports_does_not_count(stand_in: StandIn) -> None:
    stand_in(Steps())
    reports = run(train_state(train_config()), told_source(seconds=0.05))
    next(reports)
    time.sleep(0.5)
    assert next(reports).images_per_sec > 2 / 0.25


def test_an_error_of_the_data_reaches_the_caller_at_its_step(stand_in: StandIn) -> None:
    stand_in(Steps())
    reports = run(train_state(train_config()), told_source(broken_at=2))
    assert [next(reports).step, next(reports).step] == [1, 2]
    with pytest.raises(DataError, match="picture of step 2: broken"):
        next(reports)


def test_a_run_that_is_left_leaves_no_thread(stand_in: StandIn) -> None:
    stand_in(Steps())
    before = threading.active_count()
    reports = cast(Generator[StepReport, None, None], run(train_state(train_config()), batch_source()))
    next(reports)
    assert threading.active_count() == before + 1
    reports.close()
    assert threading.active_count() == before


# --- reports


def test_the_reconstruction_is_learnt() -> None:
    config = train_config(
        total_images=30,
        model=PAPER_NETWORKS | {"upsample": "resize"},
        optim={"lr_g": 2e-3, "lr_d": 2e-3, "decay_start": 1.0},
        loss={"lambda_outside": 0, "cycle_inside": 1, "lambda_cycle": 10},
    )
    bright = [replace(sample, image=sample.image + np.uint8(80)) for sample in batch_source().normals]
    cycle = [report.losses["cycle"] for report in run(train_state(config), batch_source(normals=bright))]
    assert sum(cycle[-3:]) < 0.7 * sum(cycle[:3])


def test_a_report_holds_the_mean_of_each_term_since_the_last_one() -> None:
    every = [r.losses for r in run(train_state(train_config()), batch_source())]
    reports = list(run(train_state(train_config(log_every_steps=3)), batch_source()))
    assert [(r.step, r.total_steps, r.nimg) for r in reports] == [(3, 4, 6), (4, 4, 8)]
    for name in AnomalyGan.terms:
        assert reports[0].losses[name] == pytest.approx(sum(terms[name] for terms in every[:3]) / 3)
        assert reports[1].losses[name] == pytest.approx(every[3][name])
    assert all(r.images_per_sec > 0 for r in reports)


def test_a_report_says_what_is_due(stand_in: StandIn) -> None:
    stand_in(Steps())
    every = {"log_every_steps": 5, "sample_every_steps": 4, "checkpoint_every_steps": 6}
    reports = list(run(train_state(train_config(total_images=28, **every)), batch_source()))
    assert all(r.is_scheduled == r.is_checkpoint for r in reports)
    assert [(r.step, r.is_sample, r.is_checkpoint) for r in reports] == [
        (4, True, False),
        (5, False, False),
        (6, False, True),
        (8, True, False),
        (10, False, False),
        (12, True, True),
        (14, True, True),
    ]


def test_a_report_is_due_to_log_to_sample_to_checkpoint_and_at_the_end() -> None:
    config = train_config(total_images=44, log_every_steps=5, sample_every_steps=8, checkpoint_every_steps=9)
    assert [step for step in range(1, 23) if is_due(config, step)] == [5, 8, 9, 10, 15, 16, 18, 20, 22]


def test_warnings_are_in_the_report_of_their_step(stand_in: StandIn) -> None:
    stand_in(Steps(lambda step: {"d1_abnl": 0.0} | ({"grad_g": 99.0} if step == 25 else {})))
    config = train_config(total_images=160, log_every_steps=20)
    said = {report.step: report.warnings for report in run(train_state(config), batch_source())}
    assert list(said) == [20, 40, 60, 80]
    assert said[20] == said[80] == ()
    [outlier], [winning] = said[40], said[60]
    assert outlier.startswith("step 25: grad_g is 99") and winning.startswith("step 50: d1_abnl has been below")


@pytest.mark.parametrize(
    ("precision", "known", "is_warned"),
    [
        ("bf16", {"avx2": True, "avx512_bf16": False}, True),
        ("bf16", {"avx512_bf16": True}, False),
        ("bf16", {"architecture": "arm64", "bf16": True}, False),
        ("fp32", {"avx2": True}, False),
    ],
)
def test_the_first_report_warns_of_bf16_on_a_cpu_without_its_instructions(
    precision: str, known: dict[str, Any], is_warned: bool, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(Steps())
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    config = train_config(log_every_steps=2, compute={"precision": precision})
    first, second = run(train_state(config), batch_source())
    assert any("no bf16 instructions" in told for told in first.warnings) == is_warned
    assert second.warnings == ()


def test_learning_rates_are_set_at_every_step(stand_in: StandIn) -> None:
    stand_in(Steps())
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


def test_a_run_shows_at_least_total_images() -> None:
    assert train_config(total_images=7, batch_size=4).total_steps == 2
    assert train_config(total_images=8, batch_size=4).total_steps == 2


# --- numbers that are not finite


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
def test_the_first_term_that_is_not_finite_stops_the_run_with_name_step_and_rank(
    term: str, part: Callable[[AnomalyGan], nn.Module]
) -> None:
    state = train_state(train_config(batch_size=4, total_images=16))
    reports = run(state, batch_source(batch_size=4))
    next(reports)
    spoil(part(state))
    with pytest.raises(TrainingError, match=rf"^{term} is nan at step 2 \(nimg=4\), rank 0; .*learning rates"):
        next(reports)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_found_with_its_step_before_anything_is_reported(
    stand_in: StandIn, value: float
) -> None:
    stand_in(Steps(lambda step: {"adv_d1": value} if step == 3 else {}))
    config = train_config(total_images=40, log_every_steps=5, checkpoint_every_steps=5)
    with pytest.raises(TrainingError, match=rf"^adv_d1 is {value} at step 3 \(nimg=4\), rank 0; "):
        next(run(train_state(config), batch_source()))


def test_of_several_numbers_that_are_not_finite_the_first_steps_is_named(stand_in: StandIn) -> None:
    spoilt = {5: {"d1": math.nan}, 4: {"grad_g": math.inf}}
    stand_in(Steps(lambda step: spoilt.get(step, {})))
    with pytest.raises(TrainingError, match=r"^grad_g is inf at step 4 \(nimg=6\)"):
        next(run(train_state(train_config(total_images=40, log_every_steps=10)), batch_source()))


ORDER = ("d1", "d2", "grad_d", "adv_d1", "adv_d2", "cycle", "aware", "outside", "grad_g")
"""In which a step computes what it reports."""


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_within_a_step_the_term_that_was_computed_first_is_named(stand_in: StandIn, first: int) -> None:
    stand_in(Steps(lambda step: dict.fromkeys(ORDER[first:], math.nan)))
    with pytest.raises(TrainingError, match=rf"^{ORDER[first]} is nan at step 1 \(nimg=0\)"):
        next(run(train_state(train_config()), batch_source()))


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_discriminators_gradient_that_is_not_finite_is_named_and_not_what_it_spoils(value: float) -> None:
    """Its update makes the weights not finite, and so every term of the generators after it."""
    state = train_state(train_config())
    weight = next(state.discriminators.nets["d2_norm"].parameters())
    weight.register_hook(lambda gradient: torch.full_like(gradient, value))  # type: ignore[no-untyped-call]
    with pytest.raises(TrainingError, match=rf"^grad_d is {value} at step 1 \(nimg=0\), rank 0"):
        next(run(state, batch_source()))


def other_rank(mine: list[list[float]], bad: tuple[int, str, float] | None) -> list[list[float]]:
    """Terms of as many steps, all finite but the one at (step, term)."""
    rows = [[1.0] * len(AnomalyGan.terms) for _ in mine]
    if bad is not None:
        step, name, value = bad
        rows[step - 1][list(AnomalyGan.terms).index(name)] = value
    return rows


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        ((2, "d1", math.inf), "d1 is inf at step 2 (nimg=2), rank 1"),
        ((3, "d1", math.inf), "d1 is inf at step 3 (nimg=4), rank 1"),
        ((3, "cycle", math.inf), "adv_d1 is nan at step 3 (nimg=4), rank 0"),
        ((4, "d1", math.inf), "adv_d1 is nan at step 3 (nimg=4), rank 0"),
        (None, "adv_d1 is nan at step 3 (nimg=4), rank 0"),
    ],
    ids=["earlier step", "earlier term", "later term", "later step", "fine"],
)
def test_of_all_ranks_the_first_number_that_is_not_finite_is_named(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, theirs: tuple[int, str, float] | None, named: str
) -> None:
    stand_in(Steps(lambda step: {"adv_d1": math.nan} if step == 3 else {}))
    monkeypatch.setattr(ranks, "gather", lambda mine: [mine, other_rank(mine, theirs)])
    with pytest.raises(TrainingError) as caught:
        next(run(train_state(train_config(log_every_steps=4)), batch_source()))
    assert str(caught.value).startswith(f"{named};")


def test_a_rank_whose_own_numbers_are_finite_stops_for_another(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(Steps())
    monkeypatch.setattr(ranks, "gather", lambda mine: [mine, other_rank(mine, (1, "d1", math.nan))])
    with pytest.raises(TrainingError, match=r"^d1 is nan at step 1 \(nimg=0\), rank 1"):
        next(run(train_state(train_config()), batch_source()))


def test_a_gradient_that_is_not_finite_stops_the_run_before_anything_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Losses may still be finite when a gradient is not; its step must never reach a checkpoint."""
    monkeypatch.setattr(gan_step, "gradient_norm", lambda module: torch.tensor(float("inf")))
    with pytest.raises(TrainingError, match=r"^grad_d is inf at step 1 \(nimg=0\), rank 0"):
        next(run(train_state(train_config()), batch_source()))


# --- refusals


def test_a_batch_that_the_ranks_cannot_share_is_refused() -> None:
    check_ranks(train_config(batch_size=6), 3)
    with pytest.raises(UsageError, match=r"^train\.batch_size: 6 pairs cannot be shared by 4 workers; use a multiple"):
        check_ranks(train_config(batch_size=6), 4)


def test_a_batch_that_the_ranks_cannot_share_in_as_many_parts_is_refused() -> None:
    config = train_config(batch_size=12, compute={"accumulate": 3})
    for workers in (1, 2, 4):
        check_ranks(config, workers)
    with pytest.raises(UsageError, match="12 pairs cannot be shared by 3 workers in 3 parts each; use a multiple of 9"):
        check_ranks(config, 3)


@pytest.mark.parametrize("norm", ["generator_norm", "discriminator_norm"])
def test_batch_norm_with_one_pair_a_worker_and_part_is_refused(norm: str) -> None:
    config = train_config(batch_size=4, model={norm: "batch"})
    check_ranks(config, 2)
    with pytest.raises(UsageError, match=r"^train\.batch_size: batch norm needs 2 pairs per worker and part, got 1"):
        check_ranks(config, 4)
    in_parts = train_config(batch_size=4, model={norm: "batch"}, compute={"accumulate": 4})
    with pytest.raises(UsageError, match=r"^train\.batch_size: batch norm needs 2 pairs per worker and part, got 1"):
        check_ranks(in_parts, 1)
    check_ranks(train_config(batch_size=4), 4)


@pytest.mark.parametrize("norm", ["generator_norm", "discriminator_norm"])
def test_sync_norm_needs_two_pairs_over_all_workers_in_each_part(norm: str) -> None:
    check_ranks(train_config(batch_size=4, model={norm: "sync"}), 4)
    check_ranks(train_config(batch_size=4, model={norm: "sync"}, compute={"accumulate": 2}), 2)
    with pytest.raises(UsageError, match="batch norm needs 2 pairs"):
        check_ranks(train_config(batch_size=4, model={norm: "sync"}, compute={"accumulate": 4}), 1)
    with pytest.raises(UsageError, match="batch norm needs 2 pairs"):
        check_ranks(train_config(batch_size=1, model={norm: "sync"}), 1)


def test_a_view_that_the_generator_cannot_halve_often_enough_is_refused() -> None:
    check_view(ModelConfig(), 64)
    seven = ModelConfig(generator_widths=(8,) * 7)
    check_view(seven, 256)
    for size in (64, 128):
        with pytest.raises(UsageError, match=rf"^train\.model\.generator_widths: 7 down steps do not fit .* {size} px"):
            check_view(seven, size)
    config: TrainConfig = train_config(model={"generator_widths": (8,) * 6})
    with pytest.raises(UsageError, match="generator_widths"):
        train_state(config)


def test_the_terms_of_a_report_are_the_means_over_all_ranks(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(Steps(lambda step: {"cycle": 3.0}))
    monkeypatch.setattr(ranks, "gather", lambda mine: [mine, other_rank(mine, (1, "cycle", 5.0))])
    assert next(run(train_state(train_config()), batch_source())).losses["cycle"] == 4.0
