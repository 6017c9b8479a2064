"""What all formats of an export have in common: the way back, names, the folder that appears, the memory."""

import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from anomaly_gan.formats.reading.to_sample import ClassNames, to_sample
from anomaly_gan.formats.writing.export import export_samples
from anomaly_gan.formats.writing.exporters import EXPORTERS
from anomaly_gan.samples.sample import Sample, encode_png
from infra.errors import DataError, UsageError
from tests.support.builders_export import SHAPES, crack, disc, read_back, ring, sample, samples, write

FORMATS = sorted(EXPORTERS)


@pytest.mark.parametrize("fmt", ["coco", "labelme"])
def test_the_importer_reads_the_same_pictures_masks_and_instances(tmp_path: Path, fmt: str) -> None:
    write(tmp_path / "out", fmt, samples())
    pictures = read_back(tmp_path / "out", fmt)
    assert pictures.keys() == {one.key for one in samples()}
    for one in samples():
        back, _ = to_sample(one.key, pictures[one.key], group="", resolution=None, names=ClassNames(), allow_large=True)
        np.testing.assert_array_equal(back.image, one.image)
        assert back.masks.keys() == one.masks.keys()
        for name, mask in one.masks.items():
            np.testing.assert_array_equal(back.masks[name], mask, err_msg=one.key)
            if name in one.instances:
                np.testing.assert_array_equal(back.instances[name], one.instances[name])


@pytest.mark.parametrize("fmt", FORMATS)
def test_images_and_instances_are_counted(tmp_path: Path, fmt: str) -> None:
    counts = write(tmp_path / "out", fmt, [sample("a", crack=crack(1), hole=disc(5)), sample("b", hole=ring())])
    assert (counts.images, counts.instances, counts.classes) == (2, 3, {"crack": 1, "hole": 2})


@pytest.mark.parametrize("fmt", FORMATS)
def test_pictures_are_written_as_they_are(tmp_path: Path, fmt: str) -> None:
    png = encode_png(sample().image, is_photo=True)
    export_samples([(sample("a", crack=crack(1)), png)], fmt, tmp_path / "out")
    [path] = (tmp_path / "out").rglob("a.png")
    assert path.read_bytes() == png


@pytest.mark.parametrize("fmt", FORMATS)
def test_the_same_samples_give_the_same_bytes(tmp_path: Path, fmt: str) -> None:
    def written(name: str) -> dict[str, bytes]:
        write(tmp_path / name, fmt, samples())
        files = (path for path in (tmp_path / name).rglob("*") if path.is_file())
        return {path.relative_to(tmp_path / name).as_posix(): path.read_bytes() for path in files}

    assert written("a") == written("b")


@pytest.mark.parametrize("fmt", FORMATS)
def test_no_sample_is_kept_once_the_next_one_comes(tmp_path: Path, fmt: str) -> None:
    seen: list[weakref.ref[Sample]] = []

    def one_by_one() -> Iterator[tuple[Sample, bytes]]:
        for number, mask in enumerate(SHAPES.values()):
            made = sample(f"gen-{number}", crack=mask)
            seen.append(weakref.ref(made))
            yield made, encode_png(made.image)
            del made
            assert [ref() is not None for ref in seen] == [False] * number + [True]  # the caller's loop has the last

    assert export_samples(one_by_one(), fmt, tmp_path / "out").images == len(SHAPES)


# --- the folder


def failing(error: Exception) -> Iterator[tuple[Sample, bytes]]:
    yield sample(crack=crack(1)), b"png"
    raise error


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("error", [DataError("shard 1: is broken"), KeyboardInterrupt()])
def test_an_error_on_the_way_leaves_nothing(tmp_path: Path, fmt: str, error: Exception) -> None:
    with pytest.raises(type(error)):
        export_samples(failing(error), fmt, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_at_the_target_before_all_is_written(tmp_path: Path) -> None:
    def looking() -> Iterator[tuple[Sample, bytes]]:
        for one in samples():
            yield one, b"png"
            assert not (tmp_path / "out").exists()

    export_samples(looking(), "coco", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch], ids=["folder", "file"])
def test_a_target_that_is_there_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "out")
    with pytest.raises(UsageError, match=r"out: is there already; remove it, or name a new folder$"):
        write(tmp_path / "out", "coco", samples())
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_target_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file/out: cannot be written \(Not a directory\); check rights"):
        write(tmp_path / "file" / "out", "coco", samples())


def test_folders_above_the_target_are_made(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b", "labelme", [sample("x", crack=crack(1))])
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["x.json", "x.png"]


# --- names


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("key", ["../x", "a/b", "..", "/x", "", "a\\b", ".hidden"])
def test_a_key_that_leads_elsewhere_is_refused(tmp_path: Path, fmt: str, key: str) -> None:
    with pytest.raises(DataError, match="cannot be part of a path"):
        write(tmp_path / "out", fmt, [sample(key, crack=crack(1))])
    assert list(tmp_path.iterdir()) == []


def test_a_class_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^sample 'a': '\.\./crack' cannot be part of a path"):
        write(tmp_path / "out", "mvtec", [sample("a", **{"../crack": crack(1)})])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fmt", FORMATS)
def test_two_samples_of_one_key_are_refused(tmp_path: Path, fmt: str) -> None:
    with pytest.raises(DataError, match=r"a\.png: is there already, two samples have one key"):
        write(tmp_path / "out", fmt, [sample("a", crack=crack(1)), sample("a", crack=disc(5))])
    assert list(tmp_path.iterdir()) == []
