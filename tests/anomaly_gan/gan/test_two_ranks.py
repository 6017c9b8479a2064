"""Training on two ranks against training on one, a resume on another number of ranks, and how ranks end together.

In double precision 20 steps agree to 1e-11, with batch norm over all ranks as with norms of single images. The
exception are the biases before batch norm, to 1e-6: their gradient is zero but for rounding, which Adam divides by its
own size. With a larger epsilon such gradients rest, and 20 steps at the stable form's rates agree to 1e-5 in single
precision.
Batch norm over all ranks adds up in another order, so in single precision activations differ by 1e-7. Where one of
them lies so close to the kink of a ReLU, a gradient jumps (by 1e-4 of its norm at the first step, by the seed), and
the rates of the paper's form make more of it at each step; so only its first step is compared there, to 1e-3.
A resume on the same number of ranks is compared in single precision, bit for bit.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from anomaly_gan import ranks
from anomaly_gan.config import PRESETS, TrainConfig
from anomaly_gan.gan.method import AnomalyGan, build_anomaly_gan
from anomaly_gan.gan.state import Seen
from anomaly_gan.training import checkpoint
from anomaly_gan.training.batches import BatchSource
from anomaly_gan.training.joining import join_ranks
from anomaly_gan.training.loop import run
from infra.errors import TrainingError
from tests.support.builders import CPU, NarrowAware, batch_source, equal_states, train_config
from tests.support.two_ranks import RANKS, Scenario, TwoRanks, on_two_ranks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BATCH_SIZE = 4
CLOSE = 1e-8
CLOSE_WITH_BIASES_BEFORE_BATCH_NORM = 1e-5
CLOSE_IN_SINGLE_PRECISION = 5e-5
CLOSE_WHERE_KINKS_TELL = 1e-3
NARROW_NETWORKS = {"generator_widths": (4, 8, 8), "width_mult": 1 / 32}
STABLE: dict[str, Any] = {
    "image_pool": 2,
    "augment": {"probability": 0.5},
    "loss": {"aware_norm": "channel_mean"},  # the energy distance takes its partners within a part of a batch
}
PAPER: dict[str, Any] = {name: PRESETS["paper"][name] for name in ("image_pool", "model", "crop", "loss", "optim")}
PAPER["model"] = PAPER["model"] | {"upsample": "resize"}  # less of a rounding error grows in twenty steps
"""With batch norm over all ranks in generators and discriminators."""
SYNC: dict[str, Any] = STABLE | {"model": {"generator_norm": "sync"}}
FORMS = {"stable": STABLE, "paper": PAPER, "sync": SYNC}
RESTING_EPS = 1e-3
CLOSE_AFTER_RESUME = 1e-3
"""Of the terms, in single precision, relative or absolute; stated in docs/method.md."""

Losses = list[dict[str, float]]


def config_of(steps: int, **changes: Any) -> TrainConfig:
    model = NARROW_NETWORKS | changes.pop("model", {})
    return train_config(batch_size=BATCH_SIZE, total_images=BATCH_SIZE * steps, model=model, **changes)


def new_state(config: TrainConfig) -> AnomalyGan:
    together = ranks.world_size() > 1
    return build_anomaly_gan(config, 64, NarrowAware(), CPU, join_ranks(CPU) if together else lambda module: module)


def source() -> BatchSource:
    return batch_source(batch_size=BATCH_SIZE, rank=ranks.rank(), world_size=ranks.world_size())


def trained(state: AnomalyGan, path: Path | None = None) -> Losses:
    """Run to the end; the first checkpoint that is due goes to `path`."""
    losses = []
    for report in run(state, source()):
        losses.append(report.losses)
        if report.is_checkpoint and path is not None:
            image_pools = checkpoint.gather_image_pools(state)
            if ranks.rank() == 0:
                checkpoint.save(state, image_pools, path)
            path = None
    return losses


def resumed(config: TrainConfig, path: Path) -> AnomalyGan:
    state = new_state(config)
    checkpoint.restore(state, path, "checkpoint")
    return state


def weights(state: AnomalyGan) -> dict[str, Any]:
    """All parameters and buffers."""
    parts = ("generators", "discriminators", "g_ema")
    return {part: getattr(state, part).state_dict() for part in parts}


def everything(state: AnomalyGan) -> dict[str, Any]:
    """All that this rank's run changes."""
    pools = {domain: pool.histories for domain, pool in state.image_pools.items()}
    optimizers = {name: getattr(state, name).state_dict() for name in ("optim_g", "optim_d")}
    return {"step": state.step, "pools": pools} | weights(state) | optimizers


def places(state: AnomalyGan) -> dict[str, list[int]]:
    return {domain: sorted(pool.histories) for domain, pool in state.image_pools.items()}


@contextmanager
def double_precision() -> Iterator[None]:
    """Within it networks are made in double precision, and what asks for single precision gets double."""
    before = torch.get_default_dtype()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "float", Tensor.double)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


# --- what both ranks run


ALONE_CHECKPOINT = "of-one-rank.pt"
TOGETHER_CHECKPOINT = "of-two-ranks.pt"
SINGLE_CHECKPOINT = "of-two-ranks-in-single-precision.pt"


def long_config(form: str) -> TrainConfig:
    return config_of(20, checkpoint_every_steps=10, **FORMS[form])


def long_run(form: str, path: Path | None) -> dict[str, Any]:
    with double_precision():
        state = new_state(long_config(form))
        losses = trained(state, path)
        return {"losses": losses, "weights": weights(state)}


def stable_form(folder: Path) -> dict[str, Any]:
    return long_run("stable", folder / TOGETHER_CHECKPOINT)


def paper_form(folder: Path) -> dict[str, Any]:
    return long_run("paper", None)


def sync_form(folder: Path) -> dict[str, Any]:
    return long_run("sync", None)


def stable_form_in_single_precision(folder: Path) -> Losses:
    return trained(new_state(config_of(3, **STABLE)))


def paper_form_in_single_precision(folder: Path) -> Losses:
    return trained(new_state(config_of(1, **PAPER)))


def resting_stable_form(folder: Path) -> dict[str, Any]:
    """In single precision, with an epsilon of AdamW's that gradients of 0 but for rounding do not pass."""
    state = new_state(long_config("stable"))
    for optimizer in (state.optim_g, state.optim_d):
        optimizer.param_groups[0]["eps"] = RESTING_EPS
    losses = trained(state)
    return {"losses": losses, "weights": weights(state)}


def twenty_steps_in_single_precision(folder: Path) -> Losses:
    return trained(new_state(long_config("stable")), folder / SINGLE_CHECKPOINT)


def continued(path: Path) -> dict[str, Any]:
    with double_precision():
        state = resumed(long_config("stable"), path)
        begun_with = places(state)
        return {"places": begun_with, "losses": trained(state), "weights": weights(state)}


def of_one_rank_continued_by_two(folder: Path) -> dict[str, Any]:
    return continued(folder / ALONE_CHECKPOINT)


def halves(form: str, path: Path) -> dict[str, Any]:
    """A run, and one of two halves with a checkpoint between them."""
    config = config_of(6, checkpoint_every_steps=3, **FORMS[form])
    straight = new_state(config)
    losses = trained(straight, path)
    dist.barrier()
    second = resumed(config, path)
    begun_at = second.step
    return {
        "straight": {"losses": losses[begun_at:], "state": everything(straight)},
        "resumed": {"losses": trained(second), "state": everything(second)},
        "begun_at": begun_at,
    }


def halves_of_stable_form(folder: Path) -> dict[str, Any]:
    return halves("stable", folder / "halves-stable.pt")


def halves_of_paper_form(folder: Path) -> dict[str, Any]:
    return halves("paper", folder / "halves-paper.pt")


def with_rank_1_spoiled(part: Callable[[AnomalyGan], nn.Module]) -> dict[str, Any]:
    """Rank 1's copy of a network gets a value that is not finite after step 2; the next report is due at step 4."""
    state = new_state(config_of(6, log_every_steps=2))
    reports = run(state, source())
    next(reports)
    if ranks.rank() == 1:
        with torch.no_grad():
            next(part(state).parameters()).fill_(math.nan)
    with pytest.raises(TrainingError) as raised:
        next(reports)
    return {"error": str(raised.value), "step": state.step}


def aware_network_spoiled(folder: Path) -> dict[str, Any]:
    return with_rank_1_spoiled(lambda state: state.aware)


def discriminator_spoiled(folder: Path) -> dict[str, Any]:
    return with_rank_1_spoiled(lambda state: state.discriminators.nets["d2_abnl"])


def stop_asked_of_rank_1(folder: Path) -> list[tuple[int, bool, bool]]:
    state = new_state(config_of(6, log_every_steps=6))
    reports = run(state, source(), lambda: ranks.rank() == 1 and state.step == 3)
    return [(report.step, report.is_stopped, report.is_checkpoint) for report in reports]


BATCH_NORM = {"model": {"generator_norm": "batch", "discriminator_norm": "batch"}}


def batch_norm_of_each_rank(folder: Path) -> dict[str, Any]:
    state = new_state(config_of(3, **BATCH_NORM))
    return {"losses": trained(state), "weights": weights(state)}


def two_forwards_before_a_backward(folder: Path) -> dict[str, Any]:
    """By the joined discriminators, and by a copy that knows of no other rank."""
    state = new_state(config_of(1, **BATCH_NORM))
    apart = deepcopy(state.discriminators)
    random = torch.Generator().manual_seed(ranks.rank())
    images = [torch.rand(2, 4, 64, 64, generator=random) for _ in range(4)]
    natives = [torch.rand(2, 5, 64, 64, generator=random) for _ in range(4)]
    seen = [Seen(image, image, torch.ones(2), native) for image, native in zip(images, natives, strict=True)]
    for discriminators in (state.discriminators_joined, apart):
        logits = [*discriminators(*seen), *discriminators(*seen[::-1])]
        torch.cat(logits).sum().backward()  # type: ignore[no-untyped-call]
    return {
        "gradients": [parameter.grad for parameter in state.discriminators.parameters()],
        "buffers": dict(state.discriminators.named_buffers()),
        "buffers_apart": dict(apart.named_buffers()),
    }


def counted_allreduce(
    count: list[int],
    bucket: dist.GradBucket,  # type: ignore[name-defined]
) -> torch.futures.Future[Tensor]:
    count.append(bucket.index())
    group = dist.group.WORLD
    assert group is not None
    return allreduce_hook(group, bucket)


def in_parts(accumulate: int) -> dict[str, Any]:
    with double_precision():
        state = new_state(config_of(6, **STABLE, compute={"accumulate": accumulate}))
        joined: list[int] = []
        for module in (state.generators_joined, state.discriminators_joined):
            assert isinstance(module, DistributedDataParallel)
            module.register_comm_hook(joined, counted_allreduce)
        return {"losses": trained(state), "weights": weights(state), "joined": len(joined)}


def whole_shares(folder: Path) -> dict[str, Any]:
    return in_parts(1)


def shares_in_two_parts(folder: Path) -> dict[str, Any]:
    return in_parts(2)


FORM_OF: dict[Scenario, str] = {stable_form: "stable", paper_form: "paper", sync_form: "sync"}
SCENARIOS = (
    stable_form,
    paper_form,
    sync_form,
    stable_form_in_single_precision,
    paper_form_in_single_precision,
    resting_stable_form,
    twenty_steps_in_single_precision,
    of_one_rank_continued_by_two,
    halves_of_stable_form,
    halves_of_paper_form,
    aware_network_spoiled,
    discriminator_spoiled,
    stop_asked_of_rank_1,
    batch_norm_of_each_rank,
    two_forwards_before_a_backward,
    whole_shares,
    shares_in_two_parts,
)


# --- what one rank runs, and what came of both


@pytest.fixture(scope="module", autouse=True)
def single_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, dict[str, Any]]:
    """The long runs by this process alone; the stable form's leaves a checkpoint."""
    checkpoints = {"stable": folder / ALONE_CHECKPOINT}
    return {form: long_run(form, checkpoints.get(form)) for form in FORMS}


@pytest.fixture(scope="module")
def together(folder: Path, alone: dict[str, dict[str, Any]]) -> TwoRanks:
    return on_two_ranks(SCENARIOS, folder)


def over_ranks(by_rank: list[Losses]) -> Losses:
    """The terms of the global batch: each is a mean over images, and the ranks' shares are equal."""
    return [
        {name: sum(terms[name] for terms in step) / len(step) for name in step[0]}
        for step in zip(*by_rank, strict=True)
    ]


def losses_of(by_rank: list[dict[str, Any]]) -> Losses:
    return over_ranks([left["losses"] for left in by_rank])


def assert_close(found: Any, expected: Any, tolerance: float) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


# --- one batch, shared


@pytest.mark.parametrize("scenario", FORM_OF)
def test_the_mean_of_two_ranks_terms_is_the_term_of_one_rank_with_the_whole_batch(
    scenario: Scenario, together: TwoRanks, alone: dict[str, dict[str, Any]]
) -> None:
    losses = losses_of(together.left_by(scenario))
    assert len(losses) == 20
    assert_close(losses, alone[FORM_OF[scenario]]["losses"], CLOSE)


@pytest.mark.parametrize("scenario", FORM_OF)
def test_two_ranks_get_the_weights_averages_and_buffers_of_one_rank_with_the_whole_batch(
    scenario: Scenario, together: TwoRanks, alone: dict[str, dict[str, Any]]
) -> None:
    found, expected = together.left_by(scenario)[0]["weights"], alone[FORM_OF[scenario]]["weights"]
    assert_close(found, expected, CLOSE if scenario is stable_form else CLOSE_WITH_BIASES_BEFORE_BATCH_NORM)


@pytest.mark.parametrize("scenario", FORM_OF)
def test_weights_averages_and_buffers_of_two_ranks_are_the_same_bit_for_bit(
    scenario: Scenario, together: TwoRanks
) -> None:
    first, second = together.left_by(scenario)
    assert equal_states(first["weights"], second["weights"])
    vectors = [name for name in first["weights"]["discriminators"] if name.endswith((".u", ".v"))]
    assert bool(vectors) == (scenario is not paper_form)


@pytest.mark.parametrize(
    ("scenario", "tolerance"),
    [
        (stable_form_in_single_precision, CLOSE_IN_SINGLE_PRECISION),
        (paper_form_in_single_precision, CLOSE_WHERE_KINKS_TELL),
    ],
)
def test_in_single_precision_the_first_steps_of_two_ranks_are_those_of_one(
    scenario: Scenario, tolerance: float, together: TwoRanks, folder: Path
) -> None:
    assert_close(over_ranks(together.left_by(scenario)), scenario(folder), tolerance)


def test_twenty_steps_of_two_ranks_in_single_precision_leave_the_parameters_of_one(
    together: TwoRanks, folder: Path
) -> None:
    expected = resting_stable_form(folder)
    by_rank = together.left_by(resting_stable_form)
    assert_close(losses_of(by_rank), expected["losses"], CLOSE_IN_SINGLE_PRECISION)
    for left in by_rank:
        torch.testing.assert_close(left["weights"], expected["weights"], rtol=0, atol=CLOSE_IN_SINGLE_PRECISION)


def test_shares_computed_in_parts_equal_whole_ones(together: TwoRanks) -> None:
    for whole, parts in zip(together.left_by(whole_shares), together.left_by(shares_in_two_parts), strict=True):
        assert_close(parts["losses"], whole["losses"], CLOSE)
        assert_close(parts["weights"], whole["weights"], CLOSE)


def test_the_parts_of_a_share_are_joined_once_a_step(together: TwoRanks) -> None:
    whole, parts = together.left_by(whole_shares), together.left_by(shares_in_two_parts)
    assert [left["joined"] for left in parts] == [left["joined"] for left in whole]
    assert all(left["joined"] > 0 for left in whole)


# --- stop and resume


@pytest.mark.parametrize("scenario", [halves_of_stable_form, halves_of_paper_form])
def test_two_ranks_that_stop_halfway_and_resume_equal_two_that_do_not_bit_for_bit(
    scenario: Scenario, together: TwoRanks
) -> None:
    for left in together.left_by(scenario):
        assert left["begun_at"] == len(left["resumed"]["losses"]) == 3
        assert left["resumed"]["losses"] == left["straight"]["losses"]
        assert equal_states(left["resumed"]["state"], left["straight"]["state"])


def test_one_rank_continues_the_run_of_two_with_all_their_image_pools(together: TwoRanks, folder: Path) -> None:
    by_rank = together.left_by(stable_form)
    left = continued(folder / TOGETHER_CHECKPOINT)
    assert left["places"] == {"abnl": [0, 1, 2, 3], "norm": [0, 1, 2, 3]}
    assert_close(left["losses"], losses_of(by_rank)[10:], CLOSE)
    assert_close(left["weights"], by_rank[0]["weights"], CLOSE)


def test_two_ranks_continue_the_run_of_one_each_with_its_share_of_the_image_pools(
    together: TwoRanks, alone: dict[str, dict[str, Any]]
) -> None:
    by_rank = together.left_by(of_one_rank_continued_by_two)
    assert [left["places"] for left in by_rank] == [{"abnl": [0, 2], "norm": [0, 2]}, {"abnl": [1, 3], "norm": [1, 3]}]
    assert_close(losses_of(by_rank), alone["stable"]["losses"][10:], CLOSE)
    for left in by_rank:
        assert_close(left["weights"], alone["stable"]["weights"], CLOSE)


def test_in_single_precision_one_rank_continues_the_loss_curve_of_two(together: TwoRanks, folder: Path) -> None:
    by_rank = together.left_by(twenty_steps_in_single_precision)
    state = resumed(long_config("stable"), folder / SINGLE_CHECKPOINT)
    assert_close(trained(state), over_ranks(by_rank)[10:], CLOSE_AFTER_RESUME)


# --- ending together


@pytest.mark.parametrize(("scenario", "term"), [(aware_network_spoiled, "aware"), (discriminator_spoiled, "d2")])
def test_a_term_that_is_not_finite_on_one_rank_ends_both_with_the_same_error(
    scenario: Scenario, term: str, together: TwoRanks
) -> None:
    first, second = together.left_by(scenario)
    assert first == second
    assert first["error"].startswith(f"{term} is nan at step 3 (nimg=8), rank 1;")


def test_a_stop_that_one_rank_is_asked_for_ends_both_at_the_same_step(together: TwoRanks) -> None:
    assert together.left_by(stop_asked_of_rank_1) == [[(3, True, True)]] * RANKS


# --- batch norm of each rank


def test_ranks_with_batch_norm_of_their_own_keep_the_same_weights(together: TwoRanks) -> None:
    by_rank = together.left_by(batch_norm_of_each_rank)
    assert all(math.isfinite(term) for left in by_rank for terms in left["losses"] for term in terms.values())
    first, second = (left["weights"]["discriminators"] for left in by_rank)
    for name, found in first.items():
        assert torch.equal(found, second[name]) != name.endswith(("running_mean", "running_var")), name


def test_batch_norm_may_go_forward_twice_before_it_goes_backward_and_keeps_the_statistics_of_its_rank(
    together: TwoRanks,
) -> None:
    """Left to itself, DDP sends rank 0's statistics before each forward; some torch then raise (their issue 175024)."""
    first, second = together.left_by(two_forwards_before_a_backward)
    assert equal_states(first["gradients"], second["gradients"])
    for left in (first, second):
        assert equal_states(left["buffers"], left["buffers_apart"])
    assert not equal_states(first["buffers"], second["buffers"])
