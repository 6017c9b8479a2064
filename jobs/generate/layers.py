"""The models of a generate job: the first begins with normal pictures, each further one adds to what was made."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch

from anomaly_gan.config import LightConfig
from anomaly_gan.generation.description import real_of
from anomaly_gan.generation.generate import Generated, generate, generate_again
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.networks.generator import Generator
from anomaly_gan.samples.instances import part_boxes
from anomaly_gan.samples.provenance import anomalies, noted
from infra.errors import DataError
from infra.storage.protocol import Storage
from jobs.library.datasets.store import load_index
from jobs.library.models.store import load_model
from jobs.library.training_split import load_training_split
from jobs.spec.specs import AddedModel, GenerateSpec


@dataclass(frozen=True)
class Layer:
    """One model at work.

    Attributes:
        made_by: what a sample's meta says of the model.
        normal_sha256: key -> SHA-256 of the training split's pictures.
    """

    plan: GenerationPlan
    generator: Generator
    made_by: dict[str, Any]
    normal_sha256: dict[str, str]

    def add(
        self,
        indices: Sequence[int],
        onto: Sequence[Generated] | None,
        turn: AbstractContextManager[Any],
        judged: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[Generated]:
        """The images of these indices, with all that an auditor needs in their meta.

        Args:
            judged: of each index, what a record says that the gate said then; None = the gate judges now.
        """
        if judged is None:
            made = generate(self.plan, indices, self.generator, onto, turn)
        else:
            made = generate_again(self.plan, indices, self.generator, judged, onto, turn)
        return [self._documented(one) for one in made]

    def _documented(self, made: Generated) -> Generated:
        newest = anomalies(made.sample.meta)[-1]
        notes = {
            **self.made_by,
            "normal_sha256": self.normal_sha256[newest["normal"]],
            "boxes": part_boxes(made.sample.masks[newest["class"]]),
        }
        return replace(made, sample=noted(made.sample, notes))


def load_layers(storage: Storage, spec: GenerateSpec, device: torch.device) -> list[Layer]:
    """All models of the job, with the pictures that all of them can begin with in memory.

    Raises:
        NotFoundError: a model, data set or mask pool that is not there.
        DataError: one is broken, or no picture suits all models.
    """
    first = AddedModel(model=spec.model, mask_pool=spec.mask_pool, masks=spec.masks)
    layers = [_load(storage, one, number, spec, device) for number, one in enumerate((first, *spec.added))]
    if not spec.added:
        return layers
    suitable = [{normal.key for normal in layer.plan.fitting} for layer in layers]
    begun = layers[0].plan
    normals = [normal for normal in begun.normals if all(normal.key in keys for keys in suitable)]
    if not normals:
        raise DataError(f"added: none of {len(begun.normals)} normal pictures suits all models; mix fewer of them")
    return [replace(layers[0], plan=replace(begun, normals=normals)), *layers[1:]]


def _load(storage: Storage, one: AddedModel, number: int, spec: GenerateSpec, device: torch.device) -> Layer:
    snapshot = load_model(storage, one.model, device)
    dataset = snapshot.record["dataset"]
    config, is_last = spec.generation, number == len(spec.added)
    if not is_last:
        config = config.model_copy(update={"light": LightConfig()})
    split = load_training_split(storage, dataset, snapshot.class_name, one.mask_pool, real_of(snapshot.record))
    plan = replace(split.gated_plan(snapshot.view, one.masks, config), layer=number)
    made_by = {
        "model": one.model,
        "model_sha256": snapshot.weights_sha256,
        "dataset": dataset,
        "mask_pool": one.mask_pool,
    }
    pictures = {entry.key: entry.image_sha256 for entry in load_index(storage, dataset).samples}
    return Layer(plan, snapshot.generator, made_by, pictures)
