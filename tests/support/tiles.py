"""The real magnetic tiles, read without an import."""

import numpy as np
import pytest

from anomaly_gan.formats.reading.pictures import decode_levels
from anomaly_gan.samples.grouping import csv_grouping
from anomaly_gan.samples.sample import Sample
from tests.support.helpers import TEST_DATA

TILES = TEST_DATA / "magnetic_tile"
needs_tiles = pytest.mark.skipif(not TILES.is_dir(), reason="AGAN_TEST_DATA has no magnetic_tile")


def tiles(class_name: str) -> list[Sample]:
    """Pictures of a class."""
    group_of = csv_grouping((TILES / "groups.csv").read_text(), "tile_group", "groups.csv")
    samples = []
    for path in sorted((TILES / "test" / class_name).iterdir()):
        image = decode_levels(path.read_bytes(), path.name)
        soft = decode_levels((TILES / "ground_truth" / class_name / f"{path.stem}_mask.png").read_bytes(), path.name)
        mask = (soft >= 128).astype(np.uint8)
        group = group_of(str(path.relative_to(TILES)))
        samples.append(Sample(path.stem.replace(".", "_"), image, {class_name: mask}, meta={"group": group}))
    return samples


def normal_tiles(count: int) -> list[Sample]:
    """So many normal pictures, spread over all."""
    paths = sorted((TILES / "train" / "good").iterdir())
    chosen = [paths[i * len(paths) // count] for i in range(count)]
    return [Sample(path.stem.replace(".", "_"), decode_levels(path.read_bytes(), path.name)) for path in chosen]
