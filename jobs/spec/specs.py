"""What a job is asked to do, checked and frozen; `jobs.spec.resolve` is the only parser of user input."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from anomaly_gan.config import Config, GenerationConfig, MaskConfig, TrainConfig, ViewConfig
from anomaly_gan.detectors.config import DetectorConfig

SCHEMA_VERSION = 1
MASK_POOL = "NAME or NAME@version; without one the masks of the training split are the pool"


class Resources(Config):
    """What the job takes of the cluster."""

    workers: int = Field(default=1, ge=1, le=1024, description="processes that share the work")
    cpus_per_worker: int = Field(default=1, ge=1, description="CPU cores (and threads) of each")
    gpus_per_worker: int = Field(default=0, ge=0, le=1, description="GPUs of each")
    max_failures: int = Field(default=3, ge=0, description="restarts after a lost worker before giving up")
    stop_grace_sec: int = Field(
        default=25,
        ge=1,
        le=3600,
        description="from SIGTERM to the end of a training's worker: for a step, the checkpoint and its upload",
    )


class TrainSpec(Config):
    kind: Literal["train"] = "train"
    dataset: str = Field(description="NAME or NAME@version")
    class_name: str = Field(description="the anomaly class to learn")
    mask_pool: str | None = Field(default=None, description=MASK_POOL)
    resume: str | None = Field(
        default=None, description="id of a train job of the same spec, on however many workers, to go on from"
    )
    view: ViewConfig = ViewConfig()
    train: TrainConfig = TrainConfig()
    resources: Resources = Resources()


class AddedModel(Config):
    """A further model of a generate job."""

    model: str = Field(description="id of a trained model of another class, with the data set and view of the first")
    mask_pool: str | None = Field(default=None, description="as the job's own")
    masks: MaskConfig = Field(default=MaskConfig(), description="as the job's own")


class GenerateSpec(Config):
    kind: Literal["generate"] = "generate"
    model: str = Field(description="id of a trained model (its training job's id)")
    count: int = Field(default=64, ge=1, le=100_000_000, description="images to make")
    images_per_shard: int = Field(default=100, ge=1, le=10_000, description="images in one shard")
    mask_pool: str | None = Field(default=None, description="NAME or NAME@version; without one that of the model")
    masks: MaskConfig = Field(default=MaskConfig(), description="without a value those of the pool, or the model")
    added: tuple[AddedModel, ...] = Field(
        default=(), description="further models, each of which adds an anomaly of its class to every image (`--mix`)"
    )
    generation: GenerationConfig = GenerationConfig()
    resources: Resources = Resources()


class EvaluateSpec(Config):
    kind: Literal["evaluate"] = "evaluate"
    dataset: str = Field(description="NAME or NAME@version")
    generated: str = Field(description="id of a generate job that succeeded")
    measured_images: int = Field(
        default=64, ge=1, le=10_000, description="generated images measured against an untrained generator's"
    )
    windows_per_image: int = Field(
        default=4, ge=1, le=100, description="windows cut from each real training image, where the view is windows"
    )
    detector: DetectorConfig = DetectorConfig()
    resources: Resources = Resources()


class SearchSpace(Config):
    """Log-uniform ranges of what is searched."""

    lambda_1_min: float = Field(default=0.03, gt=0, description="lowest lambda_1")
    lambda_1_max: float = Field(default=1.0, gt=0, description="highest lambda_1")
    lr_min: float = Field(default=5e-5, gt=0, description="lowest of both learning rates")
    lr_max: float = Field(default=2e-3, gt=0, le=1, description="highest of both learning rates")

    @model_validator(mode="after")
    def _ordered(self) -> "SearchSpace":
        for name, low, high in (("lambda_1", self.lambda_1_min, self.lambda_1_max), ("lr", self.lr_min, self.lr_max)):
            if low >= high:
                raise ValueError(f"{name}_min must be below {name}_max, got {low:g} and {high:g}")
        return self


class TuneSpec(Config):
    kind: Literal["tune"] = "tune"
    dataset: str = Field(description="NAME or NAME@version")
    class_name: str = Field(description="the anomaly class to learn")
    mask_pool: str | None = Field(default=None, description=MASK_POOL)
    trials: int = Field(default=8, ge=1, le=1000, description="runs to try")
    concurrent_trials: int = Field(default=1, ge=1, le=100, description="runs at a time")
    seed: int = Field(default=0, ge=0, description="of the search")
    space: SearchSpace = SearchSpace()
    view: ViewConfig = ViewConfig()
    train: TrainConfig = TrainConfig()
    resources: Resources = Resources()


JobSpec = TrainSpec | GenerateSpec | EvaluateSpec | TuneSpec
SPECS: dict[str, type[JobSpec]] = {
    "train": TrainSpec,
    "generate": GenerateSpec,
    "evaluate": EvaluateSpec,
    "tune": TuneSpec,
}
_any_spec: TypeAdapter[JobSpec] = TypeAdapter(Annotated[JobSpec, Field(discriminator="kind")])


def parse_spec(raw: dict[str, Any]) -> JobSpec:
    """A spec from its own JSON form; pydantic's error where it is not one."""
    return _any_spec.validate_python(raw)
