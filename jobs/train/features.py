"""How the anomalies of a training's checkpoints looked to a network: kept by the train job, read by evaluations."""

import re

from anomaly_gan.evaluation.crop_files import read_crops
from anomaly_gan.evaluation.likeness import CropFeatures
from infra.errors import NotFoundError
from infra.storage.protocol import Storage
from jobs.record.manifest import load_manifest, read_output

NAME = re.compile(r"features/step-(\d+)\.npz")


def features_name(step: int) -> str:
    """Where the features of a checkpoint are, among the results of its job."""
    return f"features/step-{step:08d}.npz"


def load_stages(storage: Storage, model_id: str, most: int) -> dict[int, CropFeatures]:
    """Step -> features of its anomalies, at most so many steps, evenly over the training and the last one among them.

    Empty for a model that came from elsewhere, or was trained before features were kept.

    Raises:
        DataError: one is broken.
    """
    try:
        outputs = load_manifest(storage, model_id).outputs
    except NotFoundError:
        return {}
    kept = sorted((int(found[1]), output) for output in outputs if (found := NAME.fullmatch(output.name)))
    chosen = [kept[round((i + 1) * len(kept) / most) - 1] for i in range(most)] if len(kept) > most else kept
    return {step: read_crops(read_output(storage, model_id, output), output.name) for step, output in chosen}
