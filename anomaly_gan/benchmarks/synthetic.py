"""Made-up pictures in memory: what the benchmarks train on."""

from functools import cache

import numpy as np

from anomaly_gan.config import TrainConfig, ViewConfig
from anomaly_gan.masks.pool.pool import build_pool
from anomaly_gan.samples.sample import Sample
from anomaly_gan.training.batches import BatchSource

CLASS = "spot"
FRAME_PX = 512
PICTURES = 16
"""Pictures of each kind, normal and abnormal."""


def synthetic_source(config: TrainConfig, view: ViewConfig, rank: int = 0, world_size: int = 1) -> BatchSource:
    """Batches of grey noise with dark spots of 24 to 56 px, decoded and in memory as in a train job."""
    abnormals = [_sample(number, True) for number in range(PICTURES)]
    normals = [_sample(number, False) for number in range(PICTURES)]
    pool = build_pool(abnormals, CLASS)
    return BatchSource.of_run(normals, abnormals, pool, view, config, rank=rank, world_size=world_size)


def window_of(number: int, side_px: int) -> Sample:
    """A window around the spot of one of the pictures, with a grey level of its own, so that no two are equal."""
    whole = _sample(number % PICTURES, True)
    rows, columns = (np.flatnonzero(whole.masks[CLASS].any(axis=axis)) for axis in (1, 0))
    top, left = (min(max(int(at.mean()) - side_px // 2, 0), FRAME_PX - side_px) for at in (rows, columns))
    cut = np.s_[top : top + side_px, left : left + side_px]
    image = (whole.image[cut].astype(np.int16) + number // PICTURES % 64).astype(np.uint8)
    return Sample(f"window-{number:06d}", image, {CLASS: whole.masks[CLASS][cut]})


@cache
def _sample(number: int, is_abnormal: bool) -> Sample:
    rng = np.random.default_rng([number, is_abnormal])
    image = rng.integers(90, 170, (FRAME_PX, FRAME_PX), dtype=np.uint8)
    if not is_abnormal:
        return Sample(f"normal-{number:03d}", image)
    rows, columns = np.ogrid[:FRAME_PX, :FRAME_PX]
    row, column = rng.integers(FRAME_PX // 4, 3 * FRAME_PX // 4, 2)
    height, width = rng.integers(12, 29, 2)
    mask = (((rows - row) / height) ** 2 + ((columns - column) / width) ** 2 <= 1).astype(np.uint8)
    image[mask == 1] //= 4
    return Sample(f"abnormal-{number:03d}", image, {CLASS: mask})
