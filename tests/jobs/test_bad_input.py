"""A generate job that meets broken or foreign input: one sentence, nothing executed, nothing committed."""

import io
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from anomaly_gan.config import ViewConfig
from anomaly_gan.generation.description import DESCRIPTION, WEIGHTS
from anomaly_gan.samples.sample import decode_sample, encode_sample
from infra.errors import AganError, DataError, NotFoundError, UsageError
from infra.settings import Settings
from infra.storage.local import LocalStorage
from infra.storage.shards import read_shard
from jobs.generate.shard_maker import ShardMaker
from jobs.library.datasets.store import load_index
from jobs.record.context import JobContext
from jobs.spec.specs import GenerateSpec
from tests.support.builders import normal_sample
from tests.support.builders_jobs import TRAIN_JOB, put_dataset, put_model
from tests.support.sources import gigantic_png


def encode(form: str) -> bytes:
    """A small picture in another format."""
    return cv2.imencode(form, np.zeros((64, 64), np.uint8))[1].tobytes()


WHOLE = encode_sample(normal_sample(0))


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    storage = LocalStorage(tmp_path / "store")
    put_dataset(storage)
    put_model(storage)
    return storage


def make(storage: LocalStorage, **changes: Any) -> None:
    """The first task of a job."""
    spec = GenerateSpec.model_validate({"model": TRAIN_JOB, "count": 2} | changes)
    ShardMaker(JobContext("generate-bad", spec, Settings(store=storage.uri), storage)).make(0)


def tar(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as written:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            written.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("member", "data", "told"),
    [
        ("s.image.png", WHOLE["image.png"][:200], r"sample s: image.png: not a readable picture \(200 bytes\)"),
        ("s.image.png", gigantic_png(20_000, 10_000), "sample s: image.png: the picture has more than 64 megapixels"),
        ("s.image.png", encode(".jpg"), r"sample s: image.png: not a PNG \(\d+ bytes\); import or make it again"),
        ("s.mask.hole.png", encode(".bmp"), r"sample s: mask.hole.png: not a PNG \(\d+ bytes\)"),
        ("s.image.png", b"", r"sample s: image.png: not a PNG \(0 bytes\)"),
        ("s.mask.hole.png", gigantic_png(20_000, 10_000), "sample s: mask.hole.png: the picture has more than 64"),
        ("s.meta.json", b"{", r"sample s: meta.json: not valid JSON \(.*\); import or make it again"),
        ("s.meta.json", b"[]", "sample s: meta.json: holds no mapping"),
        ("s.loss.pkl", b"cos\nsystem\n(S'touch executed'\ntR.", "sample s: unknown member loss.pkl"),
        ("s.pyd", b"cos\nsystem\n(S'touch executed'\ntR.", "sample s: unknown member pyd"),
        ("../s.meta.json", b"{}", r"shard: member '../s.meta.json' is not named <key>.<extension>"),
        ("/etc/s.meta.json", b"{}", r"shard: member '/etc/s.meta.json' is not named <key>.<extension>"),
    ],
)
def test_a_bad_member_is_named_and_never_executed(
    member: str, data: bytes, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    members = {f"s.{name}": content for name, content in WHOLE.items()} | {member: data}
    with pytest.raises(DataError, match=told):
        [decode_sample(key, found) for key, found in read_shard(tar(members), "shard")]
    assert list(tmp_path.iterdir()) == []


def test_a_changed_shard_of_the_data_set_ends_the_job_before_anything_is_written(storage: LocalStorage) -> None:
    index = load_index(storage, "tiles")
    for shard in index.shards:
        key = f"datasets/tiles/{index.version}/{shard.name}"
        storage.write(key, storage.read(key)[::-1])
    refused(storage, DataError, "sha256 differs from the index; the shard is corrupt, import or make it again")


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        (WEIGHTS, b"cos\nsystem\n(S'touch executed'\ntR.", f"model {TRAIN_JOB}: not a readable model"),
        (WEIGHTS, b"", f"model {TRAIN_JOB}: not a readable model"),
        (DESCRIPTION, b"{}", f"model {TRAIN_JOB}: not a readable model"),
    ],
)
def test_a_broken_model_ends_the_job_before_anything_is_written(
    storage: LocalStorage, name: str, data: bytes, told: str
) -> None:
    storage.write(f"models/{TRAIN_JOB}/{name}", data)
    refused(storage, DataError, told)


def test_a_missing_model_is_told_with_those_that_are_there(storage: LocalStorage) -> None:
    refused(storage, NotFoundError, f"model gone: not in .*; there are: {TRAIN_JOB}", model="gone")


def test_a_model_of_another_resolution_is_refused_with_both(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "other")
    put_dataset(storage, resolution=128)
    put_model(storage)
    assert ViewConfig().kind == "whole"
    refused(storage, DataError, "is 128x128 px, the view is the whole frame of 64;")


def test_a_model_of_a_class_that_the_data_set_lacks_is_refused(storage: LocalStorage) -> None:
    put_model(storage, "train-20260201-120000-0000", class_name="dent")
    refused(storage, UsageError, "data set tiles: has no class dent", model="train-20260201-120000-0000")


def test_a_job_of_gpus_is_refused_where_there_is_none(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    told = "^resources.gpus_per_worker: 1, but torch finds no GPU on this machine; do it on one that has the same kind"
    refused(storage, UsageError, told, resources={"gpus_per_worker": 1})


def test_a_picture_on_which_the_decoder_raises_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def imdecode(*_: object) -> None:
        raise cv2.error("pixels exceed CV_IO_MAX_IMAGE_PIXELS")

    monkeypatch.setattr("cv2.imdecode", imdecode)
    with pytest.raises(DataError, match=r"^sample s: image\.png: not a readable picture"):
        decode_sample("s", WHOLE)


def refused(storage: LocalStorage, error: type[AganError], told: str, **changes: Any) -> None:
    with pytest.raises(error, match=told):
        make(storage, **changes)
    assert storage.list("jobs/") == []


def test_a_flipped_bit_in_the_weights_ends_the_job_before_anything_is_written(storage: LocalStorage) -> None:
    key = f"models/{TRAIN_JOB}/{WEIGHTS}"
    data = storage.read(key)
    storage.write(key, data[:-1] + bytes([data[-1] ^ 1]))
    refused(storage, DataError, f"model {TRAIN_JOB}: not a readable model .the weights' sha256 is not that of")
