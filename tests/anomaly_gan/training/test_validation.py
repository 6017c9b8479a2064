"""What a run does not learn from: whole groups, their shapes, and nothing where there is too little."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from anomaly_gan.config import MaskConfig, TrainConfig, ViewConfig
from anomaly_gan.masks.pool.pool import Element, build_pool
from anomaly_gan.samples.sample import Sample
from anomaly_gan.training.batches import BatchSource
from anomaly_gan.training.validation import LearntAndHeld, hold_out
from tests.support.builders import CLASS, abnormal_sample, normal_sample

VIEW = ViewConfig(size=64)


def grouped(samples: list[Sample], size: int, name: str) -> list[Sample]:
    """So many pictures of each group."""
    return [replace(one, meta={"group": f"{name}{i // size}"}) for i, one in enumerate(samples)]


NORMALS = grouped([normal_sample(i) for i in range(24)], 2, "normal")
ABNORMALS = grouped([abnormal_sample(i) for i in range(36)], 3, "part")


def held(
    normals: list[Sample] = NORMALS, abnormals: list[Sample] = ABNORMALS, pool: Any = None, **config: Any
) -> LearntAndHeld:
    wanted = TrainConfig.model_validate({"validation": 0.25} | config)
    return hold_out(normals, abnormals, pool or build_pool(abnormals, CLASS), VIEW, wanted)


def keys(samples: Any) -> set[str]:
    return {sample.key for sample in samples}


def dotted(sample: Sample) -> Sample:
    """The same picture with nine anomalies."""
    mask = np.zeros((64, 64), np.uint8)
    for row, column in np.ndindex(3, 3):
        mask[20 * row : 20 * row + 5, 20 * column : 20 * column + 5] = 1
    return replace(sample, masks={CLASS: mask})


def groups(samples: Any) -> set[str]:
    return {sample.meta["group"] for sample in samples}


def test_whole_groups_of_about_the_share_are_held_out() -> None:
    data = held()
    assert data.reason == ""
    assert len(data.held_abnormals) == 9 and len(data.held_normals) == 6
    assert not groups([*data.normals, *data.abnormals]) & groups([*data.held_normals, *data.held_abnormals])
    assert keys([*data.normals, *data.held_normals]) == keys(NORMALS)
    assert keys([*data.abnormals, *data.held_abnormals]) == keys(ABNORMALS)


def test_normal_pictures_of_a_held_out_group_are_held_out_too() -> None:
    normals = [replace(one, meta={"group": f"part{i % 12}"}) for i, one in enumerate(NORMALS)]
    data = held(normals)
    assert groups(data.held_normals) == groups(data.held_abnormals)
    assert not groups(data.normals) & groups(data.held_abnormals)


def test_no_batch_shows_a_held_out_picture_or_its_shape() -> None:
    """Held-out pictures are black with white anomalies of 20 x 20 px, which nothing else has."""
    black = keys(held().held_abnormals) | keys(held().held_normals)
    mask = np.zeros((64, 64), np.uint8)
    mask[10:30, 10:30] = 1

    def marked(samples: list[Sample]) -> list[Sample]:
        return [
            replace(one, image=255 * mask if one.masks else 0 * mask, masks={CLASS: mask} if one.masks else {})
            if one.key in black
            else one
            for one in samples
        ]

    data = held(marked(NORMALS), marked(ABNORMALS))
    assert keys([*data.held_normals, *data.held_abnormals]) == black
    rules = MaskConfig(max_parts=1, scale_min=1, scale_max=1, angle_max=0)
    config = TrainConfig(masks=rules, batch_size=24)
    batch = BatchSource.of_run(data.normals, data.abnormals, data.pool, VIEW, config).batch(0)
    assert batch.normal_image.amin() > 0 and batch.abnormal_image.amax() < 255
    assert set(batch.expert_mask.sum((1, 2, 3)).tolist()) == {9 * 12}


def test_a_pool_is_as_if_it_were_made_without_the_held_out_pictures() -> None:
    data = held()
    own = build_pool(data.abnormals, CLASS)
    assert [one.id for one in data.pool.elements] == [one.id for one in own.elements]
    assert (data.pool.part_counts, data.pool.severity) == (own.part_counts, own.severity)


def test_what_experts_drew_stays_in_the_pool() -> None:
    pool = build_pool(ABNORMALS, CLASS)
    drawn = Element("mei.json 0", np.ones((3, 3), np.uint8), 0, 0, is_expert=True)
    data = held(pool=replace(pool, elements=(drawn, *pool.elements)))
    assert data.pool.elements[0] is drawn
    assert keys(data.held_abnormals).isdisjoint(one.source for one in data.pool.elements)


def test_runs_of_other_seeds_hold_out_the_same() -> None:
    assert keys(held(seed=0).held_abnormals) == keys(held(seed=7).held_abnormals)


@pytest.mark.parametrize(
    ("abnormals", "share", "reason"),
    [
        (ABNORMALS, 0.0, "train.validation is 0"),
        (ABNORMALS[:27], 0.25, f"class {CLASS} has 9 groups of pictures to learn from, 10 are needed"),
        (ABNORMALS[::3], 0.25, f"a share of 0.25 of class {CLASS} is 3 anomalies of 3 groups, 8 of 3 groups"),
        ([dotted(one) for one in ABNORMALS[:30:3]], 0.1, "is 9 anomalies of 1 groups"),
    ],
    ids=["no share", "few groups", "few anomalies", "one group"],
)
def test_where_there_is_too_little_all_is_learnt_and_the_reason_told(
    abnormals: list[Sample], share: float, reason: str
) -> None:
    pool = build_pool(abnormals, CLASS)
    data = held(abnormals=abnormals, pool=pool, validation=share)
    assert reason in data.reason
    assert (data.normals, data.abnormals, data.pool) == (NORMALS, abnormals, pool)
    assert not data.held_normals and not data.held_abnormals


def test_normal_pictures_of_one_group_are_all_learnt() -> None:
    data = held(normals=[replace(one, meta={"group": "line"}) for one in NORMALS])
    assert "only one group" in data.reason and data.normals


def test_both_parts_have_normal_pictures_that_take_a_mask() -> None:
    pool = replace(build_pool(ABNORMALS, CLASS), anchors={NORMALS[0].key: ((5.0, 5.0, 20.0, 20.0),)})
    assert "has an anchor" in held(pool=pool, masks={"pose": "fixed"}).reason
    assert not held(pool=pool).reason
