"""Which anomalous training pictures may be learnt from: all, or so few as if no more had been annotated."""

from collections.abc import Iterable

from anomaly_gan.config import ViewConfig
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


def count_views(
    index: DatasetIndex, classes: Iterable[str], real: int | None, view: ViewConfig, windows_per_image: int
) -> int:
    """Views of real anomalies that a detector of these classes learns from.

    Args:
        real: see `known_pictures`.
        windows_per_image: cut from each picture, where the view is a window.
    """
    pictures = set[str]().union(*(known_pictures(index, name, real) for name in classes))
    return len(pictures) * (windows_per_image if view.kind == "window" else 1)
