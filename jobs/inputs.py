"""What training and generation read from the store, the same way in every process."""

from dataclasses import dataclass

from anomaly_gan.config import GenerationConfig, MaskConfig, ViewConfig
from anomaly_gan.data import Sample
from anomaly_gan.generation import GenerationPlan
from anomaly_gan.masks.pool import MaskPool, build_pool
from infra.storage import Storage
from jobs.datasets import load_index, load_samples


@dataclass(frozen=True)
class TrainingSplit:
    """The training split of one class, decoded and in memory."""

    normals: list[Sample]
    abnormals: list[Sample]
    pool: MaskPool

    def plan(self, view: ViewConfig, masks: MaskConfig, config: GenerationConfig) -> GenerationPlan:
        return GenerationPlan(self.normals, self.pool, view, masks, config)


def load_training_split(storage: Storage, dataset: str, class_name: str) -> TrainingSplit:
    """Normal images, images of the class, and the pool of its masks.

    Args:
        dataset: NAME@version.
    """
    index = load_index(storage, dataset)
    samples = load_samples(storage, index, split="train", classes=[class_name], normal=True)
    abnormals = [sample for sample in samples if class_name in sample.masks]
    return TrainingSplit(
        [sample for sample in samples if sample.is_normal], abnormals, build_pool(abnormals, class_name)
    )
