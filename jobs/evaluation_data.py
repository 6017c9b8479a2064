"""The three sets of an evaluation, all seen through the model's view."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly_gan.checkpoint import Snapshot
from anomaly_gan.config import ViewConfig
from anomaly_gan.data import Sample, decode_sample
from anomaly_gan.views import take_view
from infra.shards import read_shard
from infra.storage import Storage
from jobs.datasets import load_index, load_samples
from jobs.generate import SHARD_PREFIX
from jobs.manifest import load_manifest, read_output
from jobs.spec import EvaluateSpec

TRAIN_STREAM, TEST_STREAM = 1, 2


@dataclass(frozen=True)
class DetectorData:
    """Real sets hold as many normal views as abnormal ones, where there are enough."""

    real_train: list[Sample]
    generated: list[Sample]
    real_test: list[Sample]
    classes: tuple[str, ...]


def load_detector_data(storage: Storage, spec: EvaluateSpec, snapshot: Snapshot) -> DetectorData:
    """Real views of both splits, and the generated samples that the manifest names."""
    index = load_index(storage, spec.dataset)
    name, seed = snapshot.class_name, spec.detector.seed
    windows = spec.windows_per_image if snapshot.view.kind == "window" else 1
    train = load_samples(storage, index, split="train", classes=[name], normal=True)
    test = load_samples(storage, index, split="test", classes=[name], normal=True)
    generated = [
        decode_sample(key, members)
        for output in load_manifest(storage, spec.generated).outputs
        if output.name.startswith(SHARD_PREFIX)
        for key, members in read_shard(read_output(storage, spec.generated, output), output.name)
    ]
    return DetectorData(
        _views(train, name, snapshot.view, windows, [seed, TRAIN_STREAM]),
        generated,
        _views(test, name, snapshot.view, 1, [seed, TEST_STREAM]),
        (name,),
    )


def _views(samples: Sequence[Sample], name: str, view: ViewConfig, windows: int, seed: list[int]) -> list[Sample]:
    abnormal = [sample for sample in samples if name in sample.masks]
    normal = [sample for sample in samples if sample.is_normal][: len(abnormal)]
    views = []
    for number, sample in enumerate([*abnormal, *normal]):
        for window in range(windows):
            rng = np.random.default_rng([*seed, number, window])
            views.append(take_view(sample, view, rng, None if sample.is_normal else name))
    return views
