"""The list of formats that a data set is imported from."""

from functools import partial

import numpy as np
import pytest

from anomaly_gan.formats.reading.options import ReadingOptions
from anomaly_gan.formats.reading.pictures import decode_picture
from anomaly_gan.formats.reading.readers import READERS, reader
from anomaly_gan.formats.reading.source import Picture, SourceItem, SourceTree, items_from
from infra.errors import UsageError
from jobs.library.datasets.store import import_dataset
from tests.support.helpers import MemoryStorage
from tests.support.sources import MemoryTree, blob, gray, png


@pytest.mark.parametrize("name", READERS)
def test_every_listed_format_can_be_loaded(name: str) -> None:
    assert callable(reader(name))


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        UsageError, match=r"^--format: unknown format, got 'voc'; use one of mvtec, labelme, coco, folder$"
    ):
        reader("voc")


def read_toy(tree: SourceTree, options: ReadingOptions) -> list[SourceItem]:
    """Pictures of scratches side by side with their masks: the left half is the picture, the right half the mask."""

    def load(path: str) -> Picture:
        picture, mask = np.hsplit(decode_picture(tree.read(path), path), 2)
        return Picture(path, picture, {"scratch": mask // 255} if mask.any() else {}, files=(path,))

    return items_from({path: partial(load, path) for path in tree.paths()})


def test_a_toy_format_is_added_through_the_list_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, "toy", f"{__name__}:read_toy")
    pictures = [np.hstack([gray(seed=i), blob(level=255 * (i % 2))]) for i in range(8)]
    tree = MemoryTree({f"{i}.png": png(picture) for i, picture in enumerate(pictures)})
    index = import_dataset(MemoryStorage(), tree, name="toys", fmt="toy", resolution=None).index
    assert {split: sum(counts.values()) for split, counts in index.counts.items()} == {"train": 6, "test": 2}
    assert index.classes == ("scratch",)
