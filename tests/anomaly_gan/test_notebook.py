import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import anomaly_gan
from anomaly_gan import MaskPool, generate, load_generator, measure, place_masks
from anomaly_gan.config import GenerationConfig, MaskConfig, ViewConfig
from anomaly_gan.generation import generate as jobs_way
from anomaly_gan.generation.description import DESCRIPTION, WEIGHTS
from anomaly_gan.generation.plan import GenerationPlan
from anomaly_gan.generation.snapshot import Snapshot, snapshot_bytes
from anomaly_gan.masks.pool.pool import build_pool
from anomaly_gan.metrics.mask_change import MaskChange, summarise
from anomaly_gan.samples.sample import Sample, encode_png
from infra.errors import DataError, NotFoundError, UsageError
from tests.support.blocking import CLUSTER_AND_STORE, without
from tests.support.builders import CLASS, abnormal_sample, picture, tiny_generator, train_config
from tests.support.helpers import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")

PAGE = ROOT / "docs" / "python.md"
GREY, RGB = (80, 96), (80, 96, 3)
ABNORMALS = [abnormal_sample(i) for i in range(3)]


def model_of(kind: str = "window", **rules: object) -> Snapshot:
    config = train_config(masks=rules)
    view = ViewConfig.model_validate({"kind": kind, "size": 64})
    return Snapshot(tiny_generator(), CLASS, view, config, {"job_id": "train-1"})


def pool_of(samples: list[Sample] | None = None) -> MaskPool:
    samples = ABNORMALS if samples is None else samples
    return MaskPool.from_arrays([one.image for one in samples], [one.masks[CLASS] for one in samples], CLASS)


def normals_of(shape: tuple[int, ...] = GREY, count: int = 4) -> list[np.ndarray]:
    return [picture(i, shape) for i in range(count)]


def write_model(folder: Path, model: Snapshot) -> None:
    folder.mkdir(parents=True)
    for name, data in zip((WEIGHTS, DESCRIPTION), snapshot_bytes(model), strict=True):
        (folder / name).write_bytes(data)


# --- the package


def test_the_package_hands_on_five_names_and_no_other() -> None:
    assert set(anomaly_gan.__all__) <= set(dir(anomaly_gan))
    assert sorted(anomaly_gan.__all__) == ["MaskPool", "generate", "load_generator", "measure", "place_masks"]
    with pytest.raises(AttributeError, match="module 'anomaly_gan' has no attribute 'nonsense'"):
        _ = anomaly_gan.nonsense  # type: ignore[attr-defined]


def test_importing_the_package_or_its_knobs_loads_nothing_heavy() -> None:
    code = "import sys, anomaly_gan, anomaly_gan.config; sys.exit(str({'torch', 'numpy', 'cv2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "set()"


# --- the model


def test_a_pulled_model_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    model = model_of(angle_max=90)
    write_model(tmp_path / "model", model)
    loaded = load_generator(tmp_path / "model")
    assert (loaded.class_name, loaded.view, loaded.config) == (model.class_name, model.view, model.config)
    weights = loaded.generator.state_dict()
    assert all((weights[name] == value).all() for name, value in model.generator.state_dict().items())


@pytest.mark.parametrize("missing", [WEIGHTS, DESCRIPTION])
def test_a_folder_without_a_models_file_is_refused(tmp_path: Path, missing: str) -> None:
    write_model(tmp_path / "model", model_of())
    (tmp_path / "model" / missing).unlink()
    with pytest.raises(NotFoundError, match=rf"model: has no {missing}; name the folder `model` of what `agan results"):
        load_generator(tmp_path / "model")


def test_a_damaged_model_is_refused_by_its_folder(tmp_path: Path) -> None:
    write_model(tmp_path / "model", model_of())
    (tmp_path / "model" / WEIGHTS).write_bytes(b"no weights")
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "model"))):
        load_generator(tmp_path / "model")


# --- masks


def test_a_pool_of_arrays_holds_the_elements_of_the_same_samples() -> None:
    assert [one.mask.tolist() for one in pool_of().elements] == [
        one.mask.tolist() for one in build_pool(ABNORMALS, CLASS).elements
    ]


@pytest.mark.parametrize("form", [lambda mask: mask > 0, lambda mask: mask * np.uint8(255)], ids=["bool", "0 and 255"])
def test_a_mask_may_be_of_0_and_1_of_0_and_255_or_bool(form: object) -> None:
    assert callable(form)
    images, masks = [one.image for one in ABNORMALS], [one.masks[CLASS] for one in ABNORMALS]
    assert [one.sha256 for one in MaskPool.from_arrays(images, [form(mask) for mask in masks], CLASS).elements] == [
        one.sha256 for one in pool_of().elements
    ]


@pytest.mark.parametrize("shape", [GREY, RGB], ids=["grey", "RGB"])
def test_masks_are_placed_in_views_that_are_cut_out_of_the_pictures(shape: tuple[int, ...]) -> None:
    pictures = normals_of(shape)
    views, masks = place_masks(model_of(), pool_of(), pictures, 6)
    assert views.shape == (6, 64, 64, *shape[2:]) and views.dtype == np.uint8
    assert masks.shape == (6, 64, 64) and masks.dtype == np.uint8
    assert all(set(np.unique(mask)) == {0, 1} for mask in masks)
    cut = [one[top : top + 64, left : left + 64] for one in pictures for top in range(17) for left in range(33)]
    assert all(any((window == view).all() for window in cut) for view in views)


def test_the_seed_decides_the_places_and_more_masks_leave_the_first_ones_as_they_are() -> None:
    placed = [
        place_masks(model_of(), pool_of(), normals_of(), count, seed=seed) for count, seed in ((2, 0), (4, 0), (4, 1))
    ]
    assert all((few == more[:2]).all() for few, more in zip(placed[0], placed[1], strict=True))
    assert (placed[1][1] != placed[2][1]).any()


def test_masks_are_placed_by_the_models_rules_unless_others_are_given() -> None:
    model = model_of(pose="fixed", max_parts=1)
    _, fixed = place_masks(model, pool_of(), normals_of(), 8)
    assert set(fixed.sum((1, 2)).tolist()) <= {one.area_px for one in pool_of().elements}
    _, scaled = place_masks(
        model, pool_of(), normals_of(), 8, rules=MaskConfig(scale_max=1, scale_min=0.3, max_parts=1)
    )
    assert scaled.sum() < fixed.sum()


def test_what_cannot_be_placed_is_refused() -> None:
    with pytest.raises(UsageError, match="count: expected at least 1, got 0"):
        place_masks(model_of(), pool_of(), normals_of(), 0)
    with pytest.raises(UsageError, match=r"rules.contrast: only generate jobs set it, got 'high'; leave it at 'any'"):
        place_masks(model_of(), pool_of(), normals_of(), 1, rules=MaskConfig(contrast="high"))
    with pytest.raises(DataError, match="picture 0: is 96x80 px, and the model's view is 64x64; cut or resize it"):
        place_masks(model_of("whole"), pool_of(), normals_of(), 1)


# --- images


@pytest.mark.parametrize("shape", [GREY, RGB], ids=["grey", "RGB"])
def test_images_are_those_of_a_job_with_the_same_pictures_pool_and_seed(shape: tuple[int, ...]) -> None:
    model, pictures = model_of(), normals_of(shape)
    samples = [Sample(f"n{number}", one) for number, one in enumerate(pictures)]
    plan = GenerationPlan(samples, pool_of(), model.view, model.config.masks, GenerationConfig(seed=3))
    expected = jobs_way.generate(plan, range(8), model.generator)
    made = generate(model, *place_masks(model, pool_of(), pictures, 8, seed=3), seed=3)
    for name, arrays in (("pasted", made.images), ("mask", made.masks), ("normal", made.normals), ("raw", made.raw)):
        assert all((getattr(one, name) == array).all() for one, array in zip(expected, arrays, strict=True)), name
    assert measure(made) == summarise([one.change for one in expected])
    assert (made.raw != made.normals).any()


def test_an_own_mask_is_changed_and_with_a_hard_edge_nothing_else_is() -> None:
    view, mask = picture(0), np.zeros((64, 64), np.bool_)
    mask[10:30, 20:50] = True
    made = generate(model_of(), [view], [mask], feather_px=0)
    assert (made.images == np.where(mask, made.raw, view)).all()
    assert (made.images[0] != view)[mask].mean() > 0.5
    soft = generate(model_of(), [view], [mask])
    assert soft.feather_px == GenerationConfig().feather_px
    assert (soft.images[0] != view)[~mask].any()


def test_more_views_than_a_batch_are_made_in_their_order() -> None:
    model, count = model_of(), GenerationConfig().batch_size + 3
    views, masks = place_masks(model, pool_of(), normals_of(), count)
    made = generate(model, views, masks)
    few = generate(model, views[:3], masks[:3])
    assert len(made.images) == count and (made.normals == views).all()
    assert np.abs(made.raw[:3].astype(int) - few.raw).max() <= 1  # last bits depend on the batch


def test_a_view_gets_another_anomaly_for_each_seed_and_each_time_that_it_is_given() -> None:
    view, mask = place_masks(model_of(), pool_of(), normals_of(), 1)
    drawn = generate(model_of(), np.repeat(view, 2, 0), np.repeat(mask, 2, 0), seed=1)
    other = generate(model_of(), view, mask, seed=2)
    assert (drawn.raw[0] != drawn.raw[1]).any() and (drawn.raw[0] != other.raw[0]).any()
    assert (drawn.raw[0] == generate(model_of(), view, mask, seed=1).raw[0]).mean() > 0.99


def test_measures_are_means_over_the_images() -> None:
    made = generate(model_of(), *place_masks(model_of(), pool_of(), normals_of(), 5))
    measures = measure(made)
    assert set(measures) == set(MaskChange.__dataclass_fields__)
    assert measures["background_mae_pasted"] == {"mean": 0, "median": 0, "n": 5}
    within = [
        np.abs(r.astype(int) - n)[m == 1].mean() for r, n, m in zip(made.raw, made.normals, made.masks, strict=True)
    ]
    assert measures["in_mask_change"]["mean"] == pytest.approx(np.mean(within))


# --- docs/python.md


@pytest.mark.parametrize("shape", [GREY, RGB], ids=["grey", "RGB"])
def test_the_page_works_word_for_word_without_ray_s3_or_a_store(tmp_path: Path, shape: tuple[int, ...]) -> None:
    write_model(tmp_path / "pulled" / "model", model_of())
    abnormals = [abnormal_sample(i, shape) for i in range(3)]
    pictures = {"normal": normals_of(shape), "abnormal": [one.image for one in abnormals]}
    pictures["abnormal-masks"] = [one.masks[CLASS] * np.uint8(255) for one in abnormals]
    for folder, images in pictures.items():
        (tmp_path / folder).mkdir()
        for number, image in enumerate(images):
            (tmp_path / folder / f"{number}.png").write_bytes(encode_png(image))
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    script = "\n".join(
        [without(*CLUSTER_AND_STORE), *blocks, "print(made.images.shape, mine.images.shape, views.shape)"]
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.splitlines()[-1]
        == f"{(16, 64, 64, *shape[2:])} {(1, 64, 64, *shape[2:])} {(4, 64, 64, *shape[2:])}"
    )
    assert len(list((tmp_path / "generated").glob("*.png"))) == 32
