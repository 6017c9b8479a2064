"""`agan bench places`: where the masks of a stored pool lie beside the real ones of its data set."""

from anomaly_gan.benchmarks.placing import PlaceFigures, measure_planned, measure_real
from anomaly_gan.config import GenerationConfig
from anomaly_gan.generation.plan import GenerationPlan
from infra.errors import UsageError
from infra.storage.protocol import Storage
from jobs.library.datasets.store import load_index, load_samples
from jobs.library.maskpools.store import load_pool, load_pool_index, rules_of, view_of


def measure_places(
    storage: Storage, name: str, class_name: str, window: int | None, count: int, seed: int
) -> dict[str, PlaceFigures]:
    """Real masks of the training split, planned ones by the pool's rules, and the same ones without rationality.

    Raises:
        UsageError: the pool has no such class, or has learnt nothing of it.
    """
    index = load_pool_index(storage, name)
    rules, view = rules_of(index, class_name), view_of(index, window)
    pool = load_pool(storage, index, class_name)
    learnt = pool.rationality
    if learnt is None:
        raise UsageError(f"mask pool {index.name}: has learnt nothing of class {class_name}; name another class")
    dataset = load_index(storage, index.dataset)
    abnormal = load_samples(storage, dataset, split="train", classes=(class_name,), normal=False)
    normals = load_samples(storage, dataset, split="train", classes=())
    found = {"real": measure_real(abnormal, class_name, learnt)}
    for kind, masks in (("planned", rules), ("anywhere", rules.model_copy(update={"rationality": 0.0}))):
        plan = GenerationPlan(normals, pool, view, masks, GenerationConfig(seed=seed))
        found[kind] = measure_planned(plan, count, learnt)
    return found
