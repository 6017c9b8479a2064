from pathlib import Path

import numpy as np
import pytest

from infra.errors import DataError
from tests.support.builders_export import crack, disc, read_back, sample, samples, write


def test_the_importer_reads_the_same_pictures_and_masks(tmp_path: Path) -> None:
    write(tmp_path / "out", "mvtec", samples())
    pictures = read_back(tmp_path / "out", "mvtec")
    assert pictures.keys() == {one.key for one in samples()}
    for one in samples():
        np.testing.assert_array_equal(pictures[one.key].image, one.image)
        [(label, mask)] = pictures[one.key].masks.items()
        assert label == "+".join(sorted(one.masks))
        np.testing.assert_array_equal(mask, np.max(list(one.masks.values()), axis=0))


def test_each_set_of_classes_has_a_folder(tmp_path: Path) -> None:
    one, two = sample("a", hole=disc(5)), sample("b_mask", hole=disc(5), crack=crack(2))
    write(tmp_path / "out", "mvtec", [one, two, sample("c")])
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")) == [
        "ground_truth/crack+hole/b_mask_mask.png",
        "ground_truth/hole/a_mask.png",
        "test/crack+hole/b_mask.png",
        "test/good/c.png",
        "test/hole/a.png",
    ]
    pictures = read_back(tmp_path / "out", "mvtec")
    assert {key: list(picture.masks) for key, picture in pictures.items()} == {
        "a": ["hole"],
        "b_mask": ["crack+hole"],
        "c": [],
    }


def test_a_class_that_the_layout_takes_for_normal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^sample a: class 'good' means pictures without anomaly"):
        write(tmp_path / "out", "mvtec", [sample("a", good=crack(1))])
    assert list(tmp_path.iterdir()) == []
