"""What train and tune jobs take from their data set, and what it refuses."""

import pytest

from infra.errors import NotFoundError, UsageError
from jobs.kinds import complete
from jobs.spec.resolve import resolve
from jobs.spec.specs import TrainingSpec, TrainSpec, TuneSpec
from tests.support.builders_jobs import put_dataset
from tests.support.helpers import MemoryStorage
from tests.support.specs import SMALL, completed


@pytest.mark.parametrize("kind", [TrainSpec, TuneSpec])
def test_version_view_and_gray_come_from_the_data_set(kind: type[TrainingSpec]) -> None:
    storage = MemoryStorage()
    index = put_dataset(storage)
    resolved = completed(storage, kind)
    spec = resolved.spec
    assert spec.dataset == f"tiles@{index.version}"
    assert (spec.view.kind, spec.view.size) == ("whole", 64)
    assert spec.train.model.gray is True
    assert {key: resolved.sources[key] for key in ("dataset", "view.size", "train.model.gray")} == {
        "dataset": "data set",
        "view.size": "data set",
        "train.model.gray": "data set",
    }


@pytest.mark.parametrize("kind", [TrainSpec, TuneSpec])
def test_the_preset_paper_trains_1000_epochs_of_the_data_set_at_hand(kind: type[TrainingSpec]) -> None:
    storage = MemoryStorage()
    index = put_dataset(storage)
    flags = {"dataset": "tiles", "class_name": "crack", "train.preset": "paper"}
    resolved = complete(resolve(kind, flags, environ={}), storage)
    assert resolved.spec.train.total_images == 1000 * index.counts["train"]["crack"] > 1
    assert resolved.sources["train.total_images"] == "data set"


def test_a_length_that_was_asked_for_or_is_another_presets_stays() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    assert completed(storage, TrainSpec, train__preset="paper").spec.train.total_images == SMALL["train.total_images"]
    flags = {"dataset": "tiles", "class_name": "crack", "train.preset": "stable"}
    assert complete(resolve(TrainSpec, flags, environ={}), storage).spec.train.total_images == 40_000


@pytest.mark.parametrize(("images", "wanted"), [(6, 0.02), (60, 0.2), (6000, 0.5)])
def test_pictures_that_are_shown_more_often_are_augmented_more_up_to_a_half(images: int, wanted: float) -> None:
    """Of the class there are three pictures; a value that was asked for stays."""
    storage = MemoryStorage()
    index = put_dataset(storage)
    assert index.counts["train"]["crack"] == 3
    asked = completed(storage, TrainSpec, train__total_images=images, train__augment__probability=0.3)
    assert asked.spec.train.augment.probability == 0.3
    resolved = completed(storage, TrainSpec, train__total_images=images)
    assert resolved.spec.train.augment.probability == pytest.approx(wanted)
    assert resolved.sources["train.augment.probability"] == "data set"


def test_gray_that_was_asked_for_stays() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    resolved = completed(storage, TrainSpec, train__model__gray=False)
    assert resolved.spec.train.model.gray is False and resolved.sources["train.model.gray"] == "flag"


def test_a_named_version_stays_that_version() -> None:
    storage = MemoryStorage()
    old = put_dataset(storage, resolution=64)
    new = put_dataset(storage, resolution=128)
    assert completed(storage, TrainSpec, dataset=f"tiles@{old.version}").spec.view.size == 64
    assert completed(storage, TrainSpec).spec.dataset == f"tiles@{new.version}"


def test_native_sizes_are_seen_through_windows_only() -> None:
    storage = MemoryStorage()
    put_dataset(storage, resolution=None)
    with pytest.raises(UsageError, match="tiles keeps native sizes, which differ; see it through windows"):
        completed(storage, TrainSpec)
    assert completed(storage, TrainSpec, view__kind="window", view__size=64).spec.view.size == 64


def test_a_whole_view_has_the_size_of_the_data_set() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    with pytest.raises(UsageError, match=r"view\.size: 128 px, data set tiles is 64 px; use that, or --window"):
        completed(storage, TrainSpec, view__size=128)
    put_dataset(storage, "odd", resolution=100)
    with pytest.raises(UsageError, match="data set: view: size must be a power of two"):
        completed(storage, TrainSpec, dataset="odd")


def test_an_unknown_data_set_is_not_found_with_those_there_are() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    with pytest.raises(NotFoundError, match="data set gone: not in memory://store; there are: tiles"):
        completed(storage, TrainSpec, dataset="gone")
    with pytest.raises(NotFoundError, match="data set tiles@0123: not in"):
        completed(storage, TrainSpec, dataset="tiles@0123")


def test_an_unknown_class_is_refused_with_those_there_are() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    with pytest.raises(UsageError, match="class_name: 'dent' is not in data set tiles; it has crack, hole"):
        completed(storage, TrainSpec, class_name="dent")


def test_a_batch_that_the_workers_cannot_share_is_refused() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    with pytest.raises(UsageError, match=r"train\.batch_size: 5 pairs cannot be shared by 2 workers; use a multiple"):
        completed(storage, TrainSpec, train__batch_size=5, resources__workers=2)
    with pytest.raises(UsageError, match="batch norm needs 2 pairs per worker and part, got 1"):
        completed(storage, TrainSpec, resources__workers=2, train__model__generator_norm="batch")


def test_a_generator_that_is_too_deep_for_the_view_is_refused() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    with pytest.raises(UsageError, match=r"6 down steps do not fit a view of 64 px; name fewer widths"):
        completed(storage, TrainSpec, train__model__generator_widths=[8] * 6)


@pytest.mark.parametrize("kind", [TrainSpec, TuneSpec])
def test_a_method_brings_what_it_has_otherwise_and_a_value_that_was_asked_for_stays(kind: type[TrainingSpec]) -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    resolved = completed(storage, kind, train__method="cyclegan", train__optim__lr_d=1e-3)
    train = resolved.spec.train
    assert (train.model.generator, train.model.blend, train.optim.lr_d) == ("plain_resnet9", False, 1e-3)
    assert resolved.sources["train.model.generator"] == "method cyclegan"
    assert resolved.sources["train.optim.lr_d"] == "flag"


def test_an_unknown_method_is_refused_with_those_there_are() -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    with pytest.raises(UsageError, match="unknown method, got 'magic'; use one of anomaly_gan, cyclegan"):
        completed(storage, TrainSpec, train__method="magic")


@pytest.mark.parametrize("kind", [TrainSpec, TuneSpec])
def test_more_pictures_than_there_are_are_refused_and_fewer_make_shorter_epochs(kind: type[TrainingSpec]) -> None:
    storage = MemoryStorage()
    put_dataset(storage)
    flags = {"dataset": "tiles", "class_name": "crack", "train.preset": "paper"}
    few = complete(resolve(kind, {**flags, "real": 2}, environ={}), storage).spec
    assert (few.real, few.train.total_images) == (2, 2000)
    with pytest.raises(UsageError, match=r"^real: 4, but data set tiles has 3 training pictures of crack$"):
        completed(storage, kind, real=4)
