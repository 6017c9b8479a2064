"""Pictures of a mask pool: what they show, looked for in their pixels."""

import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from anomaly_gan.config import MaskConfig, ViewConfig
from anomaly_gan.drawing.sheets import GAP_PX, LABEL_PX, class_colors, grouped_sheet
from anomaly_gan.masks.pool.index import MaskPoolIndex
from anomaly_gan.samples.sample import decode_png
from infra.errors import DataError, UsageError
from jobs.library.maskpools.score import score_pool
from jobs.library.maskpools.sheets import (
    ELEMENT_PX,
    FRAME,
    LEFT_OUT,
    REGION,
    SHAPE_PX,
    TILE_PX,
    PreviewPlan,
    draw_elements,
    draw_preview,
    draw_rating_sheet,
)
from tests.jobs.library.maskpools.test_store import experts_of, left_half, rated
from tests.support.builders_jobs import put_dataset
from tests.support.builders_masks import built, put_files, put_pool
from tests.support.helpers import MemoryStorage
from tests.support.sources import png

Sheet = NDArray[np.uint8]


@pytest.fixture
def storage() -> MemoryStorage:
    storage = MemoryStorage()
    put_dataset(storage)
    return storage


def grid(sheet: Sheet, tile_px: int) -> tuple[int, int]:
    """(rows, columns) of tiles."""
    height, width = sheet.shape[0] - GAP_PX, sheet.shape[1] - GAP_PX
    assert height % (tile_px + LABEL_PX + GAP_PX) == 0 == width % (tile_px + GAP_PX)
    return height // (tile_px + LABEL_PX + GAP_PX), width // (tile_px + GAP_PX)


def tile(sheet: Sheet, row: int, column: int, tile_px: int) -> Sheet:
    top, left = GAP_PX + row * (tile_px + LABEL_PX + GAP_PX), GAP_PX + column * (tile_px + GAP_PX)
    return sheet[top : top + tile_px, left : left + tile_px]


def has(picture: Sheet, color: tuple[int, int, int]) -> bool:
    return bool((picture == color).all(axis=2).any())


# --- elements


def test_each_class_has_a_row_of_prior_elements_and_one_of_the_experts(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    sheet = draw_elements(storage, index, per_class=3)
    assert grid(sheet, ELEMENT_PX) == (4, 3)
    colors = class_colors(index.classes)
    shown = [[has(tile(sheet, row, column, ELEMENT_PX), colors[name]) for column in range(3)] for row, name in ROWS]
    assert shown == [[True] * 3, [True] * 3, [True] * 3, [True, True, False]]


ROWS = [(0, "crack"), (1, "crack"), (2, "hole"), (3, "hole")]


@pytest.mark.parametrize(("per_class", "expected"), [(1, (4, 1)), (2, (4, 2)), (16, (4, 8))])
def test_at_most_so_many_elements_are_drawn_in_rows_of_eight(
    storage: MemoryStorage, tmp_path: Path, per_class: int, expected: tuple[int, int]
) -> None:
    assert grid(draw_elements(storage, put_pool(storage, tmp_path), per_class=per_class), ELEMENT_PX) == expected


def test_a_pool_without_experts_has_no_row_of_theirs(storage: MemoryStorage) -> None:
    assert grid(draw_elements(storage, built(storage).index, per_class=3), ELEMENT_PX) == (2, 3)


def test_elements_that_experts_did_not_admit_are_grey(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    assert not has(draw_elements(storage, index, per_class=3), LEFT_OUT)
    scored = score_pool(storage, index.name, rated(index, "0.9 0.1 0.1 0.9 0.1"), None)
    sheet = draw_elements(storage, scored, per_class=3)
    grey = [[has(tile(sheet, row, column, ELEMENT_PX), LEFT_OUT) for column in range(3)] for row, _ in ROWS]
    assert grey == [[False] * 3, [False, True, True], [False] * 3, [False, True, False]]


def test_an_experts_element_bears_the_id_by_which_it_is_rated(
    storage: MemoryStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = put_pool(storage, tmp_path)
    labels: list[str] = []

    def remember(groups: list[list[tuple[str, Sheet]]], columns: int, tile_px: int) -> Sheet:
        labels.extend(label for tiles in groups for label, _ in tiles)
        return grouped_sheet(groups, columns, tile_px)

    monkeypatch.setattr("jobs.library.maskpools.sheets.grouped_sheet", remember)
    draw_elements(storage, index, per_class=3)
    assert [label for label in labels if label.startswith("expert-")] == experts_of(index)
    assert labels[:3] == ["crack, 256 px"] * 3


# --- rating sheet


def thumbnails(page: str) -> list[Sheet]:
    return [decode_png(b64decode(data), "page") for data in re.findall(r"data:image/png;base64,([^\"]+)", page)]


def test_the_rating_sheet_holds_every_expert_mask_with_its_source(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    page, masks = draw_rating_sheet(storage, index)
    assert masks == 5
    assert re.findall(r'data-mask="([^"]+)"', page) == experts_of(index)
    assert "experts/crack/jan.png#1" in page and "Mask pool drawn" in page
    assert "prior-" not in page


def test_a_thumbnail_shows_the_shape_and_its_outline_on_a_picture(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    color = class_colors(index.classes)["crack"]
    first, *_ = thumbnails(draw_rating_sheet(storage, index)[0])
    assert first.shape == (SHAPE_PX, 2 * SHAPE_PX, 3)
    shape, placed = first[:, :SHAPE_PX], first[:, SHAPE_PX:]
    assert has(shape, color) and has(placed, color)
    assert (shape == color).all(axis=2).sum() > (placed == color).all(axis=2).sum()


def test_a_mask_that_is_larger_than_the_picture_has_a_thumbnail_too(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put_dataset(storage, resolution=None)  # pictures of 32 x 24, drawings of 48 x 40
    index = put_pool(storage, tmp_path)
    pictures = thumbnails(draw_rating_sheet(storage, index)[0])
    assert {picture.shape for picture in pictures} == {(SHAPE_PX, 2 * SHAPE_PX, 3)}
    assert has(pictures[0][:, SHAPE_PX:], class_colors(index.classes)["crack"])


def test_a_pool_without_experts_has_nothing_to_rate(storage: MemoryStorage) -> None:
    with pytest.raises(DataError, match="mask pool drawn: has no expert mask to rate; build it with --expert FOLDER"):
        draw_rating_sheet(storage, built(storage).index)


# --- preview


def preview(storage: MemoryStorage, index: MaskPoolIndex, count: int = 12, **plan: object) -> Sheet:
    asked = {"class_name": "crack", "view": ViewConfig(size=64), "masks": MaskConfig(), "seed": 0} | plan
    return draw_preview(storage, index, PreviewPlan(dataset="tiles", count=count, **asked))  # type: ignore[arg-type]


def outlined(sheet: Sheet, count: int) -> NDArray[np.bool_]:
    """[count, TILE_PX, TILE_PX]: the pixels of the outlines."""
    color = class_colors(["crack", "hole"])["crack"]
    tiles = [tile(sheet, number // 6, number % 6, TILE_PX) for number in range(count)]
    return np.stack([(picture == color).all(axis=2) for picture in tiles])


@pytest.mark.parametrize(("count", "expected"), [(1, (1, 1)), (5, (1, 5)), (7, (2, 6))])
def test_a_preview_has_as_many_masks_as_asked_in_rows_of_six(
    storage: MemoryStorage, count: int, expected: tuple[int, int]
) -> None:
    sheet = preview(storage, built(storage).index, count)
    assert grid(sheet, TILE_PX) == expected
    assert outlined(sheet, count).any(axis=(1, 2)).all()


def test_a_preview_is_decided_by_its_seed(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    np.testing.assert_array_equal(preview(storage, index), preview(storage, index))
    assert (preview(storage, index) != preview(storage, index, seed=1)).any()


def test_masks_lie_inside_the_region(storage: MemoryStorage, tmp_path: Path) -> None:
    put_files(tmp_path, {"left.png": left_half()})
    index = put_pool(storage, tmp_path, allowed=str(tmp_path / "left.png"))
    masks = MaskConfig(scale_min=0.5, scale_max=1)
    lines = outlined(preview(storage, index, masks=masks), 12)
    assert has(preview(storage, index, masks=masks), REGION)
    assert lines[:, :, : TILE_PX // 2].any(axis=(1, 2)).all()
    assert not lines[:, :, TILE_PX // 2 + 2 :].any()  # the line is drawn just outside the mask


def test_fixed_elements_stand_at_the_anchors(storage: MemoryStorage, tmp_path: Path) -> None:
    put_files(tmp_path, {"a.csv": b"image,class,left,top,width,height\ntrain/good/000.png,crack,12,12,10,10\n"})
    index = built(storage, anchors=str(tmp_path / "a.csv")).index
    masks = index.classes["crack"].rules.model_copy(update={"max_parts": 1, "rationality": 0})
    assert masks.pose == "fixed"
    rows, columns = np.nonzero(outlined(preview(storage, index, masks=masks), 12).any(axis=0))
    centre = 17 * TILE_PX / 64
    assert abs((rows.min() + rows.max()) / 2 - centre) < 3 and abs((columns.min() + columns.max()) / 2 - centre) < 3


def test_windows_are_framed_on_the_whole_picture(tmp_path: Path) -> None:
    storage = MemoryStorage()
    put_dataset(storage, resolution=128)
    view = ViewConfig(kind="window", size=64)
    sheet = preview(storage, built(storage).index, 6, view=view)
    assert all(has(tile(sheet, 0, column, TILE_PX), FRAME) for column in range(6))
    assert outlined(sheet, 6).any(axis=(1, 2)).all()


def test_a_preview_of_something_else_is_refused(storage: MemoryStorage) -> None:
    index = built(storage).index
    with pytest.raises(UsageError, match="has no class 'dent'"):
        preview(storage, index, class_name="dent")
    put_dataset(storage, resolution=128)
    with pytest.raises(UsageError, match="is of 64 px, data set tiles of 128 px"):
        preview(storage, index)


def test_a_rule_that_cannot_be_met_is_refused_by_its_name(storage: MemoryStorage, tmp_path: Path) -> None:
    dot = np.zeros((64, 64), np.uint8)
    dot[30:33, 30:33] = 255
    put_files(tmp_path, {"dot.png": png(dot)})
    with pytest.raises(DataError, match=r"does not meet region in 100 tries"):
        preview(storage, built(storage, allowed=str(tmp_path / "dot.png")).index)
