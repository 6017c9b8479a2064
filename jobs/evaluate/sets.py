"""The three sets of an evaluation, all seen through the model's view."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anomaly_gan.config import ViewConfig
from anomaly_gan.generation.snapshot import Snapshot
from anomaly_gan.samples.sample import Sample, decode_sample
from anomaly_gan.samples.views import take_view
from infra.storage.protocol import Storage
from jobs.generate.published import is_kept, published_shards, read_members
from jobs.library.datasets.store import load_index, load_samples
from jobs.spec.specs import EvaluateSpec

TRAIN_STREAM, TEST_STREAM, GENERATED_STREAM = 1, 2, 3


@dataclass(frozen=True)
class DetectorData:
    """The three sets; the real ones hold as many normal views as abnormal ones, where there are enough."""

    real_train: list[Sample]
    generated: list[Sample]
    real_test: list[Sample]
    classes: tuple[str, ...]


def load_detector_data(storage: Storage, spec: EvaluateSpec, snapshot: Snapshot) -> DetectorData:
    """Real views of both splits, and of the generated samples those that are kept, or all where none is."""
    index = load_index(storage, spec.dataset)
    name, seed = snapshot.class_name, spec.detector.seed
    windows = spec.windows_per_image if snapshot.view.kind == "window" else 1
    train = load_samples(storage, index, split="train", classes=[name], normal=True)
    test = load_samples(storage, index, split="test", classes=[name], normal=True)
    return DetectorData(
        _views(train, name, snapshot.view, windows, [seed, TRAIN_STREAM]),
        [
            take_view(sample, snapshot.view, np.random.default_rng([seed, GENERATED_STREAM, number]), name)
            for number, sample in enumerate(_kept(storage, spec.generated))
        ],
        _views(test, name, snapshot.view, 1, [seed, TEST_STREAM]),
        (name,),
    )


def _kept(storage: Storage, job_id: str) -> list[Sample]:
    """What the quality gate kept, or all where it kept none."""
    samples = [
        decode_sample(key, members) for key, members in read_members(storage, job_id, published_shards(storage, job_id))
    ]
    kept = [sample for sample in samples if is_kept(sample)]
    if not kept:
        print(
            f"warning: the quality gate keeps none of {len(samples)} images of job {job_id}; all are used", flush=True
        )
    return kept or samples


def _views(samples: Sequence[Sample], name: str, view: ViewConfig, windows: int, seed: list[int]) -> list[Sample]:
    abnormal = [sample for sample in samples if name in sample.masks]
    normal = [sample for sample in samples if sample.is_normal][: len(abnormal)]
    views = []
    for number, sample in enumerate([*abnormal, *normal]):
        for window in range(windows):
            rng = np.random.default_rng([*seed, number, window])
            views.append(take_view(sample, view, rng, None if sample.is_normal else name))
    return views
