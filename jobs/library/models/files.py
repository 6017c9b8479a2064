"""The identity of a model in the store, for those who do without torch."""

import json

from anomaly_gan.generation.model_files import DESCRIPTION, WEIGHTS
from infra.errors import DataError, NotFoundError
from infra.storage.digest import sha256
from infra.storage.protocol import Storage


def model_digest(storage: Storage, model_id: str) -> str:
    """SHA-256 of a model's weights, as its description has it; `load_model` holds the weights against it.

    Raises:
        NotFoundError: no such model.
        DataError: its description cannot be read.
    """
    try:
        told = json.loads(storage.read(f"models/{model_id}/{DESCRIPTION}"))
        recorded = told.get("weights_sha256")
    except NotFoundError as err:
        raise NotFoundError(f"model {model_id}: not in {storage.uri}; see `agan models list`") from err
    except (ValueError, AttributeError) as err:
        raise DataError(f"model {model_id}: not a readable model ({DESCRIPTION} is damaged)") from err
    if recorded is None:  # a model of before
        return sha256(storage.read(f"models/{model_id}/{WEIGHTS}"))
    return str(recorded)
