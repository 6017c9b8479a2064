import pytest

from anomaly_gan.formats.reading.folder import read
from infra.errors import DataError
from tests.support.sources import MemoryTree, blob, gray, png


def files() -> dict[str, bytes]:
    return {
        "normal/a.png": png(gray()),
        "scratch/b.jpg": png(gray()),
        "scratch/masks/b.png": png(blob()),
    }


def test_read_pairs_pictures_with_masks_of_the_same_name() -> None:
    pictures = {item.key: item.load() for item in read(MemoryTree(files()))}
    assert {key: sorted(p.masks) for key, p in pictures.items()} == {
        "normal-a": [],
        "scratch-b": ["scratch"],
    }
    assert pictures["scratch-b"].masks["scratch"].sum() == 48


def test_unpaired_files_are_refused_by_name() -> None:
    bad = files()
    bad["dent/c.png"] = png(gray())
    bad["scratch/masks/d.png"] = png(blob())
    items = {item.path: item for item in read(MemoryTree(bad))}
    with pytest.raises(DataError, match=r"^dent/c.png: has no mask"):
        items["dent/c.png"].load()
    with pytest.raises(DataError, match=r"^scratch/masks/d.png: the mask has no image"):
        items["scratch/masks/d.png"].load()


def test_a_tree_of_another_layout_is_refused() -> None:
    with pytest.raises(DataError, match="not in the folder layout"):
        read(MemoryTree({"a.png": png(gray())}))
