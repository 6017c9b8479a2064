"""Which anomalous training pictures may be learnt from: all, or so few as if no more had been annotated."""

from collections.abc import Iterable

from anomaly_gan.samples.grouping import first_pictures
from anomaly_gan.samples.index import DatasetIndex
from infra.errors import UsageError


def known_pictures(index: DatasetIndex, class_name: str, real: int | None) -> set[str]:
    """Keys of the training pictures of a class that may be learnt from.

    Args:
        real: number of them, as if no more had been annotated; the same for everything that learns from this data set,
            and those of a smaller number are among those of a larger one. None = all.
    """
    groups = {entry.key: entry.group for entry in index.select(split="train", classes=[class_name], normal=False)}
    return set(groups) if real is None else first_pictures(groups, real)


def check_real(real: int, index: DatasetIndex, classes: Iterable[str]) -> None:
    """Refuse to learn from more anomalous pictures than there are.

    Raises:
        UsageError: the training split has fewer of a class.
    """
    for name in classes:
        pictures = index.counts["train"].get(name, 0)
        if real > pictures:
            raise UsageError(f"real: {real}, but data set {index.name} has {pictures} training pictures of {name}")
