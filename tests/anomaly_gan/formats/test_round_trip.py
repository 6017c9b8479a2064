"""What is exported is imported again with equal masks, and damage to one file changes nothing of the others."""

import random
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from anomaly_gan.formats.reading.options import DEFAULT
from anomaly_gan.formats.reading.readers import READERS, fitting, reader
from anomaly_gan.formats.reading.source import Picture
from anomaly_gan.formats.reading.to_sample import ClassNames, to_sample
from anomaly_gan.formats.writing.export import export_samples
from anomaly_gan.formats.writing.exporters import EXPORTERS
from anomaly_gan.samples.sample import Sample, encode_png
from infra.errors import DataError
from tests.support.sources import MemoryTree

BOTH_WAYS = sorted(EXPORTERS.keys() & READERS.keys())
ONE_MASK = ("mvtec",)
"""Formats in which a picture has one class."""


@st.composite
def masks(draw: st.DrawFn, height: int, width: int) -> NDArray[np.uint8]:
    """A few discs, strokes and single pixels, with holes."""
    mask = np.zeros((height, width), np.uint8)
    numbers = random.Random(draw(st.integers(0, 1 << 30)))

    def point() -> tuple[int, int]:
        return numbers.randrange(width), numbers.randrange(height)

    for _ in range(draw(st.integers(1, 4))):
        kind, value = numbers.randrange(3), numbers.randrange(4) > 0
        if kind == 0:
            cv2.circle(mask, point(), numbers.randrange(1, 9), int(value), -1)
        elif kind == 1:
            cv2.line(mask, point(), point(), int(value), numbers.randrange(1, 4))
        else:
            mask[point()[::-1]] = value
    mask[point()[::-1]] = 1
    return mask


@st.composite
def sets(draw: st.DrawFn, most_classes: int) -> list[Sample]:
    made = []
    for number in range(draw(st.integers(1, 3))):
        height, width = draw(st.integers(8, 40)), draw(st.integers(8, 40))
        image = np.random.default_rng(number).integers(0, 256, (height, width), dtype=np.uint8)
        names = draw(st.lists(st.sampled_from(["crack", "dent", "deep_hole"]), max_size=most_classes, unique=True))
        made.append(Sample(f"s{number}", image, {name: draw(masks(height, width)) for name in sorted(names)}))
    return made


def exported(samples: list[Sample], fmt: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        export_samples(((one, encode_png(one.image)) for one in samples), fmt, out)
        return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def imported(files: dict[str, bytes], fmt: str) -> list[Sample]:
    items = reader(fmt)(MemoryTree(files), DEFAULT)
    return sorted((as_sample(item.load()) for item in items), key=lambda sample: sample.key)


def as_sample(picture: Picture) -> Sample:
    key = Path(picture.path).stem
    return to_sample(key, picture, group="", resolution=None, names=ClassNames(), allow_large=True)[0]


def same(one: Sample, other: Sample) -> bool:
    return (
        one.masks.keys() == other.masks.keys()
        and np.array_equal(one.image, other.image)
        and all(np.array_equal(mask, other.masks[name]) for name, mask in one.masks.items())
    )


@pytest.mark.parametrize("fmt", BOTH_WAYS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_export_and_import_give_the_same_masks_twice(fmt: str, data: st.DataObject) -> None:
    samples = data.draw(sets(1 if fmt in ONE_MASK else 3))
    if fmt in ONE_MASK:
        samples = [one for one in samples if one.masks] or [
            Sample("s", np.ones((8, 8), np.uint8), {"a": np.eye(8, dtype=np.uint8)})
        ]
    once = imported(exported(samples, fmt), fmt)
    twice = imported(exported(once, fmt), fmt)
    assert len(samples) == len(once) == len(twice)
    for sample, first, second in zip(samples, once, twice, strict=True):
        assert same(sample, first) and same(first, second)


@pytest.mark.parametrize("fmt", BOTH_WAYS)
def test_what_is_exported_is_of_the_format_that_fits(fmt: str) -> None:
    mask = np.eye(16, dtype=np.uint8)
    assert fitting(MemoryTree(exported([Sample("s", mask * 90, {"crack": mask})], fmt))) == [fmt]


@pytest.mark.parametrize("fmt", BOTH_WAYS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_damage_to_a_file_is_refused_or_changes_nothing_of_other_pictures(fmt: str, data: st.DataObject) -> None:
    drawn = [np.pad(np.ones((4, 5 + number), np.uint8), ((3, 20), (6, 20))) for number in range(3)]
    pictures = [np.random.default_rng(n).integers(0, 256, mask.shape, dtype=np.uint8) for n, mask in enumerate(drawn)]
    samples = [Sample(f"s{n}", pictures[n], {"crack": drawn[n]}) for n in range(3)]
    files = exported(samples, fmt)
    damaged = data.draw(st.sampled_from([path for path in sorted(files) if not path.endswith((".md", ".yaml"))]))
    content = bytearray(files[damaged])
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] = data.draw(st.integers(0, 255))
    else:
        del content[place:]
    own = next((sample.key for sample in samples if sample.key in damaged), None)
    try:
        items = reader(fmt)(MemoryTree({**files, damaged: bytes(content)}), DEFAULT)
    except DataError:
        return
    for item in items:
        try:
            found = as_sample(item.load())
        except DataError:
            continue
        original = next((sample for sample in samples if sample.key == found.key), None)
        if own is not None and found.key != own:
            assert original is not None and same(original, found)
