"""What an evaluation's detectors learn from and are tested on, out of the store."""

from collections.abc import Sequence

import numpy as np

from anomaly_gan.config import ViewConfig
from anomaly_gan.evaluation.arms import COPY_PASTE, GENERATED, parse_arms
from anomaly_gan.evaluation.material import Material
from anomaly_gan.generation.snapshot import Snapshot
from anomaly_gan.rivals.copy_paste import CopyPaste
from anomaly_gan.samples.sample import Sample, decode_sample
from anomaly_gan.samples.views import take_view
from infra.storage.protocol import Storage
from jobs.generate.published import is_kept, published_shards, read_members
from jobs.library.datasets.store import load_index, load_samples
from jobs.library.known import known_pictures
from jobs.library.training_split import load_training_split
from jobs.spec.specs import EvaluateSpec, GenerateSpec

TRAIN_STREAM, GENERATED_STREAM, NORMAL_STREAM, PASTED_STREAM = 1, 2, 3, 4

MOST_NORMALS = 200
"""Normal training pictures that views are taken of; more take memory and show little that is new."""


def load_material(storage: Storage, spec: EvaluateSpec, made_by: GenerateSpec, snapshot: Snapshot) -> Material:
    """Views of the training split and of what was made of it, and the whole pictures of the test split.

    Args:
        made_by: the generate job whose images are evaluated.
        snapshot: the model of that job.

    Raises:
        NotFoundError: a data set or mask pool that is not there.
        DataError: one is broken.
    """
    index, name, view = load_index(storage, spec.dataset), snapshot.class_name, learnt_view(snapshot.view, spec)
    windows = spec.windows_per_image if view.kind == "window" else 1
    seed = spec.detector.seed
    train = load_samples(storage, index, split="train", classes=[name], normal=True)
    known = known_pictures(index, name, spec.real)
    abnormals = [sample for sample in train if sample.key in known]
    normals = _some([sample for sample in train if sample.is_normal], MOST_NORMALS, seed)
    generated = [
        take_view(sample, view, np.random.default_rng([seed, GENERATED_STREAM, number]), name)
        for number, sample in enumerate(_kept(storage, spec.generated))
    ]
    added: dict[str, Sequence[Sample]] = {GENERATED + spec.generated: generated}
    if any(arm.source == COPY_PASTE for arm in parse_arms(spec.arm_texts())):
        pasted = _copy_pasted(storage, spec, made_by, snapshot, len(generated))
        added[COPY_PASTE] = _views(pasted, name, view, 1, [seed, PASTED_STREAM])
    test = _test_pictures(load_samples(storage, index, split="test", classes=[name], normal=True), name, spec)
    return Material(
        normals=_views(normals, None, view, windows, [seed, NORMAL_STREAM]),
        real=_views(abnormals, name, view, windows, [seed, TRAIN_STREAM]),
        added=added,
        test=test,
        groups=[str(sample.meta.get("group", sample.key)) for sample in test],
        classes=(name,),
    )


def learnt_view(view: ViewConfig, spec: EvaluateSpec) -> ViewConfig:
    """What detectors see while they learn: the model's view, or windows cut out of it where it is larger."""
    return view if view.size <= spec.window_px else ViewConfig(kind="window", size=spec.window_px)


def _test_pictures(samples: Sequence[Sample], name: str, spec: EvaluateSpec) -> list[Sample]:
    """Every anomalous picture, whole, and the normal ones, at most as many as the spec says."""
    normals = [sample for sample in samples if sample.is_normal]
    return [
        *(sample for sample in samples if name in sample.masks),
        *_some(normals, spec.test_normals, spec.detector.seed),
    ]


def _copy_pasted(
    storage: Storage, spec: EvaluateSpec, made_by: GenerateSpec, snapshot: Snapshot, count: int
) -> list[Sample]:
    """As many pictures as were generated, placed by the same rules where the data set is the model's."""
    is_same = spec.dataset == snapshot.record["dataset"]
    pool = made_by.mask_pool if is_same else None
    split = load_training_split(storage, spec.dataset, snapshot.class_name, pool, spec.real)
    rules = {"pool": "prior_only", **({} if is_same else {"rationality": 0.0})}
    masks = made_by.masks.model_copy(update=rules)
    plan = split.plan(snapshot.view, masks, made_by.generation.model_copy(update={"output": "view"}))
    painter = CopyPaste(plan, split.abnormals)
    return [painter.make(index) for index in range(count)]


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


def _some(samples: Sequence[Sample], most: int, seed: int) -> list[Sample]:
    """At most so many, chosen by chance, in their order."""
    if len(samples) <= most:
        return list(samples)
    chosen = np.random.default_rng([seed, NORMAL_STREAM]).choice(len(samples), most, replace=False)
    return [samples[i] for i in sorted(chosen)]


def _views(
    samples: Sequence[Sample], name: str | None, view: ViewConfig, windows: int, seed: list[int]
) -> list[Sample]:
    """Views of each picture, those of anomalous ones around an anomaly of the class `name`."""
    return [
        take_view(sample, view, np.random.default_rng([*seed, number, window]), name)
        for number, sample in enumerate(samples)
        for window in range(windows)
    ]
