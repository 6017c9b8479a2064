import numpy as np
import pytest

from anomaly_gan.formats.reading.source import Picture
from anomaly_gan.formats.reading.to_sample import ClassNames, to_sample
from anomaly_gan.samples.resizing import lost_parts, resize_image, resize_nearest
from infra.errors import DataError
from tests.support.sources import blob, gray


def picture(**more: object) -> Picture:
    mask = (blob() > 0).astype(np.uint8)
    return Picture("a/x.png", gray(), **{"masks": {"dent": mask}, **more})  # type: ignore[arg-type]


def convert(source: Picture, resolution: int | None = None):  # type: ignore[no-untyped-def]
    return to_sample("x", source, group="g1", resolution=resolution, names=ClassNames())


def test_native_size_keeps_every_pixel_and_notes_group_and_source() -> None:
    sample, warnings = convert(picture())
    np.testing.assert_array_equal(sample.image, gray())
    np.testing.assert_array_equal(sample.masks["dent"], blob() > 0)
    assert sample.meta == {"group": "g1", "source": "a/x.png"}
    assert warnings == []


@pytest.mark.parametrize("resolution", [16, 64])
def test_resizing_gives_squares_and_masks_stay_binary_and_aligned(resolution: int) -> None:
    image = (blob() // 255 * 200).astype(np.uint8)
    instances = {"dent": (blob() > 0).astype(np.uint16) * 7}
    sample, _ = convert(Picture("x", image, picture().masks, instances), resolution)
    assert sample.image.shape == sample.masks["dent"].shape == (resolution, resolution)
    assert set(np.unique(sample.masks["dent"])) == {0, 1}
    assert set(np.unique(sample.instances["dent"])) == {0, 7}
    assert ((sample.image > 100) == (sample.masks["dent"] == 1)).mean() > 0.97


def test_shrinking_averages_areas_instead_of_dropping_lines() -> None:
    stripes = np.tile(np.array([0, 200], np.uint8), (64, 32))
    assert np.abs(resize_image(stripes, 16).astype(int) - 100).max() <= 1


def test_nearest_takes_the_value_under_the_centre_of_the_new_pixel() -> None:
    np.testing.assert_array_equal(resize_nearest(np.arange(16, dtype=np.uint8).reshape(4, 4), 2), [[5, 7], [13, 15]])


def test_a_part_that_resizing_deletes_is_warned_of_by_name() -> None:
    mask = picture().masks["dent"].copy()
    mask[20, 30] = 1
    assert lost_parts(mask, None) == 0
    _, warnings = convert(picture(masks={"dent": mask}), 8)
    assert warnings == ["a/x.png: resizing to 8 deletes 1 part(s) of class dent"]


def test_a_mask_that_resizing_empties_is_refused_by_name() -> None:
    mask = np.zeros((24, 32), np.uint8)
    mask[0, 0] = 1
    with pytest.raises(DataError, match=r"^a/x.png: mask of 'dent' is empty at 8 pixels"):
        convert(picture(masks={"dent": mask}), 8)


def test_a_mask_of_another_size_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"^a/x.png: mask of 'dent' has .* the image .*; make them equal"):
        convert(picture(masks={"dent": np.ones((4, 4), np.uint8)}))


def test_labels_become_safe_class_names() -> None:
    names = ClassNames()
    assert names.name("deep scratch (left)", "x") == "deep_scratch_left_"
    assert names.name("dent-1", "x") == "dent-1"


def test_two_labels_of_one_class_name_are_refused_by_file() -> None:
    names = ClassNames()
    names.name("deep scratch", "x.png")
    with pytest.raises(DataError, match=r"^y.png: labels 'deep scratch' and 'deep_scratch' both become"):
        names.name("deep_scratch", "y.png")


@pytest.mark.parametrize(("first", "second"), [("crack", "Crack"), ("A b", "a b"), ("CRACK", "crack")])
def test_classes_that_differ_by_case_only_are_refused(first: str, second: str) -> None:
    names = ClassNames()
    assert names.name(first, "x.png") == names.name(first, "y.png")
    with pytest.raises(DataError, match=r"^y.png: classes .* differ only by upper and lower case; rename one"):
        names.name(second, "y.png")


def test_a_label_too_long_for_a_file_name_is_refused() -> None:
    with pytest.raises(DataError, match=r"^x.png: label 'a{80}'… has more than 80 letters; rename it"):
        ClassNames().name("a" * 81, "x.png")


@pytest.mark.parametrize("label", ["normal", "Normal", "划痕", "", "../.."])
def test_labels_that_cannot_name_a_class_are_refused_by_file(label: str) -> None:
    with pytest.raises(DataError, match=r"^x.png: label "):
        ClassNames().name(label, "x.png")
