"""Mask2Former (Cheng et al. 2022): queries that are masks of the whole picture, made finer by attention within them.

Pixel decoder, transformer and loss are those of the package transformers, made from a configuration without weights;
the feature network is that of the other detectors. Ours: sizes for training from scratch on a CPU, and masks as
detections and maps. The package is an optional one, imported with this file.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import masks_to_boxes

from anomaly_gan.detectors.backbones import CHANNELS, LEVELS, NativeSize, feature_network
from anomaly_gan.detectors.config import DetectorConfig
from infra.errors import NotFoundError

try:
    from transformers import Mask2FormerConfig, Mask2FormerPreTrainedModel
    from transformers.models.mask2former.modeling_mask2former import (
        Mask2FormerLoss,
        Mask2FormerPixelDecoder,
        Mask2FormerTransformerModule,
    )
except ImportError as err:
    raise NotFoundError(
        f"detector.name: mask2former needs the package transformers ({err}); install agan[mask2former], or take another"
    ) from err

QUERIES = 30
PIXEL_LAYERS, QUERY_LAYERS = 2, 4
"""Layers of the pixel decoder, which attend across levels, and of the queries."""
ATTENTION_HEADS = 4
FEEDFORWARD = 512
POINTS = 4096
"""Places of a picture at which masks are compared with the annotated ones, most of them where they are unsure."""
INSIDE = 0.5
"""A pixel of at least this probability belongs to a detection."""
TERMS = ("cross_entropy", "mask", "dice")


def build(num_classes: int, config: DetectorConfig, weights_folder: Path | None) -> nn.Module:
    """Arguments and errors as `feature_network`."""
    return Mask2Former(num_classes, *feature_network(config, weights_folder))


class Mask2Former(nn.Module):
    """Takes and gives what torchvision's Mask R-CNN does, and with it maps of each class."""

    def __init__(self, num_classes: int, backbone: nn.Module, channels: Sequence[int]) -> None:
        """
        Args:
            num_classes: K anomaly classes, the background not counted.
            backbone: gives `LEVELS` of features.
            channels: theirs.
        """
        super().__init__()
        self.transform = NativeSize()
        self.backbone = backbone
        self.decoder = _Decoder(_configuration(num_classes), channels)

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Losses in training mode, else what is found.

        Args:
            images: each [3, H, W] float 0..1, of any sizes.
            targets: one per image, as `to_target` gives them; read in training mode alone.

        Returns:
            In training mode the `TERMS`, each the sum over the layers. Else for each image "boxes" [n, 4], "labels"
            [n], "scores" [n] and "masks" [n, 1, H, W] as torchvision has them, best first, and "maps" [K, H, W], at
            each pixel the largest class probability times mask probability of a query.
        """
        batch, _ = self.transform(list(images))
        levels = self.backbone(batch.tensors)
        classes, masks = self.decoder([levels[name] for name in LEVELS])
        if self.training:
            assert targets is not None
            return self.decoder.losses(classes, masks, targets, batch.tensors.shape[-2:])
        whole = functional.interpolate(masks[-1], size=batch.tensors.shape[-2:], mode="bilinear").sigmoid()
        probabilities = classes[-1].softmax(-1)[..., :-1]
        return [
            _found(probabilities[i], whole[i, :, :height, :width])
            for i, (height, width) in enumerate(batch.image_sizes)
        ]


class _Decoder(Mask2FormerPreTrainedModel):  # type: ignore[misc]  # transformers has no types here
    """All that comes after the features; the package's base class draws its first weights."""

    def __init__(self, config: Mask2FormerConfig, channels: Sequence[int]) -> None:
        super().__init__(config)
        self.pixels = Mask2FormerPixelDecoder(config, list(channels))
        self.queries = Mask2FormerTransformerModule(config.feature_size, config)
        self.classes = nn.Linear(config.hidden_dim, config.num_labels + 1)
        self.weights = dict(zip(TERMS, (config.class_weight, config.mask_weight, config.dice_weight), strict=True))
        self.criterion = Mask2FormerLoss(config, self.weights)
        self.post_init()

    def forward(self, levels: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """[N, Q, K + 1] class logits, the last of them "none", and [N, Q, h, w] mask logits, of each layer."""
        decoded = self.pixels(levels)
        seen = self.queries(decoded.multi_scale_features, decoded.mask_features)
        classes = [self.classes(state.transpose(0, 1)) for state in seen.intermediate_hidden_states]
        return classes, list(seen.masks_queries_logits)

    def losses(
        self,
        classes: Sequence[Tensor],
        masks: Sequence[Tensor],
        targets: Sequence[dict[str, Tensor]],
        padded: torch.Size,
    ) -> dict[str, Tensor]:
        """The `TERMS`; annotated masks are continued by 0 to the size of the padded pictures."""
        truth = [_continued(target["masks"].float(), padded) for target in targets]
        labels = [target["labels"] - 1 for target in targets]
        totals: dict[str, Tensor] = {}
        for layer in zip(masks, classes, strict=True):
            terms = self.criterion(*layer, truth, labels)
            for name, weight in self.weights.items():
                totals[name] = totals.get(name, 0) + weight * terms[f"loss_{name}"]
        return totals


def _configuration(num_classes: int) -> Mask2FormerConfig:
    return Mask2FormerConfig(
        num_labels=num_classes,
        feature_size=CHANNELS,
        mask_feature_size=CHANNELS,
        hidden_dim=CHANNELS,
        encoder_layers=PIXEL_LAYERS,
        encoder_feedforward_dim=FEEDFORWARD,
        decoder_layers=QUERY_LAYERS,
        dim_feedforward=FEEDFORWARD,
        num_attention_heads=ATTENTION_HEADS,
        num_queries=QUERIES,
        train_num_points=POINTS,
    )


def _continued(masks: Tensor, padded: torch.Size) -> Tensor:
    height, width = masks.shape[-2:]
    return functional.pad(masks, (0, padded[1] - width, 0, padded[0] - height))


def _found(classes: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """Detections and maps of one picture.

    Args:
        classes: [Q, K] probabilities.
        masks: [Q, H, W] probabilities.
    """
    inside = masks >= INSIDE
    area = inside.sum((1, 2))
    sureness = (masks * inside).sum((1, 2)) / area.clamp(min=1)
    drawn = torch.where(area > 0)[0]
    scores, order = (classes * sureness[:, None])[drawn].flatten().sort(descending=True, stable=True)
    best = order[:QUERIES]
    chosen = drawn[best // classes.shape[1]]
    return {
        "boxes": _boxes(inside[chosen]),
        "labels": best % classes.shape[1] + 1,
        "scores": scores[:QUERIES],
        "masks": masks[chosen, None],
        "maps": torch.stack([(one[:, None, None] * masks).amax(0) for one in classes.unbind(1)]),
    }


def _boxes(masks: Tensor) -> Tensor:
    """[n, 4] x1 y1 x2 y2 of [n, H, W] bool, with the last row and column inside."""
    boxes: Tensor = masks_to_boxes(masks)
    return boxes + boxes.new_tensor([0, 0, 1, 1])
