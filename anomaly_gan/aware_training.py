"""The aware network of a data set: trained to tell anomalous crops from normal ones, then frozen (ours)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from anomaly_gan.batches import Batch, BatchSource
from anomaly_gan.config import CropConfig
from anomaly_gan.crops import crop, mask_boxes
from anomaly_gan.data import to_model_range
from anomaly_gan.networks.aware import AwareNetwork

LEARNING_RATE = 3e-4
ACCURACY_STEPS = 10


def random_aware(seed: int) -> AwareNetwork:
    """Random weights that keep the scale of activations; for tests, and where training begins."""
    torch.manual_seed(seed)
    network = AwareNetwork()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    return network


def train_aware(
    source: BatchSource, config: CropConfig, steps: int, device: torch.device
) -> tuple[AwareNetwork, float]:
    """Train the seven convolutions as a classifier of crops: the class against normal.

    The paper never says what its network was trained on.

    Args:
        source: the training split; its pairs give one crop of each kind.
        config: the boxes around the masks.
        steps: updates.
        device: where to train.

    Returns:
        The frozen network, and its accuracy in 0..1 over the last steps, each before it was learnt from.
    """
    network = random_aware(source.seed).to(device)
    head = nn.Linear(network.features[-2].out_channels, 1).to(device)  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW([*network.parameters(), *head.parameters()], lr=LEARNING_RATE)
    correct: list[float] = []
    for step in range(steps):
        crops, target = labelled_crops(source.batch(step).to(device), config)
        logits = head(network(crops)[-1].mean((2, 3))).flatten()
        optimizer.zero_grad(set_to_none=True)
        binary_cross_entropy_with_logits(logits, target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        correct.append(((logits > 0).float() == target).float().mean().item())
    last = correct[-ACCURACY_STEPS:]
    return network.frozen(), sum(last) / len(last)


def labelled_crops(batch: Batch, config: CropConfig) -> tuple[Tensor, Tensor]:
    """Crops [2N, 3, 64, 64] in [-1, 1] of abnormal, then normal images; target [2N], 1 = abnormal."""
    images = torch.cat([to_model_range(batch.abnormal_image), to_model_range(batch.normal_image)])
    masks = torch.cat([batch.prior_mask, batch.expert_mask]).float()
    boxes, _ = mask_boxes(masks, config)
    target = torch.zeros(len(images), device=images.device)
    target[: len(batch.abnormal_image)] = 1
    return crop(images, boxes), target
