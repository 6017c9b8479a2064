"""What a job is asked to do, checked and frozen; `jobs.spec.resolve` is the only parser of user input."""

import re
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from anomaly_gan.config import Config, GenerationConfig, MaskConfig, TrainConfig, ViewConfig
from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.lists import find
from anomaly_gan.metrics.features.features import FEATURES

SCHEMA_VERSION = 1
ARM_END = re.compile(r"(?=[@#])")
"""Where the share or the count of an arm begins."""
TRIAL_DRIVER_CPUS = 0.1
"""CPUs that a trial of a search takes for itself, beside those of its workers; Ray Tune refuses 0."""


class Resources(Config):
    """What the job takes of the cluster."""

    workers: int = Field(default=1, ge=1, le=1024, description="processes that share the work")
    cpus_per_worker: int = Field(default=1, ge=1, description="CPU cores, and threads, of each worker")
    gpus_per_worker: int = Field(default=0, ge=0, le=1, description="GPUs of each worker")
    max_failures: int = Field(default=3, ge=0, description="restarts after lost workers, before the job is given up")
    stop_grace_sec: int = Field(
        default=25,
        ge=1,
        le=3600,
        description="seconds that a training's worker has from SIGTERM on: for a step, the checkpoint and its upload",
    )


class JobSpec(Config):
    """What every kind of job is asked; `jobs.kinds` lists the kinds.

    Attributes:
        kind: a subclass gives it a `Literal` type and that value as default: the name in `jobs.kinds.KINDS`.
        can_resume: whether a job that ended early can go on where it ended; else it can only start anew.
        has_presets: whether `train.preset` names defaults of this spec.
    """

    can_resume: ClassVar[bool] = False
    has_presets: ClassVar[bool] = False

    kind: str
    if TYPE_CHECKING:  # each kind declares it last: the order of the fields is the order of the keys in stored specs
        resources: Resources

    @classmethod
    def kind_name(cls) -> str:
        return str(cls.model_fields["kind"].default)

    def title(self) -> str:
        """The job in a few words, for lists."""
        return self.kind

    def needed(self) -> tuple[float, float]:
        """(CPUs, GPUs) that the cluster must have free at one time."""
        resources = self.resources
        return float(resources.workers * resources.cpus_per_worker), float(
            resources.workers * resources.gpus_per_worker
        )

    def least(self) -> Self:
        """The smallest job that must find room where this one goes on."""
        return self


class TrainingSpec(JobSpec):
    """What the kinds of job that train have in common."""

    has_presets: ClassVar[bool] = True

    dataset: str = Field(description="NAME or NAME@version")
    class_name: str = Field(description="the anomaly class to learn")
    mask_pool: str | None = Field(
        default=None, description="NAME or NAME@version; without one, the masks of the training split"
    )
    real: int | None = Field(
        default=None,
        ge=1,
        description="anomalous pictures to learn from, group after group; those of 8 are among those of 16; all without"
        " it",
    )
    if TYPE_CHECKING:  # as `resources`
        view: ViewConfig
        train: TrainConfig


class TrainSpec(TrainingSpec):
    """Trains both generators of one class, and leaves a model under the job's id."""

    can_resume: ClassVar[bool] = True

    kind: Literal["train"] = "train"
    resume: str | None = Field(
        default=None,
        description="id of a train job to go on from; its spec must be the same, its number of workers may differ",
    )
    view: ViewConfig = ViewConfig()
    train: TrainConfig = TrainConfig()
    resources: Resources = Resources()

    def title(self) -> str:
        return f"{self.dataset} {self.class_name}"


class AddedModel(Config):
    """A further model of a generate job."""

    model: str = Field(description="id of a trained model of another class, with the data set and view of the first")
    mask_pool: str | None = Field(default=None, description="mask pool of this model; see the job's own mask_pool")
    masks: MaskConfig = Field(default=MaskConfig(), description="placement for this model; see the job's own masks")


class GenerateSpec(JobSpec):
    """Makes anomalous images with a model."""

    can_resume: ClassVar[bool] = True

    kind: Literal["generate"] = "generate"
    model: str = Field(description="id of a trained model (its training job's id)")
    count: int = Field(default=64, ge=1, le=100_000_000, description="images to make")
    images_per_shard: int = Field(default=100, ge=1, le=10_000, description="images in each shard")
    mask_pool: str | None = Field(default=None, description="NAME or NAME@version; without one, the pool of the model")
    masks: MaskConfig = Field(
        default=MaskConfig(), description="placement; values that are not given come from the pool, else from the model"
    )
    added: tuple[AddedModel, ...] = Field(
        default=(), description="further models, each of which adds an anomaly of its class to every image (`--mix`)"
    )
    generation: GenerationConfig = GenerationConfig()
    resources: Resources = Resources()

    def title(self) -> str:
        more = f" and {len(self.added)} more" if self.added else ""
        return f"{self.count} images by {self.model}{more}"

    def least(self) -> Self:
        """One worker, because no task waits for another."""
        return self.model_copy(update={"resources": self.resources.model_copy(update={"workers": 1})})


WINDOW_PX: Literal[128] = 128
"""Side of the windows that detectors learn from, where nothing says otherwise and pictures are larger."""


class CellsSpec(JobSpec):
    """What the kinds of job have in common that train detectors: a cell for each detector, arm and seed.

    Each cell is kept in the store, so a job that goes on, or asks for the same cell, does not train it again.
    """

    can_resume: ClassVar[bool] = True

    def least(self) -> Self:
        """One worker, because no cell waits for another."""
        return self.model_copy(update={"resources": self.resources.model_copy(update={"workers": 1})})


EVALUATED = {
    "none": "none",
    "flips": "flips",
    "copy_paste": "copy_paste",
    "generated": "real+generated:{job}",
    "generated_alone": "generated:{job}",
    "adaptive": "adaptive:{job}",
}
"""Arm as an evaluation names it -> arm as `anomaly_gan.evaluation.arms` describes it, with the job of the images."""


class EvaluateSpec(CellsSpec):
    """Measures generated images, and trains detectors without and with them: a cell for each arm and seed."""

    kind: Literal["evaluate"] = "evaluate"
    dataset: str = Field(description="NAME or NAME@version")
    generated: str = Field(description="id of a generate job that succeeded")
    real: int | None = Field(
        default=None,
        ge=1,
        description="anomalous pictures that every arm learns from; as many as the model of `generated` did",
    )
    measured_images: int = Field(
        default=64,
        ge=1,
        le=10_000,
        description="generated images that are compared with those of an untrained generator",
    )
    windows_per_image: int = Field(
        default=4, ge=1, le=100, description="windows cut from each real training image, where the model sees windows"
    )
    window_px: Literal[64, 128, 256, 512, 1024] = Field(
        default=WINDOW_PX,
        description="side in px of the windows that detectors learn from, where the model's view is larger",
    )
    test_normals: int = Field(
        default=100, ge=1, le=100_000, description="most normal pictures of the test split that detectors are tested on"
    )
    arms: tuple[str, ...] = Field(
        default=("none", "copy_paste", "generated"),
        description=f"what detectors learn from, each compared with none: {', '.join(EVALUATED)}; each but none also"
        " with @SHARE or #COUNT",
    )
    seeds: int = Field(default=3, ge=1, le=100, description="detectors trained for each arm, in pairs across the arms")
    features: str = Field(
        default="lite0", description=f"network by whose features crops are compared: {', '.join(FEATURES)}"
    )
    detector: DetectorConfig = DetectorConfig()
    resources: Resources = Resources()

    @field_validator("arms", mode="before")
    @classmethod
    def _as_now(cls, arms: Any) -> Any:
        """Specs of before called the base `real`."""
        return tuple("none" if arm == "real" else arm for arm in arms) if isinstance(arms, list | tuple) else arms

    def title(self) -> str:
        return f"{self.generated} on {self.dataset}"

    def arm_texts(self) -> list[str]:
        """The arms as `parse_arm` takes them.

        Raises:
            UsageError: there is no such arm.
        """
        texts = []
        for arm in self.arms:
            name, *rest = ARM_END.split(arm, maxsplit=1)
            texts.append("".join([find(EVALUATED, name, "arms: unknown arm").format(job=self.generated), *rest]))
        return texts


class StudySpec(CellsSpec):
    """Compares arms by detectors: a grid of arms, detectors and seeds, on all classes of a data set or some."""

    kind: Literal["study"] = "study"
    dataset: str = Field(description="NAME or NAME@version")
    classes: tuple[str, ...] = Field(
        default=(), description="anomaly classes that each detector finds, as one; without any, all of the data set"
    )
    real: int | None = Field(
        default=None,
        ge=1,
        description="anomalous pictures of each class that every arm learns from; as many as the arms' models did",
    )
    arms: tuple[str, ...] = Field(
        description="what detectors learn from, each compared with none: none, flips, copy_paste, generated:JOB,"
        " real+generated:JOB, adaptive:JOB (JOB_A,JOB_B for several jobs), each but none also with @SHARE or #COUNT"
    )
    learners: tuple[DetectorConfig, ...] = Field(
        default=(),
        description="detectors, by name or as sections of the keys of `detector`, a name again only with other steps;"
        " without any, segmenter; a value that is not given is as the list of detectors has it",
    )
    seeds: int = Field(default=3, ge=1, le=100, description="cells for each arm and detector, in pairs across the arms")
    windows_per_image: int = Field(
        default=4, ge=1, le=100, description="windows cut from each real training image, where the view is a window"
    )
    test_normals: int = Field(
        default=100, ge=1, le=100_000, description="most normal pictures of the test split that detectors are tested on"
    )
    view: ViewConfig = ViewConfig()
    resources: Resources = Resources()

    @field_validator("learners", mode="before")
    @classmethod
    def _by_name(cls, learners: Any) -> Any:
        """A detector that is named alone is a section with its name."""
        if not isinstance(learners, list | tuple):
            return learners
        return tuple({"name": one} if isinstance(one, str) else one for one in learners)

    @field_validator("learners")
    @classmethod
    def _once(cls, learners: tuple[DetectorConfig, ...]) -> tuple[DetectorConfig, ...]:
        given = [(one.name, one.steps if "steps" in one.model_fields_set else None) for one in learners]
        twice = next((one for one in given if given.count(one) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice[0]} is named twice; give each other steps, or make a study for each setting")
        return learners

    def title(self) -> str:
        return f"{len(self.arms)} arms on {self.dataset}"


class SearchSpace(Config):
    """Log-uniform ranges of what is searched."""

    lambda_1_min: float = Field(default=0.03, gt=0, description="lowest value of lambda_1")
    lambda_1_max: float = Field(default=1.0, gt=0, description="highest value of lambda_1")
    lr_min: float = Field(default=5e-5, gt=0, description="lowest value of both learning rates")
    lr_max: float = Field(default=2e-3, gt=0, le=1, description="highest value of both learning rates")

    @model_validator(mode="after")
    def _ordered(self) -> "SearchSpace":
        for name, low, high in (("lambda_1", self.lambda_1_min, self.lambda_1_max), ("lr", self.lr_min, self.lr_max)):
            if low >= high:
                raise ValueError(f"{name}_min must be below {name}_max, got {low:g} and {high:g}")
        return self


class TuneSpec(TrainingSpec):
    """Tries values of `train.loss.lambda_1`, `train.optim.lr_g` and `train.optim.lr_d`. The spec of the best trial is
    what `agan submit train --spec` takes.
    """

    kind: Literal["tune"] = "tune"
    trials: int = Field(default=8, ge=1, le=1000, description="number of runs to try")
    concurrent_trials: int = Field(default=1, ge=1, le=100, description="number of runs at one time")
    seed: int = Field(default=0, ge=0, description="seed of the search")
    space: SearchSpace = SearchSpace()
    view: ViewConfig = ViewConfig()
    train: TrainConfig = TrainConfig()
    resources: Resources = Resources()

    def title(self) -> str:
        return f"{self.trials} trials, {self.dataset} {self.class_name}"

    def needed(self) -> tuple[float, float]:
        """Those of all trials that run at one time."""
        cpus, gpus = super().needed()
        return self.concurrent_trials * (cpus + TRIAL_DRIVER_CPUS), self.concurrent_trials * gpus
