import numpy as np
import pytest

from anomaly_gan.drawing.sheets import (
    BACKGROUND,
    GAP_PX,
    LABEL_PX,
    Tile,
    class_colors,
    contact_sheet,
    fit,
    grouped_sheet,
    outline,
    sample_tile,
    spread_evenly,
)
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


def test_every_group_of_a_sheet_begins_a_row_of_its_own() -> None:
    groups = [[("", np.full((8, 8), level, np.uint8))] * count for level, count in ((50, 1), (90, 3), (0, 0), (130, 2))]
    sheet = grouped_sheet(groups, columns=2, tile_px=8)
    middles = sheet[GAP_PX + 4 :: 8 + LABEL_PX + GAP_PX, GAP_PX + 4 :: 8 + GAP_PX, 0]
    assert middles.tolist() == [[50, BACKGROUND[0]], [90, 90], [90, BACKGROUND[0]], [130, 130]]


def test_a_contact_sheet_is_no_wider_than_its_tiles() -> None:
    assert contact_sheet([("", np.zeros((8, 8), np.uint8))], columns=5, tile_px=8).shape[1] == 8 + 2 * GAP_PX


@pytest.mark.parametrize("groups", [[], [[]], [[], []]])
def test_contact_sheet_of_nothing_is_refused(groups: list[list[Tile]]) -> None:
    with pytest.raises(UsageError, match="at least one tile"):
        grouped_sheet(groups, columns=2, tile_px=40)


def test_entries_are_spread_over_all_there_are() -> None:
    assert spread_evenly(range(10), 4) == [0, 2, 5, 7]
    assert spread_evenly("ab", 6) == ["a", "b"]
    assert spread_evenly("", 6) == []


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
