"""One training loop and one prediction loop for all detectors of torchvision's kind."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.detectors import find_detector
from anomaly_gan.detectors.missing import chances, missed
from anomaly_gan.detectors.showing import Draws, Stream
from anomaly_gan.detectors.targets import to_image, to_instances, to_target
from anomaly_gan.metrics.detection import Detections, Instances
from anomaly_gan.samples.sample import Sample
from infra.errors import DataError, TrainingError

MASK_PROBABILITY = 0.5
"""A pixel of at least this probability belongs to a detection."""

LOOKS = (0.25, 0.5, 0.75)
"""Shares of the steps after which a detector says what it still misses of streams that adapt to it."""

MOST_ASKED = 400
"""Pictures of a stream that it is asked about at a look; others count as missed as these are in the mean."""


@dataclass(frozen=True)
class DetectorReport:
    """One optimiser step is done: `step` of `steps`, 1 first; `loss` is the sum of the detector's terms."""

    step: int
    steps: int
    loss: float


def train_detector(
    model: nn.Module,
    streams: Sequence[Stream],
    classes: Sequence[str],
    config: DetectorConfig,
    device: str = "cpu",
) -> Iterator[DetectorReport]:
    """Train in place, yielding after every step; the same seed gives the same weights on the same CPU.

    With `config.turns` each image is turned by one of the eight flips and rotations. Streams that adapt are shown
    evenly at first; after each of `LOOKS` the detector predicts on their pictures, and those of which it misses more
    are shown more often from then on.

    Raises:
        DataError: a stream has no samples.
        TrainingError: the loss is not finite.
    """
    for stream in streams:
        if not stream.samples:
            raise DataError(f"detector: no {stream.name} training images")
    annotated = [[to_instances(sample, classes) for sample in stream.samples] for stream in streams]
    model.to(device).train()
    optimiser = torch.optim.AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
    )
    rng = np.random.default_rng(config.seed)
    drawn, turns = Draws(streams, config.seed), 8 if config.turns else 1
    looks = {round(share * config.steps) for share in LOOKS}
    for step in range(1, config.steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * _schedule(step, config)
        batch = [
            turned(to_image(streams[k].samples[i]), to_target(annotated[k][i]), int(rng.integers(turns)))
            for k, i in islice(drawn, config.batch_size)
        ]
        loss = _step(model, optimiser, batch, config, step, device)
        for k, stream in enumerate(streams if step in looks and step < config.steps else ()):
            if stream.adapts:
                drawn.weigh(k, _chances(model, stream, annotated[k], classes, config, step, device))
        yield DetectorReport(step, config.steps, loss)


@torch.no_grad()
def predict(
    model: nn.Module, samples: Sequence[Sample], classes: Sequence[str], *, has_masks: bool, device: str = "cpu"
) -> Iterator[Detections]:
    """Yield what the detector finds in each sample, at the image's own size, best first; low scores included.

    Args:
        samples: of any sizes; whole frames may be larger than what the detector was trained on.
        classes: names of labels 1..K.
        has_masks: the detector finds masks, and so has maps; see `Detector`.
    """
    model.to(device).eval()
    for sample in samples:
        found = model([to_image(sample).to(device)])[0]
        yield Detections(
            boxes=found["boxes"].cpu().numpy(),
            labels=found["labels"].cpu().numpy(),
            masks=(found["masks"][:, 0] >= MASK_PROBABILITY).to(torch.uint8).cpu().numpy() if has_masks else None,
            scores=found["scores"].cpu().numpy(),
            maps=_maps(found, len(classes)).cpu().numpy() if has_masks else None,
        )


def _chances(
    model: nn.Module,
    stream: Stream,
    truths: Sequence[Instances],
    classes: Sequence[str],
    config: DetectorConfig,
    step: int,
    device: str,
) -> NDArray[np.float64]:
    """[N], how often each picture of a stream is to be shown, by what the detector misses of it now."""
    count = len(stream.samples)
    asked = np.sort(np.random.default_rng([config.seed, step]).permutation(count)[:MOST_ASKED]).tolist()
    has_masks = find_detector(config.name).has_masks
    found = predict(model, [stream.samples[i] for i in asked], classes, has_masks=has_masks, device=device)
    of_asked = [missed(each, truths[i]) for i, each in zip(asked, found, strict=True)]
    model.train()
    shares = np.full(count, np.mean(of_asked))
    shares[asked] = of_asked
    return chances(shares)


def _maps(found: dict[str, Tensor], num_classes: int) -> Tensor:
    """[K, H, W] 0..1: the detector's own, else at each pixel the largest score times soft mask of a class."""
    if "maps" in found:
        return found["maps"]
    soft = found["masks"][:, 0] * found["scores"][:, None, None]
    maps = soft.new_zeros((num_classes, *soft.shape[1:]))
    for label, mask in zip(found["labels"].tolist(), soft, strict=True):
        torch.maximum(maps[label - 1], mask, out=maps[label - 1])
    return maps


def _step(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    batch: Sequence[tuple[Tensor, dict[str, Tensor]]],
    config: DetectorConfig,
    step: int,
    device: str,
) -> float:
    gpus = [torch.device(device)] if device.startswith("cuda") else []
    # torchvision samples anchors and proposals from the global generator.
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(int(np.random.SeedSequence([config.seed, step]).generate_state(1)[0]))
        terms = model(
            [image.to(device) for image, _ in batch],
            [{name: tensor.to(device) for name, tensor in target.items()} for _, target in batch],
        )
    loss = torch.stack(list(terms.values())).sum()
    if not torch.isfinite(loss):
        values = ", ".join(f"{name} {term.item():.3g}" for name, term in terms.items())
        raise TrainingError(f"detector: loss is not finite at step {step} ({values}); lower learning_rate")
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    optimiser.step()
    return float(loss.detach())


def _schedule(step: int, config: DetectorConfig) -> float:
    """Share of the learning rate at a step: linear warm-up, then a cosine that ends at 0 after the last."""
    warmup = min(config.warmup_steps, config.steps // 2)
    if step <= warmup:
        return step / warmup
    done = (step - 1 - warmup) / (config.steps - warmup)
    return (1 + math.cos(math.pi * done)) / 2


def turned(image: Tensor, target: dict[str, Tensor], turn: int) -> tuple[Tensor, dict[str, Tensor]]:
    """One of the eight symmetries of the square: `turn % 4` quarter turns, flipped first from 4 on.

    Args:
        image: [3, H, W].
        target: as `to_target` gives it, of the same H and W.
        turn: 0..7, 0 = as it is.
    """
    height, width = image.shape[-2:]
    masks = target["masks"]
    if turn >= 4:
        image, masks = image.flip(-1), masks.flip(-1)
    image, masks = image.rot90(turn % 4, (-2, -1)), masks.rot90(turn % 4, (-2, -1))
    return image.contiguous(), {
        "boxes": _turned_boxes(target["boxes"], turn, width, height),
        "labels": target["labels"],
        "masks": masks.contiguous(),
    }


def _turned_boxes(boxes: Tensor, turn: int, width: int, height: int) -> Tensor:
    if turn >= 4:
        x1, y1, x2, y2 = boxes.unbind(1)
        boxes = torch.stack([width - x2, y1, width - x1, y2], dim=1)
    for _ in range(turn % 4):
        # A counter-clockwise quarter turn takes column x to row width - x.
        x1, y1, x2, y2 = boxes.unbind(1)
        boxes = torch.stack([y1, width - x2, y2, width - x1], dim=1)
        width, height = height, width
    return boxes
