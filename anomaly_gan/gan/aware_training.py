"""The aware network of a data set: trained to distinguish anomalous from normal crops, then frozen (ours)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from anomaly_gan.config import CropConfig
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.networks.crops import crop, mask_boxes
from anomaly_gan.samples.grouping import split_by_group
from anomaly_gan.samples.index import NORMAL
from anomaly_gan.samples.sample import Sample
from anomaly_gan.samples.tensors import to_model_range
from anomaly_gan.training.batches import Batch, BatchSource
from infra.errors import DataError

LEARNING_RATE = 3e-4
HELD_OUT_SHARE = 0.2
"""Share of the groups that the accuracy is measured on."""
VIEWS_PER_IMAGE = 4
"""Crops cut from each held-out image of the class; as many are cut from normal images."""
HELD_OUT_BATCH_SIZE = 16
LEAST_BATCHES, MOST_BATCHES = 2, 8
"""Bounds on the batches that are measured, so that few images give a figure and many take no long time."""


@dataclass(frozen=True)
class AwareTraining:
    """What came of a training.

    Attributes:
        network: frozen.
        held_out_accuracy: share in 0..1 of crops judged rightly, of images that were not learnt from, half of them
            abnormal; None where it was not measured.
        held_out_crops: how many those were.
        not_measured: why there is no accuracy; empty where there is one.
    """

    network: AwareNetwork
    held_out_accuracy: float | None
    held_out_crops: int
    not_measured: str = ""


def random_aware(seed: int) -> AwareNetwork:
    """Random weights that keep the scale of activations; for tests, and where training begins.

    The same seed gives the same weights, so that all ranks, and a resumed run, have the same network.
    """
    with _own_chance(seed):
        network = AwareNetwork()
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return network


def train_aware(source: BatchSource, config: CropConfig, steps: int, device: torch.device) -> AwareTraining:
    """Train the seven convolutions as a classifier of crops: the class against normal.

    The paper never says what its network was trained on. A fifth of the groups is held out to measure what was
    learnt; where that cannot be, all images are learnt from.

    Args:
        source: the training split; its pairs give one crop of each kind. With the other arguments it decides all.
        config: the boxes around the masks.
        steps: updates.
        device: where to train.
    """
    held_out, not_measured = None, ""
    # too few groups to hold any out are no reason to refuse a run: it trains on all, and its record says why
    try:
        source, held_out = hold_out(source)
    except DataError as err:
        not_measured = str(err)
    network = random_aware(source.seed)
    with _own_chance(source.seed):
        # 256 features -> one logit; the head is thrown away after the training
        head = nn.Linear(network.features[-2].out_channels, 1)  # type: ignore[arg-type]
    network, head = network.to(device), head.to(device)
    optimizer = torch.optim.AdamW([*network.parameters(), *head.parameters()], lr=LEARNING_RATE)
    for step in range(steps):
        crops, target = labelled_crops(source.batch(step).to(device), config)
        optimizer.zero_grad(set_to_none=True)
        binary_cross_entropy_with_logits(_logits(network, head, crops), target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    network = network.frozen()
    if held_out is None:
        return AwareTraining(network, None, 0, not_measured)
    correct = _held_out_answers(network, head, held_out, config, device)
    return AwareTraining(network, correct.mean().item(), len(correct))


def hold_out(source: BatchSource) -> tuple[BatchSource, BatchSource]:
    """The part to learn from and the part to measure on; no group is in both, each has images of both kinds.

    Raises:
        DataError: all images of a kind are of one group.
    """
    kinds = {NORMAL: source.normals, source.pool.class_name: source.abnormals}
    for kind, samples in kinds.items():
        if len({_group(sample) for sample in samples}) == 1:
            raise DataError(f"all {kind} images are of one group")
    # pictures of one group (one part, one day) look alike, so a group on both sides would flatter the accuracy
    pictures = {sample.key: (_group(sample), {kind}) for kind, samples in kinds.items() for sample in samples}
    side = split_by_group(pictures, test_fraction=HELD_OUT_SHARE, seed=source.seed)

    def part(wanted: str) -> BatchSource:
        normals, abnormals = ([s for s in samples if side[s.key] == wanted] for samples in kinds.values())
        return replace(source, normals=normals, abnormals=abnormals)

    return part("train"), part("test")


def labelled_crops(batch: Batch, config: CropConfig) -> tuple[Tensor, Tensor]:
    """Crops [M, 3, 64, 64] in [-1, 1] of abnormal, then of as many normal images; target [M], 1 = abnormal.

    Both are cut with the abnormal images' boxes: otherwise the zoom alone would give the answer away.
    """
    images = torch.cat([to_model_range(batch.abnormal_image), to_model_range(batch.normal_image)])
    boxes, _ = mask_boxes(torch.cat([batch.prior_mask, batch.prior_mask]), config)
    target = torch.zeros(len(boxes), device=images.device)
    target[: len(boxes) // 2] = 1
    return crop(images, boxes), target


@contextmanager
def _own_chance(seed: int) -> Iterator[None]:
    """Within it the CPU's global generator, from which constructors draw, has a seed; afterwards its old state."""
    with torch.random.fork_rng(devices=[]):  # no GPU's state: nothing is drawn there
        torch.default_generator.manual_seed(seed)
        yield


def _group(sample: Sample) -> str:
    return str(sample.meta.get("group", sample.key))


def _logits(network: AwareNetwork, head: nn.Linear, crops: Tensor) -> Tensor:
    """Logits [M] of crops [M, 3, 64, 64]; above 0 means abnormal."""
    # the last tap [M, 256, 16, 16], averaged over its pixels
    logits: Tensor = head(network(crops)[-1].mean((2, 3))).flatten()
    return logits


@torch.no_grad()
def _held_out_answers(
    network: AwareNetwork, head: nn.Linear, source: BatchSource, config: CropConfig, device: torch.device
) -> Tensor:
    """[M], for each held-out crop 1 where it was judged rightly, else 0."""
    # whichever rank this is, it measures all pairs of a batch
    alone = replace(source, batch_size=HELD_OUT_BATCH_SIZE, rank=0, world_size=1)
    answers = []
    wanted = -(-VIEWS_PER_IMAGE * len(source.abnormals) // HELD_OUT_BATCH_SIZE)
    for step in range(min(max(wanted, LEAST_BATCHES), MOST_BATCHES)):
        crops, target = labelled_crops(alone.batch(step).to(device), config)
        answers.append((_logits(network, head, crops) > 0).float() == target)
    return torch.cat(answers).float()
