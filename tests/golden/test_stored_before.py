"""What an earlier version stored is still read: a data set, a mask pool, a checkpoint, a model and generated images.

`stored/` is a store that `make_stored.py` made with the code of commit 9fd9284, and its `expected.json` tells what that
code read there. Both stay as they are. What is read may come to hold more, such as a new knob with its default, but all
that is in `expected.json` must be there, the same; floats that are computed may differ as they do between CPUs. But for
two things: training does not go on from a checkpoint of before the method had noise, and the digest of a mask pool's
index is another one, since elements now say which borders cut them off.

On the machine that made the files everything is the same bit for bit: `python -m tests.golden.test_stored_before`.
"""

import hashlib
import json
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from anomaly_gan.gan.method import AnomalyGan
from anomaly_gan.masks.rationality.context import describe_picture
from anomaly_gan.samples.sample import IMAGE_MEMBER, Sample, decode_sample, to_planes
from anomaly_gan.samples.tensors import to_model_range, to_uint8
from anomaly_gan.training.checkpoint import restore
from infra.errors import DataError
from infra.settings import Settings
from infra.storage.digest import sha256
from infra.storage.local import LocalStorage
from jobs.generate.published import published_shards, read_members
from jobs.generate.task_plan import plan_of
from jobs.library.datasets.store import check_dataset, load_index, load_samples
from jobs.library.maskpools.store import SHELF, load_pool, load_pool_index, read_masks
from jobs.library.models.files import list_models, model_digest
from jobs.library.models.store import load_model
from jobs.library.training_split import load_training_split
from jobs.record.context import load_memory_estimate, load_spec, load_spec_of
from jobs.record.manifest import load_manifest, read_output
from jobs.record.status import job_key, list_statuses, load_progress, read_logs
from jobs.results.rebuild import rebuild
from jobs.spec.specs import GenerateSpec, TrainSpec
from jobs.tasks.commits import TaskPlan, committed, read_commits
from jobs.train.checkpoints import CheckpointStore
from tests.support.builders import NarrowAware, train_state, weights_of

STORED = Path(__file__).resolve().parents[1] / "golden" / "stored"
EXPECTED = "expected.json"

DATASET = POOL = "strips"
CLASS = "cloth_strip"
TRAIN_JOB = "train-20260101-120000-ab12"
GENERATE_JOB = "generate-20260101-130000-cd34"
CHECKPOINT_STEP, LAST_STEP = 2, 3
REBUILT = 1
"""Index of the generated image that is made again."""

OUTPUT_TOLERANCE = 2e-5
"""Of a generator's output in [-1, 1], in which neighbouring grey levels are 0.0078 apart."""
GRID = slice(4, None, 8)
"""Rows and columns of the output that are compared."""

Facts = dict[str, Any]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> LocalStorage:
    """A copy, so that no test can change what is stored."""
    return LocalStorage(Path(shutil.copytree(STORED, tmp_path_factory.mktemp("before") / "store")))


@pytest.fixture(scope="module")
def expected(storage: LocalStorage) -> Facts:
    return read_expected(storage)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Torch on one thread, so that sums are taken in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- data sets and mask pools


def test_a_data_set_of_before_is_whole_and_decodes_to_the_same_samples(storage: LocalStorage, expected: Facts) -> None:
    assert differences(dataset_facts(storage), expected["dataset"]) == []


def test_both_versions_of_a_mask_pool_of_before_hold_the_same_masks_rules_and_decisions(
    storage: LocalStorage, expected: Facts
) -> None:
    """One as it was built, and one as experts scored it."""
    assert differences(pool_facts(storage), expected_pool(expected), relative=1e-4) == []


# --- a train job


def test_the_record_of_a_job_of_before_is_read_with_all_its_outputs(storage: LocalStorage, expected: Facts) -> None:
    assert differences(record_facts(storage), expected["records"]) == []


def test_a_checkpoint_of_before_is_refused_by_its_number(storage: LocalStorage, tmp_path: Path) -> None:
    """Its networks had neither noise nor a critic of texture, and its terms other weights: no step would follow it."""
    with pytest.raises(DataError, match=r"^the checkpoint of before: checkpoint schema 3, expected 4"):
        restored(storage, tmp_path)


def test_a_model_of_before_has_the_same_weights_and_draws_the_same_image(
    storage: LocalStorage, expected: Facts
) -> None:
    wanted = {name: fact for name, fact in expected["model"].items() if name != "levels_sha256"}
    assert differences(model_facts(storage), wanted, absolute=OUTPUT_TOLERANCE) == []


# --- a generate job


def test_the_images_of_a_generate_job_of_before_are_read_back(storage: LocalStorage, expected: Facts) -> None:
    assert differences(generated_facts(storage), expected["generated"]) == []


def test_a_generate_job_of_before_has_the_plan_with_which_it_would_go_on(storage: LocalStorage) -> None:
    """The versions of packages are left out: they are this machine's. A new knob of generate jobs changes the plan."""
    spec = load_spec_of(GenerateSpec, storage, GENERATE_JOB, f"job {GENERATE_JOB}")
    recorded = TaskPlan.model_validate_json(storage.read(job_key(GENERATE_JOB, "plan.json")))
    planned = plan_of(spec, [model_digest(storage, TRAIN_JOB)])
    assert planned.versions.keys() == recorded.versions.keys()
    assert planned.model_copy(update={"versions": recorded.versions}) == recorded
    [commit] = read_commits(storage, GENERATE_JOB, committed(storage, GENERATE_JOB))
    assert (commit.task, commit.items) == (0, recorded.count)


def test_an_image_of_a_generate_job_of_before_is_rebuilt(storage: LocalStorage) -> None:
    """Within one grey level, for another kind of CPU rounds otherwise."""
    made = rebuild(settings_of(storage), GENERATE_JOB, REBUILT)
    again, before = decode_sample(made.key, made.members), generated(storage)[REBUILT]
    assert np.abs(again.image.astype(int) - before.image).max() <= 1
    assert array_digest(again.masks[CLASS]) == array_digest(before.masks[CLASS])
    assert differences(again.meta, before.meta, absolute=1e-2) == []


# --- what is read


def dataset_facts(storage: LocalStorage) -> Facts:
    index = load_index(storage, DATASET)
    return {
        "index": plain(index),
        "problems": check_dataset(storage, DATASET).problems,
        "samples": {
            split: [sample_digest(sample) for sample in load_samples(storage, index, split=split)]
            for split in index.counts
        },
    }


def pool_facts(storage: LocalStorage) -> Facts:
    """Of every version."""
    latest, real = load_pool_index(storage, POOL), load_training_split(storage, DATASET, CLASS).abnormals[0]
    facts: Facts = {"latest": latest.version}
    for name in SHELF.versions(storage, POOL):
        index = load_pool_index(storage, name)
        pool = load_pool(storage, index, CLASS)
        assert pool.region is not None and pool.rationality is not None
        own = [element for element in pool.elements if element.source == real.key]
        facts[name] = {
            "index": plain(index),
            "masks": {key: array_digest(mask) for key, mask in read_masks(storage, index).items()},
            "used": [element.id for element in pool.elements],
            "region": array_digest(pool.region),
            "likeness": pool.rationality.score(describe_picture(real.image, real.masks[CLASS]), own),
        }
    return facts


def record_facts(storage: LocalStorage) -> Facts:
    """Of every job; each output is held against its digest."""
    facts = {}
    for status in list_statuses(storage):
        job_id = status.job_id
        outputs = load_manifest(storage, job_id).outputs
        log, pieces = read_logs(storage, job_id)
        facts[job_id] = {
            "status": plain(status),
            "spec": plain(load_spec(storage, job_id)),
            "progress": plain(load_progress(storage, job_id)),
            "log": [sha256(log.encode()), pieces],
            "has_memory_estimate": load_memory_estimate(storage, job_id) is not None,
            "outputs": {output.name: sha256(read_output(storage, job_id, output)) for output in outputs},
        }
    return facts


def model_facts(storage: LocalStorage) -> Facts:
    """What it draws into the first normal picture, where the first abnormal one has its mask."""
    [entry] = list_models(storage)
    snapshot = load_model(storage, entry.model_id, torch.device("cpu"))
    split = load_training_split(storage, DATASET, CLASS)
    image = to_model_range(torch.from_numpy(to_planes(split.normals[0].image))[None])
    mask = torch.from_numpy(split.abnormals[0].masks[CLASS])[None, None].float()
    output = snapshot.generator(image, mask)
    return {
        "id": entry.model_id,
        "class_name": snapshot.class_name,
        "view": plain(snapshot.view),
        "config": plain(snapshot.config),
        "record": snapshot.record,
        "weights_file": snapshot.weights_sha256,
        "weights": tensors_digest(tensors_in(weights_of(snapshot.generator))),
        "output": output[0, 0, GRID, GRID].tolist(),
        "change": float((output - image).abs().max()),
        "levels_sha256": array_digest(to_uint8(output).numpy()),
    }


def generated_facts(storage: LocalStorage) -> Facts:
    [shard] = published_shards(storage, GENERATE_JOB)
    members = [found for _, found in read_members(storage, GENERATE_JOB, [shard])]
    return {
        "shard": plain(shard),
        "samples": [sample_digest(sample) for sample in generated(storage)],
        "image_file": sha256(members[REBUILT][IMAGE_MEMBER]),
        "summary": json.loads(storage.read(job_key(GENERATE_JOB, "out/summary.json"))),
    }


def all_facts(storage: LocalStorage) -> Facts:
    return {
        "dataset": dataset_facts(storage),
        "mask_pool": pool_facts(storage),
        "records": record_facts(storage),
        "model": model_facts(storage),
        "generated": generated_facts(storage),
        "rebuilt_differs_in": list(rebuild(settings_of(storage), GENERATE_JOB, REBUILT).differing),
    }


def restored(storage: LocalStorage, folder: Path) -> AnomalyGan:
    """The train job's latest checkpoint; the one of its last step was removed."""
    spec, path = train_spec(storage), folder / "checkpoint.pt"
    checkpoints = CheckpointStore(storage, job_key(TRAIN_JOB, "checkpoints"))
    assert [entry["step"] for entry in checkpoints.entries()] == [CHECKPOINT_STEP, LAST_STEP]
    assert checkpoints.latest_step() == CHECKPOINT_STEP
    checkpoints.load(CHECKPOINT_STEP, path)
    state = train_state(spec.train, NarrowAware(seed=1))  # its first weights are others than those that are stored
    restore(state, path, "the checkpoint of before")
    return state


def generated(storage: LocalStorage) -> list[Sample]:
    shards = published_shards(storage, GENERATE_JOB)
    return [decode_sample(key, found) for key, found in read_members(storage, GENERATE_JOB, shards)]


def train_spec(storage: LocalStorage) -> TrainSpec:
    spec = load_spec(storage, TRAIN_JOB)
    assert isinstance(spec, TrainSpec)
    return spec


def settings_of(storage: LocalStorage) -> Settings:
    return Settings(store=storage.uri)


# --- how it is compared


def read_expected(storage: LocalStorage) -> Facts:
    facts: Facts = json.loads(storage.read(EXPECTED))
    return facts


def expected_pool(expected: Facts) -> Facts:
    """Without the digests of the indices."""
    return {
        name: {key: fact for key, fact in facts.items() if key != "content"} if isinstance(facts, dict) else facts
        for name, facts in expected["mask_pool"].items()
    }


def differences(found: Any, wanted: Any, *, relative: float = 0.0, absolute: float = 0.0, where: str = "") -> list[str]:
    """What of `wanted` is not in `found`, by its place; a mapping may have more keys, a list has as many items."""
    limits = {"relative": relative, "absolute": absolute}
    if isinstance(wanted, dict) and isinstance(found, dict):
        missing = [f"{where}/{key}: is missing" for key in sorted(wanted.keys() - found.keys())]
        pairs = [(key, found[key], value) for key, value in wanted.items() if key in found]
        return missing + [one for key, *pair in pairs for one in differences(*pair, **limits, where=f"{where}/{key}")]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        both = enumerate(zip(found, wanted, strict=True))
        return [one for i, pair in both for one in differences(*pair, **limits, where=f"{where}/{i}")]
    if isinstance(wanted, float) and isinstance(found, float):
        is_same = math.isclose(found, wanted, rel_tol=relative, abs_tol=absolute)
    else:
        is_same = bool(found == wanted)
    return [] if is_same else [f"{where}: {found!r}, was {wanted!r}"]


def plain(model: Any) -> Any:
    """A pydantic model as its JSON has it."""
    return json.loads(model.model_dump_json())


def array_digest(array: NDArray[Any]) -> str:
    return sha256(f"{array.dtype} {array.shape} ".encode() + array.tobytes())


def sample_digest(sample: Sample) -> str:
    masks = [f"{name} {array_digest(mask)}" for name, mask in sorted(sample.masks.items())]
    return sha256(" ".join([sample.key, array_digest(sample.image), *masks, json.dumps(sample.meta)]).encode())


def tensors_in(nest: Any, where: str = "") -> dict[str, Tensor]:
    """Path -> tensor, of all that nested mappings and sequences hold."""
    if isinstance(nest, Tensor):
        return {where: nest}
    if isinstance(nest, dict):
        pairs = list(nest.items())
    else:
        pairs = list(enumerate(nest)) if isinstance(nest, list | tuple) else []
    return {path: tensor for key, part in pairs for path, tensor in tensors_in(part, f"{where}/{key}").items()}


def tensors_digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for path, tensor in sorted(tensors.items()):
        digest.update(f"{path} {array_digest(tensor.detach().cpu().numpy())} ".encode())
    return digest.hexdigest()


if __name__ == "__main__":
    torch.set_num_threads(1)
    stored = LocalStorage(STORED)
    before = read_expected(stored)
    wanted = {name: fact for name, fact in before.items() if name not in ("checkpoint", "next_losses")}
    found = differences(json.loads(json.dumps(all_facts(stored))), wanted | {"mask_pool": expected_pool(before)})
    print("\n".join(found) or "the same, bit for bit")
    sys.exit(bool(found))
