"""The resumable checkpoint: all that a method's run changes, as torch.save of tensors."""

from pathlib import Path
from typing import Any

import torch

from anomaly_gan import ranks
from anomaly_gan.networks.pretrained import first_line
from anomaly_gan.training.image_pool import Histories
from anomaly_gan.training.method import Method
from infra.errors import DataError

SCHEMA_VERSION = 4
"""Number of the form of a checkpoint; another form needs another number."""


def gather_image_pools(method: Method) -> dict[str, Histories]:
    """The image pools of all ranks, by domain, on the CPU; each rank must call it, and rank 0 alone gets them."""
    mine = {
        domain: {
            place: [(image.cpu(), parts.cpu()) for image, parts in pairs] for place, pairs in pool.histories.items()
        }
        for domain, pool in method.image_pools.items()
    }
    # each place of the batch belongs to one rank, so no entry of one rank hides that of another
    everyone = ranks.collect(mine)
    return {domain: {k: v for pools in everyone for k, v in pools[domain].items()} for domain in mine}


def save(
    method: Method, image_pools: dict[str, Histories], path: Path, selection: dict[str, Any] | None = None
) -> None:
    """Write all that a run needs to go on as if it had never stopped, on any number of ranks.

    The order of data, masks and augmentation is a function of seed and step, so no random state is kept.

    Args:
        image_pools: the histories of all ranks, by domain, as `gather_image_pools` gives them.
        path: the file to write.
        selection: state of the run's `Selection`, so that a resumed run chooses as if it had never stopped.
    """
    saved = {"schema_version": SCHEMA_VERSION, "step": method.step, "image_pools": image_pools}
    saved["selection"] = selection or {}
    torch.save(saved | method.state_dict(), path)


def restore(method: Method, path: Path, name: str) -> dict[str, Any]:
    """Put a checkpoint's values into `method`.

    Args:
        path: the file to read.
        name: what a person calls the checkpoint.

    Returns:
        The state of the run's `Selection`; empty where nothing was chosen yet.

    Raises:
        DataError: the file is no checkpoint of this schema, or belongs to other networks.
    """
    try:
        # tensors and plain values alone, so that no code of a file is run; on the CPU first, because the file may be
        # from a GPU that is not here
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if saved["schema_version"] != SCHEMA_VERSION:
            raise DataError(
                f"{name}: checkpoint schema {saved['schema_version']}, expected {SCHEMA_VERSION}; train it anew"
            )
        method.load_state_dict(saved)
        for domain, pool in method.image_pools.items():
            # the number of ranks may be another one than when it was saved
            pool.load(saved["image_pools"][domain], ranks.rank(), ranks.world_size(), method.device)
        method.step = saved["step"]
        selection: dict[str, Any] = saved.get("selection", {})  # checkpoints of before have none
    except DataError:
        raise
    except Exception as err:  # torch.load raises many kinds on broken input
        raise DataError(f"{name}: not a checkpoint of this run ({first_line(err)})") from err
    return selection
