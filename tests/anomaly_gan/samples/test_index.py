import pytest
from pydantic import ValidationError

from anomaly_gan.samples.index import DatasetIndex, SampleEntry, Split, count


def entry(key: str, split: Split = "train", *classes: str) -> SampleEntry:
    return SampleEntry(
        key=key,
        split=split,
        classes=classes,
        width=8,
        height=6,
        group=key,
        source=f"{key}.png",
        shard=f"{split}-000000.tar",
        offset=0,
        image_sha256="0",
        mask_sha256=dict.fromkeys(classes, "0"),
        mask_area_px=dict.fromkeys(classes, 3),
    )


SAMPLES = (entry("a"), entry("b", "train", "dent"), entry("c", "test"), entry("d", "test", "dent", "hole"))


def index(samples: tuple[SampleEntry, ...] = SAMPLES) -> DatasetIndex:
    return DatasetIndex(
        name="tiles",
        version="",
        resolution=None,
        gray=True,
        classes=("dent", "hole"),
        counts=count(samples, ["dent", "hole"]),
        test_fraction=0.25,
        seed=0,
        shards=(),
        samples=samples,
    ).with_version()


@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        ({}, "abcd"),
        ({"split": "test"}, "cd"),
        ({"normal": False}, "bd"),
        ({"classes": ["hole"]}, "acd"),
        ({"classes": ["hole"], "normal": False}, "d"),
        ({"classes": []}, "ac"),
        ({"split": "train", "classes": ["dent"], "normal": False}, "b"),
    ],
)
def test_select_takes_the_split_the_classes_and_normal_samples(wanted: dict[str, object], keys: str) -> None:
    assert "".join(found.key for found in index().select(**wanted)) == keys  # type: ignore[arg-type]


def test_count_counts_a_picture_once_for_each_of_its_classes() -> None:
    assert index().counts == {
        "train": {"normal": 1, "dent": 1, "hole": 0},
        "test": {"normal": 1, "dent": 1, "hole": 1},
    }


def test_version_depends_on_the_content_and_on_nothing_else() -> None:
    assert index().version == index().with_version().version
    assert len(index().version) == 12
    assert index(SAMPLES[:3]).version != index().version


def test_an_index_survives_json_and_refuses_unknown_fields() -> None:
    text = index().model_dump_json()
    assert DatasetIndex.model_validate_json(text) == index()
    with pytest.raises(ValidationError, match="extra"):
        DatasetIndex.model_validate_json(text.replace('"seed"', '"sead":1,"seed"'))
    with pytest.raises(ValidationError, match="schema_version"):
        DatasetIndex.model_validate_json(text.replace('"schema_version":1', '"schema_version":2'))
