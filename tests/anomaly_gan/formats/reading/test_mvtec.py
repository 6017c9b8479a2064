import io

import numpy as np
import pytest
from PIL import Image

from anomaly_gan.formats.reading.mvtec import read
from anomaly_gan.formats.reading.source import Picture
from infra.errors import DataError
from tests.support.sources import MemoryTree, blob, gigantic_png, gray, mvtec_files, png


def load_all(files: dict[str, bytes]) -> dict[str, Picture]:
    return {item.key: item.load() for item in read(MemoryTree(files))}


def refused(path: str, data: bytes | None) -> str:
    """The sentence with which a good tree is refused after `path` became `data` (None = removed)."""
    files = mvtec_files(normal=2, crack=2)
    if data is None:
        del files[path]
    else:
        files[path] = data
    messages = []
    for item in read(MemoryTree(files)):
        try:
            item.load()
        except DataError as err:
            messages.append(str(err))
    assert len(messages) == 1, messages
    return messages[0]


def test_read_lists_normal_and_anomalous_pictures_with_their_masks() -> None:
    files = mvtec_files(normal=2, crack=1, hole=1)
    files["test/good/7.png"] = png(gray())
    pictures = load_all(files)
    assert {key: sorted(p.masks) for key, p in pictures.items()} == {
        "train-good-000": [],
        "train-good-001": [],
        "test-good-7": [],
        "test-crack-000": ["crack"],
        "test-hole-000": ["hole"],
    }
    assert pictures["test-crack-000"].files == ("test/crack/000.png", "ground_truth/crack/000_mask.png")


def test_read_takes_a_mask_of_the_images_own_name() -> None:
    files = mvtec_files(crack=1)
    files["ground_truth/crack/000.png"] = files.pop("ground_truth/crack/000_mask.png")
    assert load_all(files)["test-crack-000"].masks["crack"].sum() == 48


def test_masks_are_one_from_level_128() -> None:
    files = mvtec_files(crack=1)
    mask = blob()
    mask[4, 5:13], mask[9, 5:13] = 127, 128
    files["ground_truth/crack/000_mask.png"] = png(mask)
    assert load_all(files)["test-crack-000"].masks["crack"].sum() == 40


def test_the_masks_of_loco_are_one_anomaly_each() -> None:
    files = {"train/good/000.png": png(gray()), "test/logical_anomalies/000.png": png(gray())}
    for number, level in enumerate((255, 254)):
        files[f"ground_truth/logical_anomalies/000/{number:03d}.png"] = png(np.roll(blob(level=level), 14 * number, 1))
    files["validation/good/000.png"] = png(gray())
    pictures = load_all(files)
    assert pictures.keys() == {"train-good-000", "validation-good-000", "test-logical_anomalies-000"}
    picture = pictures["test-logical_anomalies-000"]
    assert picture.masks["logical_anomalies"].sum() == 96
    assert np.unique(picture.instances["logical_anomalies"]).tolist() == [0, 1, 2]


def test_the_layout_of_ad_2_is_read() -> None:
    files = {"train/good/000.png": png(gray()), "test_public/good/001.png": png(gray())}
    files |= {"test_public/bad/000.png": png(gray()), "test_public/ground_truth/bad/000_mask.png": png(blob())}
    files |= {"test_private/000.png": png(gray()), "validation/good/000.png": png(gray())}
    pictures = load_all(files)
    assert {key: sorted(picture.masks) for key, picture in pictures.items()} == {
        "train-good-000": [],
        "test_public-good-001": [],
        "validation-good-000": [],
        "test_public-bad-000": ["bad"],
    }
    assert pictures["test_public-bad-000"].masks["bad"].sum() == 48


@pytest.mark.parametrize(
    "path", ["ground_truth/crack/000.png", "ground_truth/crack/000_mask.bmp", "test/crack/000.jpg"]
)
def test_a_second_mask_or_picture_of_one_name_is_refused_with_both(path: str) -> None:
    files = mvtec_files(crack=2) | {path: png(blob())}
    refused = {}
    for item in read(MemoryTree(files)):
        try:
            item.load()
        except DataError as err:
            refused[item.path] = str(err)
    assert refused.keys() == {path, "test/crack/000.png", "ground_truth/crack/000_mask.png"}
    assert all("share the name '000', which mask is whose is not told; keep one" in told for told in refused.values())


def test_images_keep_their_pixels_and_channels() -> None:
    color = np.stack([gray(seed=i) for i in range(3)], axis=2)
    files = mvtec_files(normal=1) | {"train/good/color.png": png(color)}
    pictures = load_all(files)
    np.testing.assert_array_equal(pictures["train-good-000"].image, gray(seed=0))
    np.testing.assert_array_equal(pictures["train-good-color"].image, color)


def test_palettes_become_rgb_and_alpha_is_dropped() -> None:
    color = np.zeros((4, 4, 3), np.uint8)
    color[:2] = 200, 10, 30
    palette = Image.fromarray(color).quantize(4)
    alpha = np.dstack([color, np.full((4, 4), 7, np.uint8)])
    stream = io.BytesIO()
    palette.save(stream, "PNG")
    files = {"train/good/palette.png": stream.getvalue(), "train/good/alpha.png": png(alpha)}
    for picture in load_all(files).values():
        np.testing.assert_array_equal(picture.image, color)


def test_keys_of_paths_that_differ_only_in_odd_characters_stay_apart() -> None:
    files = {f"train/good/{name}": png(gray()) for name in ("a b.png", "a_b.png", "a_b.jpg", "ä.png")}
    keys = [item.key for item in read(MemoryTree(files))]
    assert len(set(keys)) == 4
    assert sum(key.startswith("train-good-a_b-") for key in keys) == 3
    assert "train-good-_" in keys


def test_an_image_without_mask_is_refused_by_name() -> None:
    assert refused("ground_truth/crack/001_mask.png", None).startswith("test/crack/001.png: has no mask")


def test_a_mask_without_image_is_refused_by_name() -> None:
    message = refused("test/crack/001.png", None)
    assert message.startswith("ground_truth/crack/001_mask.png: the mask has no image")


def test_an_empty_mask_is_refused_by_name() -> None:
    message = refused("ground_truth/crack/000_mask.png", png(blob(level=0)))
    assert message.startswith("ground_truth/crack/000_mask.png: the mask is empty, every pixel is black; draw it")


def test_a_mask_of_another_size_is_refused_by_name() -> None:
    message = refused("ground_truth/crack/000_mask.png", png(blob(20, 30)))
    assert message == (
        "ground_truth/crack/000_mask.png: the mask has 30 x 20 pixels, its image 32 x 24; make them equal"
    )


def test_a_file_that_is_no_picture_is_refused_by_name() -> None:
    assert refused("train/good/001.png", b"no picture").startswith("train/good/001.png: not a readable picture")


def test_a_cut_picture_is_refused_by_name() -> None:
    assert refused("train/good/001.png", png(gray(200, 200))[:-3000]).startswith(
        "train/good/001.png: the picture is corrupt"
    )


@pytest.mark.parametrize("side", [9000, 15000, 40000])
def test_a_gigantic_picture_is_refused_by_name_before_it_is_decoded(side: int) -> None:
    message = refused("train/good/001.png", gigantic_png(side, side))
    assert message.startswith("train/good/001.png: the picture has more than 64 megapixels")


def test_a_picture_of_16_bits_is_refused_by_name() -> None:
    message = refused("train/good/001.png", png(gray().astype(np.uint16) * 257))
    assert message.startswith("train/good/001.png: has 16 bits a channel (I;16); give")


def test_a_path_with_two_dots_is_refused_by_name() -> None:
    assert refused("train/good/../x.png", png(gray())).startswith("train/good/../x.png: a path must not hold")


def test_a_tree_of_another_layout_is_refused() -> None:
    with pytest.raises(DataError, match="memory://source: not in the MVTec-AD layout"):
        read(MemoryTree({"a.png": png(gray())}))
