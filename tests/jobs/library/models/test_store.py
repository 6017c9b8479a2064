from pathlib import Path
from typing import Any

import pytest
import torch

from anomaly_gan.config import GenerationConfig
from anomaly_gan.generation.generate import generate
from infra.errors import DataError, NotFoundError, UsageError
from infra.settings import Settings
from infra.storage.digest import sha256
from jobs.kinds import complete
from jobs.library.models.store import import_release, load_model, publish_model
from jobs.library.training_split import load_training_split
from jobs.spec.resolve import resolve
from jobs.spec.specs import GenerateSpec
from tests.support.builders_jobs import RESOLUTION, TRAIN_JOB, put_dataset, put_model
from tests.support.builders_release import (
    empty_release_state,
    release_file,
    release_output,
    release_sample,
    release_state,
)
from tests.support.helpers import MemoryStorage

CPU = torch.device("cpu")


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


def test_a_model_loads_with_its_history_ready_to_generate(storage: MemoryStorage) -> None:
    snapshot = load_model(storage, put_model(storage), CPU)
    assert (snapshot.class_name, snapshot.view.size) == ("crack", 64)
    assert snapshot.record == {"job_id": TRAIN_JOB, "dataset": "tiles", "nimg": 640}
    assert not snapshot.generator.training
    assert not any(parameter.requires_grad for parameter in snapshot.generator.parameters())


def test_publishing_makes_a_jobs_model_visible_under_its_id(storage: MemoryStorage) -> None:
    put_model(storage, "made")
    for name in ("generator.safetensors", "model.json"):
        storage.write(f"jobs/{TRAIN_JOB}/out/model/{name}", storage.read(f"models/made/{name}"))
    publish_model(storage, TRAIN_JOB)
    assert list(storage.objects)[-1] == f"models/{TRAIN_JOB}/model.json"
    assert load_model(storage, TRAIN_JOB, CPU).class_name == "crack"


@pytest.mark.parametrize("model_id", ["gone", "half"])
def test_a_model_that_is_not_there_is_not_found_with_those_that_are(storage: MemoryStorage, model_id: str) -> None:
    with pytest.raises(NotFoundError, match=f"model {model_id}: not in memory://store; there are: none"):
        load_model(storage, model_id, CPU)
    put_model(storage, "b")
    put_model(storage, "a")
    storage.write("models/half/generator.safetensors", b"")
    with pytest.raises(NotFoundError, match=f"model {model_id}: not in memory://store; there are: a, b"):
        load_model(storage, model_id, CPU)


def test_an_id_that_would_leave_the_store_is_refused(storage: MemoryStorage) -> None:
    with pytest.raises(UsageError):
        load_model(storage, "../jobs/x", CPU)


@pytest.mark.parametrize("name", ["generator.safetensors", "model.json"])
@pytest.mark.parametrize("data", [b"", b"\x00broken", b"{}"])
def test_a_broken_model_is_named(storage: MemoryStorage, name: str, data: bytes) -> None:
    put_model(storage, "m")
    storage.write(f"models/m/{name}", data)
    with pytest.raises(DataError, match="model m: not a readable model"):
        load_model(storage, "m", CPU)


# --- generators of the authors' release


@pytest.fixture
def release(tmp_path: Path) -> Path:
    path = tmp_path / "latest_net_G.pth"
    path.write_bytes(release_file(empty_release_state()))
    return path


def imported(storage: MemoryStorage, file: Path, **changes: Any) -> str:
    options: dict[str, Any] = {"model_id": "authors", "class_name": "crack", "dataset": "tiles", "size": RESOLUTION}
    return import_release(storage, str(file), Settings(), **(options | changes)).model_id


def test_an_imported_release_computes_what_its_file_says(storage: MemoryStorage, release: Path) -> None:
    put_dataset(storage)
    state = release_state()
    release.write_bytes(release_file(state))
    snapshot = load_model(storage, imported(storage, release), CPU)
    image, mask = release_sample()
    expected = release_output(state, image, mask)
    assert 0.1 < expected.std() < 0.5
    assert torch.allclose(snapshot.generator(image, mask), expected, atol=1e-5)
    assert not snapshot.generator.training


def test_an_imported_release_is_told_of_as_what_it_is(storage: MemoryStorage, release: Path) -> None:
    index = put_dataset(storage)
    snapshot = load_model(storage, imported(storage, release), CPU)
    assert snapshot.class_name == "crack"
    assert snapshot.view.model_dump() == {"kind": "whole", "size": RESOLUTION}
    model = snapshot.config.model
    assert (model.generator, model.upsample, model.generator_norm) == ("resnet9", "transposed", "batch")
    assert (model.blend, model.gray) == (False, False)
    assert snapshot.record == {
        "source": "latest_net_G.pth",
        "sha256": sha256(release.read_bytes()),
        "dataset": f"tiles@{index.version}",
        **dict.fromkeys(("job_id", "nimg", "world_size"), "unknown"),
        **dict.fromkeys(("normal_images", "abnormal_images", "aware_weights"), "unknown"),
    }
    assert list(storage.objects)[-1] == "models/authors/model.json"


def test_an_imported_release_generates_as_a_trained_model_does(storage: MemoryStorage, release: Path) -> None:
    put_dataset(storage)
    model = imported(storage, release)
    assert complete(resolve(GenerateSpec, {"model": model}), storage).spec.model == model
    snapshot = load_model(storage, model, CPU)
    split = load_training_split(storage, snapshot.record["dataset"], snapshot.class_name)
    plan = split.plan(snapshot.view, snapshot.config.masks, GenerationConfig())
    made = generate(plan, [0, 1], snapshot.generator)
    assert [one.sample.image.shape for one in made] == [(RESOLUTION, RESOLUTION)] * 2
    assert all(one.sample.masks["crack"].any() for one in made)


def test_a_release_is_bound_to_the_named_version_of_a_data_set(storage: MemoryStorage, release: Path) -> None:
    version = put_dataset(storage).version
    storage.write("datasets/tiles/latest.json", b'{"version": "a later one"}')
    imported(storage, release, dataset=f"tiles@{version}")
    assert load_model(storage, "authors", CPU).record["dataset"] == f"tiles@{version}"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"class_name": "rust"}, UsageError, "--class-name: 'rust' is not in data set tiles; it has crack, hole"),
        ({"model_id": "a/b"}, UsageError, "--id: letters, digits, '.', '_' and '-' only, got 'a/b'; choose another id"),
        ({"model_id": ".."}, UsageError, "--id: letters, digits, '.', '_' and '-' only, got '..'; choose another id"),
        ({"size": 100}, UsageError, "--size: a power of two from 64 to 1024, got 100; the released size is 512"),
        ({"size": 2048}, UsageError, "--size: a power of two from 64 to 1024, got 2048; the released size is 512"),
        (
            {"size": 512},
            UsageError,
            "--size: 512 px, but data set tiles has 64 px; name one imported with --resolution 512",
        ),
        (
            {"dataset": "native"},
            UsageError,
            "--size: 64 px, but data set native has native sizes; name one imported with --resolution 64",
        ),
        ({"dataset": "gone"}, NotFoundError, "data set gone: not in memory://store; there are: native, tiles"),
    ],
    ids=str,
)
def test_an_import_that_cannot_be_used_is_refused_and_leaves_nothing(
    storage: MemoryStorage, release: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    put_dataset(storage)
    put_dataset(storage, "native", None)
    with pytest.raises(error) as caught:
        imported(storage, release, **changes)
    assert str(caught.value) == message
    assert not storage.list("models/")


def test_a_release_under_the_id_of_a_model_is_refused_and_the_model_kept(storage: MemoryStorage, release: Path) -> None:
    put_dataset(storage)
    put_model(storage, "authors")
    before = dict(storage.objects)
    with pytest.raises(UsageError, match=r"^--id: model authors is in memory://store already; choose another id$"):
        imported(storage, release)
    assert storage.objects == before


def test_a_file_that_is_not_there_or_no_release_is_refused_and_leaves_nothing(
    storage: MemoryStorage, release: Path
) -> None:
    put_dataset(storage)
    with pytest.raises(NotFoundError, match=r"gone\.pth: no such file; check the path$"):
        imported(storage, release.with_name("gone.pth"))
    release.write_bytes(release_file({"weight": torch.ones(1)}))
    with pytest.raises(
        DataError, match=r"^\S+/latest_net_G\.pth: has no model\.1\.weight; expected the state dict of "
    ):
        imported(storage, release)
    assert not storage.list("models/")
