"""`agan masks score`: the experts' decision on a pool's drawn masks, as a new version of the pool."""

from collections.abc import Sequence

from anomaly_gan.masks.pool.index import MaskPoolIndex
from anomaly_gan.masks.rating.ratings import ExpertEntry, Rating
from anomaly_gan.masks.rating.scoring import score_masks
from infra.errors import DataError
from infra.storage.protocol import Storage
from jobs.library.maskpools.store import SHELF, load_pool_index


def score_pool(
    storage: Storage,
    name: str,
    ratings: Sequence[Rating],
    experts: Sequence[ExpertEntry] | None,
    *,
    top: float = 0.1,
    approval: float = 0.5,
    min_ratings: int | None = None,
) -> MaskPoolIndex:
    """Admit expert masks by the rules of `masks.scoring`, in place of any earlier decision; prior masks stay.

    Returns:
        The index of the version that is now the latest; every rating stands in it.

    Raises:
        NotFoundError: no such pool.
        DataError: it has no expert mask, or the ratings do not fit it.
    """
    index = load_pool_index(storage, name)
    masks = {entry.id: entry.class_name for entry in index.elements if entry.origin == "expert"}
    if not masks:
        raise DataError(f"mask pool {name}: has no expert mask to score; build it with --expert FOLDER")
    scoring = score_masks(masks, ratings, experts, top=top, approval=approval, min_ratings=min_ratings)
    admitted = {mask.mask for mask in scoring.masks if mask.admitted}
    elements = tuple(
        entry.model_copy(update={"admitted": entry.origin == "prior" or entry.id in admitted})
        for entry in index.elements
    )
    scored = index.model_copy(update={"elements": elements, "scoring": scoring}).with_version()
    for shard in index.shards:
        storage.write(SHELF.key(scored, shard.name), storage.read(SHELF.key(index, shard.name)))
    SHELF.publish(storage, scored)
    return scored
