"""QueryInst (Fang et al. 2021): a few learnt queries, each of which looks for one anomaly and draws it, stage by stage.

A query is a box and a vector of features, as in Sparse R-CNN (Sun et al. 2021). In each stage the vector becomes the
filters of a convolution over what lies in the box, and so says what the box shows and how it must move; the same vector
becomes other filters, which draw the mask. There are no anchors, no proposals and no suppression of double boxes: each
annotated anomaly has one query, the one that costs least.

Ours, to be trained from scratch on a CPU: few queries, three stages of 128 channels, and boxes that begin as a grid
instead of as whole pictures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import (
    MultiScaleRoIAlign,
    clip_boxes_to_image,
    generalized_box_iou,
    generalized_box_iou_loss,
    sigmoid_focal_loss,
)

from anomaly_gan.detectors.backbones import CHANNELS, LEVELS, NativeSize, feature_pyramid
from anomaly_gan.detectors.box_masks import masks_in_boxes, masks_in_picture
from anomaly_gan.detectors.config import DetectorConfig

GRID = 6
"""Boxes begin as a grid of so many rows and columns; there is a query for each."""
GRID_BOX = 0.25
"""Side of a box of the grid, as a share of the picture."""
STAGES = 3
FILTERS = 32
"""Channels between the two layers of filters that a query becomes."""
ATTENTION_HEADS = 4
FEEDFORWARD = 512
BOX_CELLS, MASK_CELLS = 7, 14
"""Side of the features of a box, in cells, for its class and place and for its mask, which has twice as many."""
PRIOR = 0.01
"""Probability of each class that an untrained query gives: most queries find nothing."""
CLASS_WEIGHT, L1_WEIGHT, GIOU_WEIGHT = 2.0, 5.0, 2.0
"""Of the losses, and of the costs by which queries are matched."""
DICE_WEIGHT, ENTROPY_WEIGHT = 8.0, 2.0
"""Of the losses of a mask; cross entropy is a mean over its cells."""
ALPHA, GAMMA = 0.25, 2.0
"""Of the focal loss (Lin et al. 2017)."""
MAX_GROWTH = 4.0
"""A stage makes a box at most so many times as wide or high, so that an early step cannot lose it."""


def build(num_classes: int, config: DetectorConfig, weights_folder: Path | None) -> nn.Module:
    """Arguments and errors as `feature_network`."""
    return QueryInst(num_classes, feature_pyramid(config, weights_folder))


@dataclass(frozen=True)
class Found:
    """What a stage says of N pictures with Q queries.

    Attributes:
        queries: [N, Q, C].
        classes: [N, Q, K] logits.
        boxes: [N, Q, 4] x1 y1 x2 y2 in px.
    """

    queries: Tensor
    classes: Tensor
    boxes: Tensor


class QueryInst(nn.Module):
    """Takes and gives what torchvision's Mask R-CNN does."""

    def __init__(self, num_classes: int, backbone: BackboneWithFPN) -> None:
        super().__init__()
        self.transform = NativeSize()
        self.backbone = backbone
        self.query_boxes = nn.Parameter(_grid())  # [Q, 4] centre and sides, as shares of the picture
        self.query_features = nn.Parameter(torch.randn(GRID**2, CHANNELS))
        self.box_pool = MultiScaleRoIAlign(LEVELS, output_size=BOX_CELLS, sampling_ratio=2)
        self.mask_pool = MultiScaleRoIAlign(LEVELS, output_size=MASK_CELLS, sampling_ratio=2)
        self.stages = nn.ModuleList(Stage(num_classes) for _ in range(STAGES))
        self.mask_heads = nn.ModuleList(MaskHead() for _ in range(STAGES))

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Losses in training mode, else what is found.

        Args:
            images: each [3, H, W] float 0..1, of any sizes.
            targets: one per image, as `to_target` gives them; read in training mode alone.

        Returns:
            In training mode the terms "class", "l1", "giou", "dice" and "cross_entropy", each the sum over the stages.
            Else for each image "boxes" [n, 4], "labels" [n], "scores" [n] and "masks" [n, 1, H, W] as torchvision has
            them, best first.
        """
        batch, _ = self.transform(list(images))
        levels: dict[str, Tensor] = self.backbone(batch.tensors)
        padded = tuple(batch.tensors.shape[-2:])
        features = _Features(levels, [padded] * len(images))
        stages = self._look(features, batch.image_sizes)
        if self.training:
            assert targets is not None
            return self._losses(features, stages, targets, batch.image_sizes)
        return self._detections(features, stages[-1], batch.image_sizes)

    def _look(self, features: "_Features", sizes: Sequence[tuple[int, int]]) -> list[Found]:
        """What each stage says, the first first."""
        scale = _scale(sizes, self.query_boxes)  # [N, 1, 4]
        boxes = _corners(self.query_boxes.clamp(min=0.01)) * scale
        queries = self.query_features.expand(len(sizes), -1, -1)
        stages: list[Found] = []
        for stage in self.stages:
            pooled = self.box_pool(features.levels, list(boxes.detach()), features.sizes)
            stages.append(stage(queries, boxes, pooled))
            queries, boxes = stages[-1].queries, stages[-1].boxes.detach()
        return stages

    def _masks(self, number: int, features: "_Features", queries: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """[n, 28, 28] logits of a stage, for [n, C] queries and their boxes, picture by picture."""
        pooled = self.mask_pool(features.levels, list(boxes), features.sizes)
        masks: Tensor = self.mask_heads[number](queries, pooled)
        return masks

    def _losses(
        self,
        features: "_Features",
        stages: Sequence[Found],
        targets: Sequence[dict[str, Tensor]],
        sizes: Sequence[tuple[int, int]],
    ) -> dict[str, Tensor]:
        scale = _scale(sizes, stages[0].boxes)
        count = max(1, sum(len(target["labels"]) for target in targets))
        totals: dict[str, Tensor] = {}
        for number, found in enumerate(stages):
            pairs = [
                match(found.classes[i], found.boxes[i] / scale[i], target["labels"], target["boxes"] / scale[i])
                for i, target in enumerate(targets)
            ]
            terms = _box_losses(found, targets, pairs, scale)
            terms |= self._mask_losses(number, features, found, targets, pairs)
            totals = {name: totals.get(name, 0) + term / count for name, term in terms.items()}
        return totals

    def _mask_losses(
        self,
        number: int,
        features: "_Features",
        found: Found,
        targets: Sequence[dict[str, Tensor]],
        pairs: Sequence[tuple[Tensor, Tensor]],
    ) -> dict[str, Tensor]:
        """Sums over the anomalies.

        Ours: cross entropy beside Dice, which alone learns nothing more once a mask fills its box for sure.
        """
        boxes = [found.boxes[i, chosen].detach() for i, (chosen, _) in enumerate(pairs)]
        queries = torch.cat([found.queries[i, chosen] for i, (chosen, _) in enumerate(pairs)])
        masks = self._masks(number, features, queries, boxes)
        truth = torch.cat(
            [
                masks_in_boxes(targets[i]["masks"], boxes[i], anomalies, masks.shape[-1])
                for i, (_, anomalies) in enumerate(pairs)
            ]
        )
        entropy = functional.binary_cross_entropy_with_logits(masks, truth, reduction="none")
        return {
            "dice": DICE_WEIGHT * dice_loss(masks.sigmoid(), truth),
            "cross_entropy": ENTROPY_WEIGHT * entropy.mean((1, 2)).sum(),
        }

    def _detections(
        self, features: "_Features", found: Found, sizes: Sequence[tuple[int, int]]
    ) -> list[dict[str, Tensor]]:
        """The Q best pairs of query and class of each picture."""
        num_queries, num_classes = found.classes.shape[1:]
        scores, order = found.classes.sigmoid().flatten(1).topk(num_queries, dim=1)
        chosen = order // num_classes
        boxes = [found.boxes[i, each] for i, each in enumerate(chosen)]
        queries = torch.cat([found.queries[i, each] for i, each in enumerate(chosen)])
        masks = self._masks(len(self.stages) - 1, features, queries, boxes).sigmoid().chunk(len(sizes))
        return [
            {
                "boxes": clip_boxes_to_image(boxes[i], size),
                "labels": order[i] % num_classes + 1,
                "scores": scores[i],
                "masks": masks_in_picture(masks[i], boxes[i], *size)[:, None],
            }
            for i, size in enumerate(sizes)
        ]


class Stage(nn.Module):
    """Queries look at each other, then each into its box, and say what is there and where exactly."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(CHANNELS, ATTENTION_HEADS, batch_first=True)
        self.interaction = BoxInteraction()
        self.feedforward = nn.Sequential(
            nn.Linear(CHANNELS, FEEDFORWARD), nn.ReLU(inplace=True), nn.Linear(FEEDFORWARD, CHANNELS)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(CHANNELS) for _ in range(3))
        self.classes = nn.Sequential(*_dense(), nn.Linear(CHANNELS, num_classes))
        self.moves = nn.Sequential(*_dense(), nn.Linear(CHANNELS, 4))
        nn.init.constant_(self.classes[-1].get_parameter("bias"), math.log(PRIOR / (1 - PRIOR)))
        nn.init.normal_(self.moves[-1].get_parameter("weight"), std=0.001)
        nn.init.zeros_(self.moves[-1].get_parameter("bias"))

    def forward(self, queries: Tensor, boxes: Tensor, pooled: Tensor) -> Found:
        """
        Args:
            queries: [N, Q, C].
            boxes: [N, Q, 4] in px, where the stage looks.
            pooled: [N * Q, C, 7, 7], what lies there.
        """
        queries = self.norms[0](queries + self.attention(queries, queries, queries, need_weights=False)[0])
        seen = self.interaction(queries.flatten(0, 1), pooled).view_as(queries)
        queries = self.norms[1](queries + seen)
        queries = self.norms[2](queries + self.feedforward(queries))
        return Found(queries, self.classes(queries), moved(boxes, self.moves(queries)))


class DynamicConvolution(nn.Module):
    """Two layers of 1 x 1 filters that a query's features become, over the cells of that query's box alone."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.channels, self.filters = channels, filters
        self.to_filters = nn.Linear(channels, 2 * channels * filters)
        self.norms = nn.ModuleList((nn.LayerNorm(filters), nn.LayerNorm(channels)))

    def forward(self, queries: Tensor, cells: Tensor) -> Tensor:
        """[n, C] queries, [n, S, C] cells of their boxes -> [n, S, C]."""
        first, second = self.to_filters(queries).chunk(2, dim=1)
        cells = cells @ first.view(-1, self.channels, self.filters)
        cells = functional.relu(self.norms[0](cells))
        cells = cells @ second.view(-1, self.filters, self.channels)
        return functional.relu(self.norms[1](cells))


class EqualisedLinear(nn.Linear):
    """A linear layer whose weights have unit variance and are divided by the root of their number when used.

    So a step of Adam changes the output of a wide layer no more than that of a narrow one (Karras et al. 2018). The
    plain layer that gathers 49 cells turns over within a few steps at the rate that the rest needs from scratch.
    """

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, features: Tensor) -> Tensor:
        return functional.linear(features / math.sqrt(self.in_features), self.weight, self.bias)


class BoxInteraction(nn.Module):
    """The interaction head: [n, C] queries, [n, C, 7, 7] features of their boxes -> [n, C] what the queries saw."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = DynamicConvolution(CHANNELS, FILTERS)
        self.gather = nn.Sequential(
            nn.Flatten(),
            EqualisedLinear(CHANNELS * BOX_CELLS**2, CHANNELS),
            nn.LayerNorm(CHANNELS),
            nn.ReLU(inplace=True),
        )

    def forward(self, queries: Tensor, pooled: Tensor) -> Tensor:
        seen: Tensor = self.gather(self.convolution(queries, pooled.flatten(2).transpose(1, 2)))
        return seen


class MaskHead(nn.Module):
    """The dynamic mask head: [n, C] queries, [n, C, 14, 14] features of their boxes -> [n, 28, 28] logits.

    Ours: one mask for a query, whatever its class.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolution = DynamicConvolution(CHANNELS, FILTERS)
        self.draw = nn.Sequential(
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(CHANNELS, CHANNELS, 2, stride=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(CHANNELS, 1, 1),
        )
        for layer in self.draw[::2]:
            nn.init.kaiming_normal_(layer.get_parameter("weight"), mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.get_parameter("bias"))

    def forward(self, queries: Tensor, pooled: Tensor) -> Tensor:
        cells = self.convolution(queries, pooled.flatten(2).transpose(1, 2))
        masks: Tensor = self.draw(cells.transpose(1, 2).reshape(pooled.shape))
        return masks[:, 0]


def moved(boxes: Tensor, moves: Tensor) -> Tensor:
    """[..., 4] boxes in px, moved by [..., 4]: the centre by halves of a side, sides by e-folds up to `MAX_GROWTH`."""
    centres, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    limit = math.log(MAX_GROWTH)
    centres, sides = centres + moves[..., :2] * sides / 2, sides * moves[..., 2:].clamp(-limit, limit).exp()
    return torch.cat([centres - sides / 2, centres + sides / 2], -1)


@torch.no_grad()
def match(classes: Tensor, boxes: Tensor, labels: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """The cheapest pairs of queries and annotated anomalies of one picture, one query for each anomaly.

    Args:
        classes: [Q, K] logits.
        boxes: [Q, 4] as shares of the picture.
        labels: [m] 1..K.
        truth: [m, 4] as shares of the picture.

    Returns:
        (queries, anomalies), each [min(Q, m)] indices.
    """
    wanted = classes[:, labels - 1]  # [Q, m]
    # What the focal loss of a query would rise by, if it were to be of that class instead of none.
    rise = _focal(wanted, torch.ones_like(wanted)) - _focal(wanted, torch.zeros_like(wanted))
    cost = CLASS_WEIGHT * rise + L1_WEIGHT * torch.cdist(boxes, truth, p=1)
    cost = cost - GIOU_WEIGHT * generalized_box_iou(boxes, truth)
    # A cost that is no number must not hide a loss that is none, which training tells.
    queries, anomalies = linear_sum_assignment(cost.nan_to_num(1e6).cpu().numpy())
    return torch.from_numpy(queries).to(labels), torch.from_numpy(anomalies).to(labels)


def dice_loss(masks: Tensor, truth: Tensor) -> Tensor:
    """Sum over n masks [n, M, M] of 0..1 of 1 - 2 |A and B| / (|A| + |B|), smoothed by one cell."""
    overlap = 2 * (masks * truth).sum((1, 2)) + 1
    return (1 - overlap / (masks.sum((1, 2)) + truth.sum((1, 2)) + 1)).sum()


def _box_losses(
    found: Found,
    targets: Sequence[dict[str, Tensor]],
    pairs: Sequence[tuple[Tensor, Tensor]],
    scale: Tensor,
) -> dict[str, Tensor]:
    """Sums over the pairs of a batch; L1 is of boxes as shares of the picture.

    Args:
        found: of N pictures.
        targets: of each picture.
        pairs: of each picture, as `match` gives them.
        scale: [N, 1, 4] px.
    """
    classes = torch.zeros_like(found.classes)
    predicted, truth, scales = [], [], []
    for i, (target, (queries, anomalies)) in enumerate(zip(targets, pairs, strict=True)):
        classes[i, queries, target["labels"][anomalies] - 1] = 1
        predicted.append(found.boxes[i, queries])
        truth.append(target["boxes"][anomalies])
        scales.append(scale[i].expand(len(queries), -1))
    mine, true, sides = torch.cat(predicted), torch.cat(truth), torch.cat(scales)
    return {
        "class": CLASS_WEIGHT * _focal(found.classes, classes).sum(),
        "l1": L1_WEIGHT * functional.l1_loss(mine / sides, true / sides, reduction="sum"),
        "giou": GIOU_WEIGHT * generalized_box_iou_loss(mine, true, reduction="sum"),
    }


def _focal(logits: Tensor, truth: Tensor) -> Tensor:
    loss: Tensor = sigmoid_focal_loss(logits, truth, ALPHA, GAMMA)
    return loss


@dataclass(frozen=True)
class _Features:
    """Level -> [N, C, h, w], and the size in px of each padded picture."""

    levels: dict[str, Tensor]
    sizes: list[tuple[int, ...]]


def _scale(sizes: Sequence[tuple[int, int]], like: Tensor) -> Tensor:
    """[N, 1, 4] width, height, width, height of each picture in px."""
    return torch.tensor([[(width, height) * 2] for height, width in sizes], dtype=like.dtype, device=like.device)


def _corners(boxes: Tensor) -> Tensor:
    """[..., 4] centre and sides -> x1 y1 x2 y2."""
    centres, sides = boxes.chunk(2, -1)
    return torch.cat([centres - sides / 2, centres + sides / 2], -1)


def _grid() -> Tensor:
    """[GRID^2, 4] centre and sides of the boxes that queries begin with, as shares of the picture."""
    centres = [(i + 0.5) / GRID for i in range(GRID)]
    return torch.tensor([(x, y, GRID_BOX, GRID_BOX) for y, x in product(centres, centres)])


def _dense() -> list[nn.Module]:
    return [nn.Linear(CHANNELS, CHANNELS), nn.LayerNorm(CHANNELS), nn.ReLU(inplace=True)]
