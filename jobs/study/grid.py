"""What all cells of a job share, and the key under which each of them is kept: a hash of all that decides it."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from anomaly_gan.config import GenerationConfig, MaskConfig, ViewConfig
from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.detectors.detectors import find_detector
from anomaly_gan.evaluation.arms import COPY_PASTE, Arm, parse_arms
from anomaly_gan.evaluation.cells import VERSION
from anomaly_gan.networks.weights import file_digest, weights_path
from anomaly_gan.records import Record
from infra.storage.digest import sha256
from infra.storage.protocol import Storage
from jobs.library.models.files import load_description
from jobs.record.context import load_spec_of
from jobs.record.status import job_key
from jobs.spec.specs import WINDOW_PX, EvaluateSpec, GenerateSpec, StudySpec

DECIDING = ("agan", "numpy", "opencv-python-headless", "torch", "torchvision")
"""Packages with another version of which the same cell may have other scores."""


class Pasted(Record):
    """How copies of one class are pasted.

    Attributes:
        like: generate job whose rules of placement these are, and of whose kept pictures there are as many; None = no
            job makes the class.
        view: what the planner sees, as a generator would.
    """

    class_name: str
    like: str | None
    mask_pool: str | None
    masks: MaskConfig
    generation: GenerationConfig
    view: ViewConfig


class Grid(Record):
    """What all cells of a job share.

    Attributes:
        dataset: NAME@version.
        classes: of each detector, labels 1..K.
        real: see `known_pictures`.
        view: what detectors see while they learn.
        seed: of the views, and of the choice among normal pictures; a cell's own is its detector's.
        jobs: generate job -> SHA-256 of its manifest, for all that arms add.
        pasted: for each class; empty where no arm pastes.
    """

    dataset: str
    classes: tuple[str, ...]
    real: int | None
    view: ViewConfig
    windows_per_image: int
    test_normals: int
    seed: int
    jobs: dict[str, str]
    pasted: tuple[Pasted, ...]

    def decided_by(
        self, arm: Arm, learner: DetectorConfig, device: str, weights_folder: Path | None = None
    ) -> dict[str, Any]:
        """All that decides a cell; what changes nothing is left out, such as the names of jobs.

        Args:
            learner: with the cell's seed.
            device: "cpu" or "cuda", whose sums differ.
            weights_folder: where the backbone's file is.
        """
        pasted = [
            {**one.model_dump(mode="json"), "like": one.like and self.jobs[one.like]}
            for one in self.pasted
            if arm.source == COPY_PASTE
        ]
        source: dict[str, Any] = {"pasted": pasted} if pasted else {"jobs": [self.jobs[job] for job in arm.jobs]}
        if arm.adapts:  # of other arms not at all, so that their cells of before still count
            source["adapts"] = True
        return {
            "version": VERSION,
            "packages": {name: version(name) for name in DECIDING},
            "device": device,
            **self.model_dump(mode="json", exclude={"jobs", "pasted"}),
            "arm": {"stream": arm.stream, "has_real": arm.has_real, "share": arm.share, "count": arm.count, **source},
            "learner": learner.model_dump(mode="json"),
            "weights_sha256": _weights_digest(learner, weights_folder),
        }


def cell_key(decided_by: dict[str, Any]) -> str:
    """Where a cell is kept in the store."""
    return f"cells/{sha256(json.dumps(decided_by, sort_keys=True).encode())[:32]}.npz"


def grid_of_study(storage: Storage, spec: StudySpec) -> Grid:
    """The grid of a completed study."""
    return Grid(
        dataset=spec.dataset,
        classes=spec.classes,
        real=spec.real,
        view=spec.view,
        windows_per_image=spec.windows_per_image,
        test_normals=spec.test_normals,
        seed=spec.learners[0].seed,
        **_sources(storage, spec.dataset, spec.classes, spec.view, parse_arms(spec.arms)),
    )


def grid_of_evaluation(storage: Storage, spec: EvaluateSpec) -> Grid:
    """The grid of a completed evaluation: the class and the view of the model of its images."""
    made_by = load_spec_of(GenerateSpec, storage, spec.generated, f"generated: job {spec.generated}")
    model = load_description(storage, made_by.model)
    view, classes = learnt_view([model.view], spec.window_px), (model.class_name,)
    return Grid(
        dataset=spec.dataset,
        classes=classes,
        real=spec.real,
        view=view,
        windows_per_image=spec.windows_per_image,
        test_normals=spec.test_normals,
        seed=spec.detector.seed,
        **_sources(storage, spec.dataset, classes, view, parse_arms(spec.arm_texts())),
    )


def learnt_view(views: Sequence[ViewConfig], window_px: int = WINDOW_PX) -> ViewConfig:
    """What detectors see while they learn: what the models see, or windows where that is larger or differs.

    Args:
        views: of all models, or of the data set where there is none.
    """
    smallest = min(view.size for view in views)
    if len(set(map(ViewConfig.model_dump_json, views))) == 1 and smallest <= window_px:
        return views[0]
    return ViewConfig.model_validate({"kind": "window", "size": min(smallest, window_px)})


def made_classes(storage: Storage, job_id: str, where: str) -> dict[str, Pasted]:
    """Class -> how a generate job makes it, in the order of the job's models.

    Args:
        where: begins the sentence that refuses a job of another kind.

    Raises:
        NotFoundError: no such job or model.
        UsageError: it is no generate job.
    """
    spec = load_spec_of(GenerateSpec, storage, job_id, where)
    made = {}
    for name, mask_pool, masks in (
        (spec.model, spec.mask_pool, spec.masks),
        *((one.model, one.mask_pool, one.masks) for one in spec.added),
    ):
        model = load_description(storage, name)
        made[model.class_name] = Pasted(
            class_name=model.class_name,
            like=job_id,
            mask_pool=mask_pool,
            masks=masks,
            generation=spec.generation,
            view=model.view,
        )
    return made


def _sources(
    storage: Storage, dataset: str, classes: Sequence[str], view: ViewConfig, arms: Sequence[Arm]
) -> dict[str, Any]:
    """`jobs` and `pasted` of a grid."""
    jobs = list(dict.fromkeys(job for arm in arms for job in arm.jobs))
    digests = {job: sha256(storage.read(job_key(job, "manifest.json"))) for job in jobs}
    pasted: list[Pasted] = []
    if any(arm.source == COPY_PASTE for arm in arms):
        makers: dict[str, Pasted] = {}
        for job in jobs:
            makers = made_classes(storage, job, f"arms: job {job}") | makers
        pasted = [_pasted(storage, dataset, name, view, makers.get(name)) for name in classes]
    return {"jobs": digests, "pasted": tuple(pasted)}


def _pasted(storage: Storage, dataset: str, name: str, view: ViewConfig, like: Pasted | None) -> Pasted:
    """By the rules of the job that makes the class; a pool of another data set has no pictures to copy from here."""
    if like is None:
        masks, generation = MaskConfig(pool="prior_only"), GenerationConfig()
        return Pasted(class_name=name, like=None, mask_pool=None, masks=masks, generation=generation, view=view)
    assert like.like is not None
    spec = load_spec_of(GenerateSpec, storage, like.like, f"arms: job {like.like}")
    is_same = load_description(storage, spec.model).record["dataset"] == dataset
    rules = {"pool": "prior_only", **({} if is_same else {"rationality": 0.0})}
    return like.model_copy(
        update={
            "mask_pool": like.mask_pool if is_same else None,
            "masks": like.masks.model_copy(update=rules),
            "generation": like.generation.model_copy(update={"output": "view"}),
        }
    )


def _weights_digest(learner: DetectorConfig, folder: Path | None) -> str | None:
    """SHA-256 of the file that the backbone begins with; None where it begins by chance, or the file is not there."""
    if folder is None or learner.weights == "random" or not find_detector(learner.name).has_backbone:
        return None
    path = weights_path(learner.backbone.removesuffix("_fpn"), folder)
    return file_digest(path) if path.is_file() else None
