"""Features of anomalies as a file, so that those of a training's checkpoints can be laid beside others later."""

import io
from typing import Any

import numpy as np

from anomaly_gan.evaluation.likeness import CropFeatures
from anomaly_gan.metrics.features.network import Features, FeatureSource
from infra.errors import DataError

VALUES, GROUPS, SOURCE = "values", "groups", "source"


def crop_bytes(crops: CropFeatures) -> bytes:
    """NumPy's .npz; features lose all but 11 bits of precision, of which a look at them needs fewer."""
    file, features = io.BytesIO(), crops.features
    arrays: dict[str, Any] = {
        VALUES: features.values.astype(np.float16),
        GROUPS: np.array(crops.groups, np.str_),
        SOURCE: np.frombuffer(features.source.model_dump_json().encode(), np.uint8),
    }
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def read_crops(data: bytes, name: str) -> CropFeatures:
    """Inverse of `crop_bytes`, but for the precision.

    Args:
        name: what a person calls the file.

    Raises:
        DataError: it is no such file.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            values, groups, source = (stored[key] for key in (VALUES, GROUPS, SOURCE))
        features = Features(values.astype(np.float64), FeatureSource.model_validate_json(source.tobytes()))
    except Exception as err:  # numpy, zipfile and pydantic each raise their own
        reason = next(iter(str(err).splitlines()), type(err).__name__)
        raise DataError(f"{name}: no features of anomalies ({reason}); train the model again") from err
    return CropFeatures(features, groups.tolist())
