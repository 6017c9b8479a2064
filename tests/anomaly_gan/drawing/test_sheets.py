import numpy as np
import pytest

from anomaly_gan.drawing.sheets import GAP_PX, LABEL_PX, class_colors, contact_sheet, fit, outline, sample_tile
from anomaly_gan.samples.sample import Sample
from infra.errors import UsageError

RED = (255, 0, 0)


def test_outline_draws_one_pixel_outside_the_mask_and_leaves_the_rest() -> None:
    image = np.full((7, 7), 9, np.uint8)
    mask = np.zeros((7, 7), np.uint8)
    mask[3, 3] = 1
    drawn = outline(image, mask, RED)
    changed = (drawn != 9).any(axis=2)
    assert changed.sum() == 8 and not changed[3, 3]
    assert (drawn[changed] == RED).all()
    assert (image == 9).all()


def test_fit_keeps_the_aspect_and_the_smallest_anomaly() -> None:
    mask = np.zeros((400, 200), np.uint8)
    mask[0, 0] = 1
    assert fit(mask, 100, is_mask=True).shape == (100, 50)
    assert fit(mask, 100, is_mask=True).sum() == 1
    assert fit(np.zeros((4, 8, 3), np.uint8), 16).shape == (8, 16, 3)


def test_contact_sheet_lays_tiles_out_in_rows_with_labels() -> None:
    tiles = [
        ("one", np.full((10, 20), 90, np.uint8)),
        ("x" * 99, np.zeros((5, 5, 3), np.uint8)),
        ("", np.zeros((9, 9), np.uint8)),
    ]
    sheet = contact_sheet(tiles, columns=2, tile_px=40)
    assert sheet.shape == (2 * (40 + LABEL_PX + GAP_PX) + GAP_PX, 2 * (40 + GAP_PX) + GAP_PX, 3)
    tile = sheet[GAP_PX : GAP_PX + 40, GAP_PX : GAP_PX + 40]
    assert (tile == 90).all(axis=2).sum() == 40 * 20
    label = sheet[GAP_PX + 40 : GAP_PX + 40 + LABEL_PX, GAP_PX : GAP_PX + 40]
    assert label.max() > 200


def test_contact_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one tile"):
        contact_sheet([], columns=2, tile_px=40)


def test_sample_tile_outlines_every_class_in_its_colour() -> None:
    colors = class_colors(["hole", "dent"])
    assert list(colors) == ["dent", "hole"]
    masks = {name: np.zeros((32, 32), np.uint8) for name in colors}
    masks["dent"][4:8, 4:8] = 1
    masks["hole"][20:28, 20:28] = 1
    title, tile = sample_tile(Sample("s1", np.zeros((32, 32), np.uint8), masks), 64, colors)
    assert title == "dent, hole: s1"
    for color in colors.values():
        assert (tile == color).all(axis=2).any()
