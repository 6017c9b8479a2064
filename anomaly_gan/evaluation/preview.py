"""A look at a generator while it trains: a fixed set of images, their measures, and a grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anomaly_gan.config import CropConfig
from anomaly_gan.drawing.grids import GridRow, sample_grid
from anomaly_gan.generation.generate import Generated, generate
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.metrics.kernel import kernel_distance, spread
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.networks.crops import crop, mask_boxes
from anomaly_gan.networks.generator import Generator
from anomaly_gan.samples.sample import to_planes
from anomaly_gan.samples.tensors import to_model_range
from anomaly_gan.training.batches import BatchSource

PREVIEW_MEASURES = ("mask_hit", "in_mask_change", "background_mae_raw")


@dataclass(frozen=True)
class Preview:
    """Measures are means over the images.

    `crop_kid` compares anomaly crops with real ones, lower is better; `crop_spread` is how much the generated crops
    differ among themselves, over how much the real ones do: 1 is best, near 0 the generator has collapsed.
    """

    images: list[Generated]
    measures: dict[str, float]

    def grid(self, rows: int) -> NDArray[np.uint8]:
        return sample_grid([to_row(made) for made in self.images[:rows]])


def to_row(made: Generated) -> GridRow:
    return GridRow(normal=made.normal, mask=made.mask, raw=made.raw, pasted=made.pasted)


class Previewer:
    """Draws the same images at every call, so that only the generator makes the difference."""

    def __init__(
        self, plan: GenerationPlan, source: BatchSource, aware: AwareNetwork, crops: CropConfig, count: int
    ) -> None:
        self._plan = plan
        self._aware = aware
        self._crops = crops.model_copy(update={"parts": 1})
        self._indices = list(range(count))
        pairs = [source.pair(position) for position in range(count)]
        self._real = self._features([pair[2] for pair in pairs], [pair[3] for pair in pairs])

    def draw(self, generator: Generator) -> Preview:
        size = self._plan.config.batch_size
        batches = [self._indices[i : i + size] for i in range(0, len(self._indices), size)]
        images = [made for batch in batches for made in generate(self._plan, batch, generator)]
        measures: dict[str, float] = {}
        for name in PREVIEW_MEASURES:
            defined = [v for made in images if (v := made.sample.meta["measures"][name]) is not None]
            if defined:
                measures[name] = fmean(defined)
        fake = self._features([made.pasted for made in images], [made.mask for made in images])
        measures["crop_kid"] = kernel_distance(self._real, fake)
        measures["crop_spread"] = spread(fake) / spread(self._real)
        return Preview(images, measures)

    def _features(self, images: Sequence[NDArray[np.uint8]], masks: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """[N, K] channel means of the aware network's last tap on the crops around the masks."""
        device = next(self._aware.parameters()).device
        planes = torch.from_numpy(np.stack([to_planes(image) for image in images])).to(device)
        boxes, _ = mask_boxes(torch.from_numpy(np.stack(masks)[:, None]).float().to(device), self._crops)
        with torch.inference_mode():
            tapped: Tensor = self._aware(crop(to_model_range(planes), boxes))[-1]
        return tapped.mean((2, 3)).double().cpu().numpy()
