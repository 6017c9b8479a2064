"""Each norm by its name, and batch norm over two ranks against one process with the whole batch."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from anomaly_gan.networks import norms
from anomaly_gan.networks.norms import MIXING, Norm, SyncBatchNorm2d, group_count, norm2d

pytestmark = pytest.mark.usefixtures("one_thread")

RANKS = 2
SHARES = (3, 5)
"""Images of each rank."""


@pytest.mark.parametrize("kind", ["batch", "sync", "instance", "group"])
def test_every_norm_gives_zero_mean_and_unit_variance_and_learns_scale_and_shift(kind: Norm) -> None:
    norm = norm2d(kind, 16)
    assert {name: tuple(p.shape) for name, p in norm.named_parameters()} == {"weight": (16,), "bias": (16,)}
    normed = norm(torch.randn(4, 16, 8, 8) * 3 + 2)
    over = {"batch": (0, 2, 3), "sync": (0, 2, 3), "instance": (2, 3), "group": (2, 3)}[kind]
    if kind == "group":
        normed = normed.unflatten(1, (4, 4)).flatten(2, 3)
    assert normed.mean(over).abs().max() < 1e-5
    assert (normed.var(over, correction=0) - 1).abs().max() < 1e-3


@pytest.mark.parametrize("kind", ["batch", "sync", "instance", "group"])
def test_a_norm_mixes_the_images_of_a_batch_exactly_where_it_is_said_to(kind: Norm) -> None:
    norm, images = norm2d(kind, 8), torch.randn(3, 8, 4, 4)
    alone = norm(images[:1])
    assert torch.allclose(norm(images)[:1], alone, atol=1e-5) != (kind in MIXING)


@pytest.mark.parametrize(
    ("channels", "groups"), [(1, 1), (4, 1), (6, 1), (8, 2), (48, 12), (64, 16), (128, 32), (512, 32)]
)
def test_groups_divide_the_channels_into_four_or_more(channels: int, groups: int) -> None:
    assert group_count(channels) == groups


def test_instance_norm_takes_the_smallest_map_of_the_networks() -> None:
    assert norm2d("instance", 4)(torch.randn(1, 4, 4, 4)).shape == (1, 4, 4, 4)


# --- batch norm over ranks


def whole_batch() -> Tensor:
    """[8, 4, 6, 6]: one channel far from zero, whose squares would drown its variance; ranks of unlike statistics."""
    images = torch.randn(sum(SHARES), 4, 6, 6, generator=torch.Generator().manual_seed(0))
    images[:, 1] += 3000
    images[: SHARES[0]] *= 2
    return images


def share(whole: Tensor, rank: int) -> Tensor:
    return whole.split(list(SHARES))[rank]  # type: ignore[no-untyped-call, no-any-return]


class Net(nn.Module):
    """Two norms, so that gradients pass through one on their way to the other."""

    def __init__(self, kind: Norm) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(1)
        self.layers = nn.Sequential(norm2d(kind, 4), nn.Conv2d(4, 4, 3), nn.ReLU(), norm2d(kind, 4))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=random))

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.layers(images)
        return out


def measured(net: Net, batches: list[Tensor], weights: list[Tensor]) -> dict[str, Any]:
    """Outputs, gradients and buffers after forwards of all batches and one backward."""
    inputs = [batch.clone().requires_grad_() for batch in batches]
    outputs = [net(each) for each in inputs]
    torch.stack([(out * weight).sum() for out, weight in zip(outputs, weights, strict=True)]).sum().backward()  # type: ignore[no-untyped-call]
    return {
        "outputs": [out.detach() for out in outputs],
        "input_gradients": [each.grad for each in inputs],
        "gradients": {name: parameter.grad for name, parameter in net.named_parameters()},
        "buffers": dict(net.named_buffers()),
        "evaluated": net.eval()(batches[0]).detach(),
    }


def two_batches() -> tuple[list[Tensor], list[Tensor]]:
    """Two batches, seen one after the other before one backward as real and fake are; weights of their outputs."""
    random = torch.Generator().manual_seed(2)
    batches = [whole_batch(), whole_batch().flip(2) * 1.5]
    return batches, [torch.randn(sum(SHARES), 4, 4, 4, generator=random) for _ in batches]


def measure_on_rank(rank: int, folder: str) -> None:
    """Runs in a process of its own; leaves what it measured in the folder."""
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/ranks", rank=rank, world_size=RANKS)
    batches, weights = two_batches()
    found = measured(Net("sync"), [share(b, rank) for b in batches], [share(w, rank) for w in weights])
    half = share(whole_batch(), rank).to(torch.bfloat16, memory_format=torch.channels_last)
    found["half"] = SyncBatchNorm2d(4)(half)
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def by_rank(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes measured."""
    folder = tmp_path_factory.mktemp("ranks")
    spawn(measure_on_rank, (str(folder),), nprocs=RANKS)  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    """What torch's batch norm measures of the whole batch, in double precision."""
    batches, weights = two_batches()
    return measured(Net("batch").double(), [b.double() for b in batches], [w.double() for w in weights])


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert (found - expected).abs().max() <= 1e-5 * max(1.0, expected.abs().max().item())


@pytest.mark.parametrize("what", ["outputs", "input_gradients"])
def test_sync_norm_on_two_ranks_equals_batch_norm_on_the_whole_batch(
    what: str, by_rank: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    for number, expected in enumerate(alone[what]):
        assert_close(torch.cat([found[what][number] for found in by_rank]), expected)


def test_sync_norms_weight_gradients_add_up_to_those_of_the_whole_batch(
    by_rank: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    for name, expected in alone["gradients"].items():
        assert_close(by_rank[0]["gradients"][name] + by_rank[1]["gradients"][name], expected)


def test_sync_norm_keeps_the_running_statistics_of_the_whole_batch_on_every_rank(
    by_rank: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    for name, expected in alone["buffers"].items():
        for found in by_rank:
            assert_close(found["buffers"][name], expected)
        assert torch.equal(by_rank[0]["buffers"][name], by_rank[1]["buffers"][name])
    assert by_rank[0]["buffers"]["layers.0.num_batches_tracked"] == 2


def test_sync_norm_in_evaluation_uses_the_running_statistics(
    by_rank: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    assert_close(torch.cat([found["evaluated"] for found in by_rank]), alone["evaluated"])


def test_sync_norm_of_bfloat16_returns_it_in_the_same_memory_layout(by_rank: list[dict[str, Any]]) -> None:
    expected = nn.BatchNorm2d(4)(whole_batch().bfloat16().float())
    found = torch.cat([one["half"] for one in by_rank])
    assert found.dtype == torch.bfloat16
    assert all(one["half"].is_contiguous(memory_format=torch.channels_last) for one in by_rank)
    assert (found.float() - expected).abs().max() < 0.02


@pytest.mark.parametrize("together", [False, True], ids=["without ranks", "one rank"])
def test_sync_norm_of_one_rank_is_batch_norm(together: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(norms, "sum_over_ranks", None)
    batches, weights = two_batches()
    if together:
        dist.init_process_group("gloo", init_method=f"file://{tmp_path}/ranks", rank=0, world_size=1)
    try:
        found, expected = (measured(Net(kind), batches, weights) for kind in ("sync", "batch"))
    finally:
        if together:
            dist.destroy_process_group()
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
