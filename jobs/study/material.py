"""What a job's detectors learn from and are tested on, out of the store."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from anomaly_gan.evaluation.arms import COPY_PASTE, Arm
from anomaly_gan.evaluation.material import Material
from anomaly_gan.rivals.copy_paste import CopyPaste
from anomaly_gan.samples.sample import Sample, decode_sample
from anomaly_gan.samples.views import take_view
from infra.storage.protocol import Storage
from jobs.generate.published import is_kept, published_shards, read_members
from jobs.library.datasets.store import load_index, load_samples
from jobs.library.known import known_pictures
from jobs.library.training_split import load_training_split
from jobs.study.grid import Grid, Pasted

TRAIN_STREAM, GENERATED_STREAM, NORMAL_STREAM, PASTED_STREAM = 1, 2, 3, 4

MOST_NORMALS = 200
"""Normal training pictures that views are taken of; more take memory and show little that is new."""

PASTED_WITHOUT_JOB = 400
"""Copies of each class where no arm has generated ones, and the arm names no number."""


class StoredMaterial:
    """Views of the training split and of what was made of it, and the whole pictures of the test split.

    What several arms share is read once, and kept.
    """

    def __init__(self, storage: Storage, grid: Grid) -> None:
        """
        Raises:
            NotFoundError: a data set that is not there.
            DataError: it is broken.
        """
        self._storage, self._grid = storage, grid
        self._kept: dict[str, list[Sample]] = {}
        self._made: dict[tuple[str, int | None], Sequence[Sample]] = {}

    def of(self, arm: Arm) -> Material:
        """With the pictures that the arm adds.

        Raises:
            NotFoundError: a job, data set or mask pool that is not there.
            DataError: one is broken.
        """
        if arm.source == COPY_PASTE:
            made = self._remembered(COPY_PASTE, arm.count)
        elif arm.jobs and arm.source is not None:
            made = self._remembered(arm.source, None)
        else:
            return self._base
        assert arm.source is not None
        return replace(self._base, added={arm.source: made})

    @cached_property
    def _base(self) -> Material:
        grid, storage = self._grid, self._storage
        index, windows = load_index(storage, grid.dataset), grid.windows_per_image if grid.view.kind == "window" else 1
        known = set().union(*(known_pictures(index, name, grid.real) for name in grid.classes))
        train = load_samples(storage, index, split="train", classes=grid.classes, normal=True)
        normals = _some([sample for sample in train if sample.is_normal], MOST_NORMALS, grid.seed)
        test = self._test(load_samples(storage, index, split="test", classes=grid.classes, normal=True))
        return Material(
            normals=[
                take_view(sample, grid.view, np.random.default_rng([grid.seed, NORMAL_STREAM, number, window]), None)
                for number, sample in enumerate(normals)
                for window in range(windows)
            ],
            real=self._views([sample for sample in train if sample.key in known], TRAIN_STREAM, windows),
            test=test,
            groups=[str(sample.meta.get("group", sample.key)) for sample in test],
            classes=grid.classes,
        )

    def _test(self, samples: Sequence[Sample]) -> list[Sample]:
        """Every anomalous picture, whole, and the normal ones, at most as many as the grid says."""
        normals = [sample for sample in samples if sample.is_normal]
        return [
            *(sample for sample in samples if not sample.is_normal),
            *_some(normals, self._grid.test_normals, self._grid.seed),
        ]

    def _remembered(self, source: str, count: int | None) -> Sequence[Sample]:
        key = (source, count)
        if key not in self._made:
            if source == COPY_PASTE:
                pasted = [sample for one in self._grid.pasted for sample in self._pasted(one, count)]
                self._made[key] = self._views(pasted, PASTED_STREAM)
            else:
                jobs = source.partition(":")[2].split(",")
                generated = [sample for job in jobs for sample in self._generated(job)]
                self._made[key] = self._views(generated, GENERATED_STREAM)
        return self._made[key]

    def _views(self, samples: Sequence[Sample], stream: int, windows: int = 1) -> list[Sample]:
        """Views of pictures around an anomaly, in turns of each of the classes that a picture has."""
        views = []
        for number, sample in enumerate(samples):
            names = [name for name in self._grid.classes if name in sample.masks]
            for window in range(windows if names else 0):
                rng = np.random.default_rng([self._grid.seed, stream, number, window])
                views.append(take_view(sample, self._grid.view, rng, names[(number + window) % len(names)]))
        return views

    def _generated(self, job_id: str) -> list[Sample]:
        """What the quality gate kept, or all where it kept none."""
        if job_id not in self._kept:
            shards = published_shards(self._storage, job_id)
            samples = [decode_sample(key, members) for key, members in read_members(self._storage, job_id, shards)]
            kept = [sample for sample in samples if is_kept(sample)]
            if not kept:
                print(
                    f"warning: the quality gate keeps none of {len(samples)} images of job {job_id}; all are used",
                    flush=True,
                )
            self._kept[job_id] = kept or samples
        return self._kept[job_id]

    def _pasted(self, how: Pasted, count: int | None) -> list[Sample]:
        """Copies of one class: so many, else as many as the job has kept whose rules they follow."""
        if count is None and how.like is not None:
            count = Counter(name for sample in self._generated(how.like) for name in sample.masks)[how.class_name]
        split = load_training_split(self._storage, self._grid.dataset, how.class_name, how.mask_pool, self._grid.real)
        painter = CopyPaste(split.plan(how.view, how.masks, how.generation), split.abnormals)
        return [painter.make(index) for index in range(PASTED_WITHOUT_JOB if count is None else count)]


def _some(samples: Sequence[Sample], most: int, seed: int) -> list[Sample]:
    """At most so many, chosen by chance, in their order."""
    if len(samples) <= most:
        return list(samples)
    chosen = np.random.default_rng([seed, NORMAL_STREAM]).choice(len(samples), most, replace=False)
    return [samples[i] for i in sorted(chosen)]
