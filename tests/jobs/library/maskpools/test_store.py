"""Mask pools in the store: what a build makes of its sources, what the experts decide, what a job reads back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anomaly_gan.config import ViewConfig
from anomaly_gan.masks.placing.placement import place
from anomaly_gan.masks.pool.index import MaskPoolIndex
from anomaly_gan.masks.rating.ratings import Rating, read_experts, read_ratings
from anomaly_gan.samples.sample import decode_png
from infra.errors import DataError, NotFoundError, UsageError
from infra.storage.digest import sha256
from infra.storage.shards import read_shard
from jobs.library.datasets.store import import_dataset, load_index
from jobs.library.maskpools.score import score_pool
from jobs.library.maskpools.store import (
    check_pool,
    full_name,
    list_pools,
    load_pool,
    load_pool_index,
    read_masks,
    rules_of,
    view_of,
)
from tests.support.builders_jobs import put_dataset
from tests.support.builders_masks import CANVAS, EXPERT_FILES, POOL, bar, built, coco, labelme, put_files, put_pool
from tests.support.helpers import MemoryStorage
from tests.support.sources import MemoryTree, mvtec_files, png


@pytest.fixture
def storage() -> MemoryStorage:
    storage = MemoryStorage()
    put_dataset(storage)
    return storage


def experts_of(index: MaskPoolIndex) -> list[str]:
    return [entry.id for entry in index.elements if entry.origin == "expert"]


def shard_of(storage: MemoryStorage, index: MaskPoolIndex) -> dict[str, dict[str, bytes]]:
    return dict(read_shard(storage.read(f"maskpools/{index.name}/{index.version}/pool-000000.tar"), "shard"))


# --- build


def test_a_build_writes_a_shard_the_index_and_the_pointer(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    assert [entry.key for entry in storage.list("maskpools/")] == [
        f"maskpools/drawn/{index.version}/index.json",
        f"maskpools/drawn/{index.version}/pool-000000.tar",
        "maskpools/drawn/latest.json",
    ]
    assert load_pool_index(storage, POOL) == index == load_pool_index(storage, full_name(index))
    assert list_pools(storage) == [index]


def test_the_pointer_is_written_after_everything_it_points_to(
    storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = storage.write

    def fail_at_pointer(key: str, data: bytes) -> None:
        if key.endswith("latest.json"):
            raise OSError("power cut")
        write(key, data)

    monkeypatch.setattr(storage, "write", fail_at_pointer)
    with pytest.raises(OSError, match="power cut"):
        built(storage)
    assert len(storage.list("maskpools/")) == 2 and list_pools(storage) == []


def test_prior_masks_are_cut_from_the_training_split_only(storage: MemoryStorage) -> None:
    index, dataset = built(storage).index, load_index(storage, "tiles")
    split = {entry.key: entry.split for entry in dataset.samples}
    assert {split[entry.source] for entry in index.elements} == {"train"}
    for name in dataset.classes:
        cut = {entry.source for entry in index.select(name, "prior")}
        assert cut == {entry.key for entry in dataset.select(split="train", classes=[name], normal=False)}
    group = {entry.key: entry.group for entry in dataset.samples}
    assert all(entry.group == group[entry.source] for entry in index.elements)


def test_every_element_has_class_source_size_and_the_digest_of_its_png(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    shard, masks = shard_of(storage, index), read_masks(storage, index)
    assert list(shard) == [entry.id for entry in index.elements] == list(masks)
    for entry in index.elements:
        assert sha256(shard[entry.id]["mask.png"]) == entry.sha256
        mask = masks[entry.id]
        assert mask.shape == (entry.height, entry.width) and np.count_nonzero(mask) == entry.area_px
        assert set(np.unique(decode_png(shard[entry.id]["mask.png"], "mask"))) <= {0, 255}
        assert mask[0].any() and mask[-1].any() and mask[:, 0].any() and mask[:, -1].any()
        assert entry.shard == "pool-000000.tar" and entry.admitted and entry.source and entry.class_name


def test_the_same_build_is_byte_identical_and_says_so(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    before = dict(storage.objects)
    again = built(storage, experts=[str(tmp_path / "experts")])
    assert again.already_there and again.index == index and storage.objects == before
    other = MemoryStorage()
    put_dataset(other)
    put_pool(other, tmp_path)
    assert other.objects == before


def test_ids_stay_when_experts_are_added(storage: MemoryStorage, tmp_path: Path) -> None:
    first = built(storage)
    assert not first.already_there
    second = put_pool(storage, tmp_path)
    third = built(
        storage,
        experts=[put_files(tmp_path / "more", {"hole/a.png": png(bar(width=9))}), str(tmp_path / "experts")],
    ).index
    ids = [{entry.id for entry in index.elements} for index in (first.index, second, third)]
    assert ids[0] < ids[1] < ids[2]
    assert len({first.index.version, second.version, third.version}) == 3


def test_experts_masks_of_every_form_are_elements_of_their_class(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    assert [entry.source for entry in index.select("crack", "expert")] == [
        "experts/coco.json#0",
        "experts/crack/jan.png#1",
        "experts/mei.json#0",
    ]
    assert [entry.source for entry in index.select("hole", "expert")] == ["experts/boxes.csv#2", "experts/mei.json#1"]
    assert all(entry.group is None for entry in index.select("hole", "expert"))


def test_drawings_are_squeezed_to_the_resolution_of_the_data_set(storage: MemoryStorage, tmp_path: Path) -> None:
    (squeezed,) = (entry for entry in put_pool(storage, tmp_path).elements if entry.source.endswith("jan.png#1"))
    across, down = 64 / CANVAS[1], 64 / CANVAS[0]
    box = (squeezed.left, squeezed.top, squeezed.width, squeezed.height)
    assert box == (round(6 * across), round(4 * down), round(6 * across), round(20 * down))
    put_dataset(storage, "native", resolution=None)
    (kept,) = (e for e in put_pool(storage, tmp_path, "native").elements if e.source.endswith("jan.png#1"))
    assert (kept.left, kept.top, kept.width, kept.height) == (6, 4, 6, 20)


def test_a_drawing_that_squeezing_deletes_is_refused(storage: MemoryStorage, tmp_path: Path) -> None:
    wide = np.zeros((1000, 1000), np.uint8)
    wide[10:13, 10:13] = 255
    folder = put_files(tmp_path / "thin", {"crack/a.png": png(wide)})
    with pytest.raises(DataError, match=r"thin/crack/a.png#1: covers 0 px at the data set's scale, a shape needs 4; "):
        built(storage, experts=[folder])


def test_one_folder_given_twice_is_refused(storage: MemoryStorage, tmp_path: Path) -> None:
    folder = put_files(tmp_path / "experts", EXPERT_FILES)
    with pytest.raises(DataError, match="was read from another folder of that name already; rename one"):
        built(storage, experts=[folder, f"{folder}/"])


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"a.json": labelme(("crack", [[5, 5], [5, 5], [5, 5]]))}, "a.json#0: covers 2 px at the data set's scale"),
        ({"a.json": labelme(("crack", [[60, 60], [80, 60], [80, 80]]))}, "lies wholly outside its picture of 48 x 40"),
        ({"a.json": labelme(("dent", [[4, 4], [9, 4], [9, 9]]))}, "'dent' is no class of the data set; rename it to"),
        ({"a.json": coco(("dent", [1, 1, 9, 9]))}, "'dent' is no class of the data set"),
        ({"dent/a.png": png(bar())}, "dent/a.png: 'dent' is no class of the data set"),
        ({"crack/a.png": png(bar() // 255)}, "crack/a.png: the mask has no connected part"),
        ({"README.txt": b"nothing"}, "holds no expert mask"),
    ],
    ids=["empty shape", "outside", "label", "category", "folder", "levels 0 and 1", "no mask"],
)
def test_bad_drawings_are_refused_by_file_and_nothing_is_written(
    storage: MemoryStorage, tmp_path: Path, files: dict[str, bytes], told: str
) -> None:
    with pytest.raises(DataError, match=told) as caught:
        built(storage, experts=[put_files(tmp_path / "bad", files)])
    assert "\n" not in str(caught.value)
    assert storage.list("maskpools/") == []


def test_what_is_not_there_is_refused(storage: MemoryStorage, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="data set gone: not in"):
        built(storage, "gone")
    with pytest.raises(NotFoundError, match="gone: no such folder; check the path"):
        built(storage, experts=[str(tmp_path / "gone")])
    with pytest.raises(UsageError, match="mask pool name: lower-case letters"):
        built(storage, name="My pool")


def test_each_class_knows_its_parts_its_severity_and_its_places(storage: MemoryStorage) -> None:
    result = built(storage)
    for about in result.index.classes.values():
        assert about.part_counts == (1, 1, 1)
        assert about.severity is not None
        low, *_, high = about.severity.area_px
        assert 0 < low <= high
        assert about.rationality is not None and about.rationality.groups == 3
        assert about.rules.rationality in (0.0, 0.8)
    assert result.warnings == []


def test_a_part_of_a_drawing_that_squeezing_deletes_is_warned_of(storage: MemoryStorage, tmp_path: Path) -> None:
    corners = ([[100, 100], [300, 300]], [[500, 500], [503, 503]])
    shapes = [{"label": "crack", "shape_type": "rectangle", "group_id": 1, "points": points} for points in corners]
    drawn = {"shapes": shapes, "imagePath": "a.png", "imageData": None, "imageHeight": 1000, "imageWidth": 1000}
    folder = put_files(tmp_path / "thin", {"a.json": json.dumps(drawn).encode()})
    [warning] = built(storage, experts=[folder]).warnings
    assert warning.endswith("1 of its separate parts vanished when it was squeezed to 64 px; draw them larger")
    assert warning.startswith(f"{folder}/a.json#0+1: ")


def test_a_polygon_partly_outside_its_picture_is_warned_of_with_the_share(
    storage: MemoryStorage, tmp_path: Path
) -> None:
    half = [[-10.0, 4.0], [10.0, 4.0], [10.0, 14.0], [-10.0, 14.0]]
    slip = [[-0.05, 4.0], [20.0, 4.0], [20.0, 14.0], [-0.05, 14.0]]
    folder = put_files(tmp_path / "drawn", {"a.json": labelme(("crack", half), ("hole", slip))})
    assert built(storage, experts=[folder]).warnings == [
        f"{folder}/a.json#0: 50% of it lies outside its picture and was cut off; draw it inside"
    ]


def with_specks() -> MemoryStorage:
    """A data set whose masks of `hole` have 2 px each."""
    files = mvtec_files(normal=8, crack=4, hole=4)
    speck = np.zeros((24, 32), np.uint8)
    speck[5, 5:7] = 255
    files |= {path: png(speck) for path in files if path.startswith("ground_truth/hole")}
    storage = MemoryStorage()
    import_dataset(storage, MemoryTree(files), name="tiles", fmt="mvtec", resolution=None)
    return storage


def test_a_class_that_experts_alone_know_can_be_placed_but_nothing_is_learnt_of_it(tmp_path: Path) -> None:
    storage = with_specks()
    folder = put_files(tmp_path / "experts", {"hole/jan.png": png(bar())})
    result = built(storage, experts=[folder])
    about = result.index.classes["hole"]
    assert (about.severity, about.rationality, about.part_counts) == (None, None, (1,))
    assert result.warnings == [
        "class hole: it has no training mask of 4 px or more, so that nothing was learnt of its places, areas and"
        " contrasts; its drawn masks are placed by the rules alone"
    ]
    pool = load_pool(storage, load_pool_index(storage, POOL), "hole")
    assert place(pool, 64, about.rules, np.random.default_rng(0)).mask.any()


def test_a_class_that_has_no_mask_at_all_is_refused() -> None:
    told = (
        "^mask pool: class hole has no training mask of 4 px or more, and no expert drew one; draw some and name their"
    )
    with pytest.raises(DataError, match=told):
        built(with_specks())


def test_a_class_whose_training_pictures_are_one_group_is_warned_of() -> None:
    storage, files = MemoryStorage(), mvtec_files(normal=8, crack=4, hole=4)
    group = {path: path.rpartition("/")[0] if "test/" in path and "003" not in path else path for path in files}
    table = "\n".join(["path,group", *(f"{path},{name}" for path, name in group.items() if "truth" not in path)])
    tree = MemoryTree(files | {"groups.csv": table.encode()})
    import_dataset(storage, tree, name="tiles", fmt="mvtec", resolution=64, groups="groups.csv")
    result = built(storage)
    assert {about.rules.rationality for about in result.index.classes.values()} == {0.0}
    first, second = result.warnings
    assert first.startswith("class crack: its training pictures are one group, so that what was learnt of its places")
    assert second.startswith("class hole: ")


def test_another_seed_is_another_version(storage: MemoryStorage) -> None:
    assert built(storage).index.version != built(storage, seed=1).index.version


# --- rules


def rules_file(folder: Path, text: str) -> Path:
    path = folder / "rules.yaml"
    path.write_text(text)
    return path


def test_rules_of_a_file_replace_what_suits_the_class(storage: MemoryStorage, tmp_path: Path) -> None:
    rules = rules_file(tmp_path, "crack: {pose: fixed, rationality: 0.3}\nhole: {max_parts: 4}\n")
    index = built(storage, rules=rules).index
    assert (rules_of(index, "crack").pose, rules_of(index, "crack").rationality) == ("fixed", 0.3)
    assert (rules_of(index, "hole").pose, rules_of(index, "hole").max_parts) == ("natural", 4)
    with pytest.raises(UsageError, match="mask pool drawn: has no class 'dent', only crack, hole; name one of them"):
        rules_of(index, "dent")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[crack]", "expected classes with keys below them, such as crack: {pose: fixed}"),
        ("crack: fixed", "expected classes with keys below them"),
        ("", "expected classes with keys below them"),
        ("crack: [", "not valid YAML"),
        ("dent: {pose: fixed}", "the data set has no class 'dent', only crack, hole"),
        ("7: {pose: fixed}", "the data set has no class '7', only crack, hole"),
        ("crack: {posture: fixed}", "crack.posture: no such key; there are pool, pose, min_parts"),
        ("crack: {pose: bent}", "crack.pose: Input should be 'natural', 'free' or 'fixed', got 'bent'"),
        ("crack: {rationality: 2}", "crack.rationality: Input should be less than or equal to 1, got 2"),
        ("crack: {min_parts: 3}", "crack: min_parts must not be above max_parts, got 3 and 2"),
    ],
)
def test_bad_rules_are_refused_by_file_and_key(storage: MemoryStorage, tmp_path: Path, text: str, told: str) -> None:
    rules = rules_file(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        built(storage, rules=rules)
    assert str(caught.value).startswith(f"--rules {rules}: {told}") and "\n" not in str(caught.value)


def test_a_missing_rules_file_is_refused(storage: MemoryStorage, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone.yaml: No such file or directory; name a readable YAML file$"):
        built(storage, rules=tmp_path / "gone.yaml")


# --- regions


def left_half(level: int = 255) -> bytes:
    region = np.zeros((10, 20), np.uint8)
    region[:, :10] = level
    return png(region)


def regions_of(storage: MemoryStorage, **sources: str) -> tuple[MaskPoolIndex, dict[str, Any]]:
    index = built(storage, **sources).index
    masks = read_masks(storage, index)
    return index, {key: mask for key, mask in masks.items() if key.startswith("region")}


def test_one_region_is_for_every_picture(storage: MemoryStorage, tmp_path: Path) -> None:
    put_files(tmp_path, {"left.png": left_half()})
    index, regions = regions_of(storage, allowed=str(tmp_path / "left.png"))
    assert index.has_region and index.regions == () and list(regions) == ["region"]
    assert regions["region"].shape == (64, 64)
    assert regions["region"][:, :32].all() and not regions["region"][:, 32:].any()
    pool = load_pool(storage, index, "crack")
    assert pool.region is not None and pool.regions == {}


def test_what_is_forbidden_is_not_allowed(storage: MemoryStorage, tmp_path: Path) -> None:
    put_files(tmp_path, {"left.png": left_half()})
    _, regions = regions_of(storage, forbidden=str(tmp_path / "left.png"))
    assert not regions["region"][:, :32].any() and regions["region"][:, 32:].all()


def test_allowed_and_forbidden_together_leave_what_is_in_one_and_not_the_other(
    storage: MemoryStorage, tmp_path: Path
) -> None:
    upper = np.zeros((6, 6), np.uint8)
    upper[:3] = 255
    put_files(tmp_path, {"left.png": left_half(), "upper.png": png(upper)})
    _, regions = regions_of(storage, allowed=str(tmp_path / "left.png"), forbidden=str(tmp_path / "upper.png"))
    expected = np.zeros((64, 64), np.uint8)
    expected[32:, :32] = 1
    np.testing.assert_array_equal(regions["region"], expected)


def test_a_folder_holds_regions_of_single_pictures(storage: MemoryStorage, tmp_path: Path) -> None:
    folder = put_files(tmp_path / "allowed", {"train/good/000.png": left_half(), "notes.txt": b"passed over"})
    index, regions = regions_of(storage, allowed=folder)
    assert not index.has_region and index.regions == ("train-good-000",)
    assert regions["region-train-good-000"][:, :32].all()
    pool = load_pool(storage, index, "crack")
    assert pool.region is None and list(pool.regions) == ["train-good-000"]


def test_the_region_of_a_picture_lies_within_that_of_all(storage: MemoryStorage, tmp_path: Path) -> None:
    upper = np.zeros((6, 6), np.uint8)
    upper[:3] = 255
    put_files(tmp_path, {"left.png": left_half(), "forbidden/train/good/000.png": png(upper)})
    index, regions = regions_of(storage, allowed=str(tmp_path / "left.png"), forbidden=str(tmp_path / "forbidden"))
    assert index.has_region and sorted(regions) == ["region", "region-train-good-000"]
    one = regions["region-train-good-000"]
    assert one[32:, :32].all() and not one[:32].any() and not one[:, 32:].any()


@pytest.mark.parametrize("per_picture", [False, True], ids=["for all", "for each"])
def test_a_region_that_leaves_nothing_is_refused(storage: MemoryStorage, tmp_path: Path, per_picture: bool) -> None:
    name = "forbidden/train/good/000.png" if per_picture else "all.png"
    put_files(tmp_path, {name: png(np.full((4, 4), 255, np.uint8))})
    path = tmp_path / name.split("/")[0]
    of = " of train/good/000.png" if per_picture else ""
    with pytest.raises(DataError, match=f"leaves no pixel{of} allowed; draw a larger region$"):
        built(storage, forbidden=str(path))


def test_bad_regions_are_refused_by_path(storage: MemoryStorage, tmp_path: Path) -> None:
    put_files(tmp_path, {"black.png": left_half(127), "regions/other.png": left_half()})
    with pytest.raises(DataError, match=r"black.png: no pixel of the region is white, its highest level is 127"):
        built(storage, allowed=str(tmp_path / "black.png"))
    with pytest.raises(DataError, match=r"other.png: 'other.png' fits no picture of the data set"):
        built(storage, allowed=str(tmp_path / "regions"))
    with pytest.raises(NotFoundError, match=r"gone.png: no such file; check the path"):
        built(storage, allowed=str(tmp_path / "gone.png"))


# --- anchors


ANCHORS = (
    b"image,class,left,top,width,height\ntrain/good/000.png,crack,8,8,10,10\ntrain/good/000.png,crack,30,8,10,10\n"
)


def test_anchors_of_a_table_fix_the_pose_of_their_class(storage: MemoryStorage, tmp_path: Path) -> None:
    put_files(tmp_path, {"anchors.csv": ANCHORS})
    index = built(storage, anchors=str(tmp_path / "anchors.csv")).index
    (entry,) = index.anchors
    assert (entry.sample, entry.class_name) == ("train-good-000", "crack")
    assert entry.boxes == ((8, 8, 10, 10), (30, 8, 10, 10))
    assert (rules_of(index, "crack").pose, rules_of(index, "hole").pose) == ("fixed", "natural")
    assert load_pool(storage, index, "crack").anchors == {"train-good-000": entry.boxes}
    assert load_pool(storage, index, "hole").anchors == {}


def test_rules_win_over_the_pose_that_anchors_suggest(storage: MemoryStorage, tmp_path: Path) -> None:
    put_files(tmp_path, {"anchors.csv": ANCHORS})
    rules = rules_file(tmp_path, "crack: {pose: free}")
    result = built(storage, anchors=str(tmp_path / "anchors.csv"), rules=rules)
    assert rules_of(result.index, "crack").pose == "free"
    assert result.warnings == [
        "class crack: its anchors are not used, because --rules say pose: free; set pose: fixed, or leave the anchors"
        " out"
    ]


def test_a_fixed_pose_without_anchors_is_warned_of(storage: MemoryStorage, tmp_path: Path) -> None:
    assert built(storage, rules=rules_file(tmp_path, "crack: {pose: fixed}")).warnings == [
        "class crack: its pose is fixed but it has no anchors, so that its elements stand anywhere in their region;"
        " give --anchors, or set pose: natural in --rules"
    ]


def test_anchors_of_annotations_are_scaled_to_the_data_set(storage: MemoryStorage, tmp_path: Path) -> None:
    drawn = labelme(("hole", [[12, 10], [23, 10], [23, 19], [12, 19]])).replace(b"a.png", b"train/good/001.png")
    index = built(storage, anchors=put_files(tmp_path / "anchors", {"a.json": drawn})).index
    (entry,) = index.anchors
    assert (entry.sample, entry.class_name) == ("train-good-001", "hole")
    assert entry.boxes == ((16, 16, 16, 16),)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"train/good/000.png,dent,1,1,2,2", "'dent' is no class of the data set"),
        (b"gone.png,crack,1,1,2,2", "'gone.png' fits no picture of the data set"),
        (b"train/good/000.png,crack,90,1,2,2", "lies wholly outside its picture of 64 x 64 pixels"),
        (b"train/good/000.png,crack,1,1,0,2", "a width and height above 0"),
        (b"\xff", "not UTF-8 text"),
    ],
)
def test_bad_anchors_are_refused_by_line(storage: MemoryStorage, tmp_path: Path, line: bytes, told: str) -> None:
    put_files(tmp_path, {"anchors.csv": b"image,class,left,top,width,height\n" + line})
    with pytest.raises(DataError, match=told):
        built(storage, anchors=str(tmp_path / "anchors.csv"))


# --- score


def rated(index: MaskPoolIndex, scores: str, expert: str = "mei") -> list[Rating]:
    """Scores of the pool's expert masks in their order; `-` leaves one out."""
    lines = [f"{mask},{expert},{score}" for mask, score in zip(experts_of(index), scores.split(), strict=False)]
    table = "\n".join(["mask,expert,score", *(line for line in lines if not line.endswith("-"))])
    return read_ratings(table, "ratings.csv")


def test_scoring_makes_a_new_version_with_the_decision_and_every_rating(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    ratings = rated(index, "0.9 0.8 low 0.7 0.2") + rated(index, "very-high 0.2 0.3 0.8 0.1", "jan")
    panel = read_experts("expert,weight,senior\nmei,2,yes\njan,1,no\n", "experts.csv")
    scored = score_pool(storage, POOL, ratings, panel)
    assert scored.version != index.version and load_pool_index(storage, POOL) == scored
    assert load_pool_index(storage, full_name(index)) == index
    assert scored.scoring is not None and (scored.scoring.top, scored.scoring.approval) == (0.1, 0.5)
    assert [(expert.name, expert.weight, expert.senior) for expert in scored.scoring.experts] == [
        ("jan", 1, False),
        ("mei", 2, True),
    ]
    kept = {(rating.mask, rating.expert, rating.text) for rating in scored.scoring.ratings}
    assert kept == {(rating.mask, rating.expert, rating.text) for rating in ratings} and len(kept) == 10
    crack, *_, hole, _ = experts_of(index)
    assert {entry.id for entry in scored.elements if entry.origin == "expert" and entry.admitted} == {crack, hole}
    assert all(entry.admitted for entry in scored.elements if entry.origin == "prior")
    assert read_masks(storage, scored).keys() == read_masks(storage, index).keys()


def test_only_admitted_elements_are_used(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    assert len(load_pool(storage, index, "crack").elements) == 6
    scored = score_pool(storage, POOL, rated(index, "0.9 0.1 0.1 0.1 0.1"), None)
    pool = load_pool(storage, scored, "crack")
    used = [element.id for element in pool.elements if element.is_expert]
    assert used == experts_of(index)[:1] and len(pool.prior_elements) == 3
    assert [element.id for element in load_pool(storage, scored, "hole").elements if element.is_expert] == []


def test_scoring_again_replaces_the_decision(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    first = score_pool(storage, POOL, rated(index, "0.9 0.8 0.7 0.9 0.8"), None)
    second = score_pool(storage, POOL, rated(index, "0.1 0.2 0.9 0.1 0.9"), None)
    again = score_pool(storage, POOL, rated(index, "0.9 0.8 0.7 0.9 0.8"), None)
    assert again == first != second
    crack = [entry.admitted for entry in second.select("crack", "expert")]
    assert crack == [False, False, True]
    assert second.scoring is not None and len(second.scoring.ratings) == 5


def test_a_scoring_that_does_not_fit_the_pool_is_refused(storage: MemoryStorage, tmp_path: Path) -> None:
    built(storage, name="plain")
    with pytest.raises(DataError, match="mask pool plain: has no expert mask to score; build it with --expert FOLDER"):
        score_pool(storage, "plain", [], None)
    index = put_pool(storage, tmp_path)
    prior = index.select("crack", "prior")[0].id
    with pytest.raises(DataError, match=f"rates mask '{prior}', which is no expert mask of the pool"):
        score_pool(storage, POOL, read_ratings(f"mask,expert,score\n{prior},mei,1", "r.csv"), None)
    with pytest.raises(DataError, match=r"rates mask .* twice; keep one line$"):
        score_pool(storage, POOL, rated(index, "0.9") * 2, None)
    assert load_pool_index(storage, POOL) == index


# --- read


def damaged(change: Callable[[bytes], bytes]) -> Callable[[MemoryStorage, MaskPoolIndex], None]:
    def apply(storage: MemoryStorage, index: MaskPoolIndex) -> None:
        key = f"maskpools/{index.name}/{index.version}/pool-000000.tar"
        storage.objects[key] = change(storage.objects[key])

    return apply


def test_a_changed_shard_is_refused(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    damaged(lambda data: data[:-1] + b"\1")(storage, index)
    with pytest.raises(DataError, match=r"mask pool drawn: pool-000000.tar: sha256 differs from the index"):
        load_pool(storage, index, "crack")


def test_an_index_that_lists_what_no_shard_holds_is_refused(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    entry = index.elements[0].model_copy(update={"id": "prior-0000000000"})
    with pytest.raises(DataError, match="mask pool drawn: misses prior-0000000000; build it again with `agan masks"):
        load_pool(storage, index.model_copy(update={"elements": (entry, *index.elements[1:])}), "crack")
    with pytest.raises(DataError, match="misses region; build it again"):
        load_pool(storage, index.model_copy(update={"has_region": True}), "crack")


def test_elements_are_read_back_as_they_were_cut(storage: MemoryStorage, tmp_path: Path) -> None:
    index = put_pool(storage, tmp_path)
    pool = load_pool(storage, index, "crack")
    assert [(e.id, e.source, e.left, e.top, e.sha256, e.is_expert) for e in pool.elements] == [
        (e.id, e.source, e.left, e.top, e.sha256, e.origin == "expert") for e in index.select("crack")
    ]
    assert pool.severity == index.classes["crack"].severity
    assert pool.rationality == index.classes["crack"].rationality and pool.part_counts == (1, 1, 1)


def test_a_pool_of_another_class_resolution_or_data_set_is_refused(storage: MemoryStorage) -> None:
    index, dataset = built(storage).index, load_index(storage, "tiles")
    check_pool(index, "crack", dataset)
    with pytest.raises(UsageError, match="mask pool drawn: has no class 'dent', only crack, hole"):
        check_pool(index, "dent", dataset)
    for resolution, its in ((128, "128 px"), (None, "native size")):
        other = put_dataset(storage, "other", resolution=resolution)
        with pytest.raises(UsageError, match=f"is of 64 px, data set other of {its}; build it for that$"):
            check_pool(index, "crack", other)
    other = put_dataset(storage, "other")
    with pytest.raises(UsageError) as caught:
        check_pool(index, "crack", other)
    assert str(caught.value) == (
        f"mask pool drawn: was built from {index.dataset}, not from other@{other.version}, whose split may differ;"
        f" build it again with --dataset other@{other.version}"
    )


def test_the_view_of_a_pool_is_its_whole_frame_or_a_window(storage: MemoryStorage) -> None:
    index = built(storage).index
    assert view_of(index, None) == ViewConfig(size=64)
    assert view_of(index, 128) == ViewConfig(kind="window", size=128)
    with pytest.raises(UsageError, match="--window: a power of two from 64 to 1024, got 100"):
        view_of(index, 100)
    for resolution, its in ((None, "native size"), (100, "100 px")):
        put_dataset(storage, "other", resolution=resolution)
        with pytest.raises(UsageError, match=f"is of {its}, which no whole view has; see it through windows"):
            view_of(built(storage, "other").index, None)


def test_an_element_that_two_classes_share_is_stored_once() -> None:
    """Somebody annotated one shape with two labels."""
    files = {f"normal/{i}.png": png(np.full(CANVAS, 90 + i, np.uint8)) for i in range(4)}
    square = [[4.0, 4.0], [20.0, 4.0], [20.0, 14.0], [4.0, 14.0]]
    for i in range(2):
        name = f"a/{i}"
        files[f"{name}.png"] = png(np.full(CANVAS, 50 + i, np.uint8))
        files[f"{name}.json"] = labelme(("crack", square), ("hole", square)).replace(b"a.png", f"{i}.png".encode())
    storage = MemoryStorage()
    import_dataset(storage, MemoryTree(files), name="tiles", fmt="labelme", resolution=None)
    index = built(storage).index
    crack, hole = index.elements
    assert (crack.class_name, hole.class_name) == ("crack", "hole") and crack.id == hole.id
    assert len(shard_of(storage, index)) == 1
    assert len(load_pool(storage, index, "hole").elements) == 1
