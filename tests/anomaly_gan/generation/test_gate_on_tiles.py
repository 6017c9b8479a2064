"""The quality gate on real magnetic tiles: real anomalies, deliberate fakes of them, and copies."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from anomaly_gan.config import GenerationConfig, MaskConfig, QualityConfig, ViewConfig
from anomaly_gan.exemplars.surroundings import surroundings
from anomaly_gan.generation.gate import learn_gate
from anomaly_gan.generation.paste import paste
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.masks.pool.pool import build_pool
from anomaly_gan.rivals.copy_paste import CopyPaste
from anomaly_gan.samples.sample import Sample
from anomaly_gan.samples.tensors import to_model_range, to_uint8
from anomaly_gan.samples.views import take_view
from tests.support.tiles import needs_tiles, normal_tiles, tiles

VIEW, COUNT = ViewConfig(kind="window", size=128), 30


def without(real: Sample, class_name: str) -> NDArray[np.uint8]:
    """What may have lain behind a real anomaly: its surroundings, and noise."""
    image, mask = (torch.from_numpy(each)[None, None] for each in (real.image, real.masks[class_name]))
    smooth = surroundings(to_model_range(image), mask.float())
    noise = np.random.default_rng(1).normal(0, 4, real.image.shape) * real.masks[class_name]
    levels: NDArray[np.uint8] = (to_uint8(smooth)[0, 0].numpy() + noise).clip(0, 255).astype(np.uint8)
    return levels


@needs_tiles
@pytest.mark.parametrize("class_name", ["blowhole", "break", "crack"])
def test_real_tiles_are_kept_and_painters_are_not(class_name: str) -> None:
    abnormals, normals = tiles(class_name), normal_tiles(20)
    config, masks = GenerationConfig(), MaskConfig(pool="prior_only")
    plan = GenerationPlan(normals, build_pool(abnormals, class_name), VIEW, masks, config)
    pixels = np.concatenate([one.image[one.masks[class_name] > 0] for one in abnormals])
    gate = learn_gate(normals, abnormals, class_name, VIEW, QualityConfig(), config.feather_px)
    # copies are found, and set aside to see whether their pixels pass
    apart = learn_gate(normals, abnormals, class_name, VIEW, QualityConfig(), config.feather_px)
    apart.limits = replace(apart.limits, copy=0)
    copier, rng = CopyPaste(plan, abnormals), np.random.default_rng(0)
    kept = dict.fromkeys(("real", "flat", "noise", "unfilled", "translucent", "beside"), 0)
    copies = 0
    for index in range(COUNT):
        planned = plan.planned(index).mask
        view, mask, pasted = planned.view.image, planned.mask, copier.make(index).image
        contents = {
            "flat": np.full_like(view, round(pixels.mean())),
            "noise": rng.normal(pixels.mean(), pixels.std(), view.shape).clip(0, 255).astype(np.uint8),
        }
        made = {
            **{name: (paste(view, content, mask, config.feather_px), mask) for name, content in contents.items()},
            "unfilled": (view, mask),
            "translucent": (((view.astype(np.uint16) + pasted) // 2).astype(np.uint8), mask),
            "beside": (pasted, np.roll(mask, 64, axis=(0, 1))),
        }
        copies += "copy" in gate.judge(view, pasted, mask).failed
        for name, (image, its_mask) in made.items():
            kept[name] += not apart.judge(view, image, its_mask).failed
        real = take_view(abnormals[index], VIEW, rng, class_name)
        kept["real"] += not apart.judge(without(real, class_name), real.image, real.masks[class_name]).failed
    assert kept["real"] >= 0.85 * COUNT
    assert copies >= 0.35 * COUNT  # parts that overlap others are no longer what they were
    assert kept["flat"] == kept["unfilled"] == kept["beside"] == 0
    assert kept["noise"] <= 0.1 * COUNT
    # real cracks run along the grain, and are correlated with any tile
    assert kept["translucent"] <= (0.6 if class_name == "crack" else 0.25) * COUNT
