"""One contract for every store; what only one of them can do follows after it."""

import io
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import SimpleNamespace
from typing import Any

import botocore.endpoint
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError

from infra.errors import NotFoundError, StorageError, UsageError
from infra.settings import Settings
from infra.storage import local as storage_local
from infra.storage import s3 as storage_s3
from infra.storage.local import LocalStorage
from infra.storage.protocol import Storage, check_key
from infra.storage.s3 import S3Storage, s3_client
from tests.support.helpers import MemoryStorage

RACERS = 16


@pytest.fixture
def s3_settings(s3_endpoint: str) -> Settings:
    return Settings(s3_endpoint=s3_endpoint, s3_region="us-east-1")


@pytest.fixture
def bucket(s3_settings: Settings) -> str:
    name = f"bucket-{uuid.uuid4().hex}"
    s3_client(s3_settings).create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["memory", "local", pytest.param("s3", marks=pytest.mark.s3)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "memory":
        return MemoryStorage()
    if request.param == "local":
        return LocalStorage(tmp_path / "store")
    return S3Storage(f"s3://{request.getfixturevalue('bucket')}/pre/fix", request.getfixturevalue("s3_settings"))


def keys(storage: Storage, prefix: str = "") -> list[str]:
    return [entry.key for entry in storage.list(prefix)]


# --- the contract


def test_what_is_written_is_read(storage: Storage) -> None:
    storage.write("a/b.bin", b"\x00one")
    assert storage.read("a/b.bin") == b"\x00one"
    storage.write("a/b.bin", b"")
    assert storage.read("a/b.bin") == b""


def test_create_writes_only_where_nothing_is(storage: Storage) -> None:
    assert storage.create("a/lock", b"first") is True
    assert storage.create("a/lock", b"second") is False
    assert storage.read("a/lock") == b"first"
    storage.delete("a/lock")
    assert storage.create("a/lock", b"third") is True


def test_of_racing_creators_exactly_one_wins(storage: Storage) -> None:
    barrier = Barrier(RACERS)

    def race(number: int) -> bool:
        barrier.wait()
        return storage.create("race", str(number).encode())

    with ThreadPoolExecutor(RACERS) as pool:
        won = list(pool.map(race, range(RACERS)))
    assert won.count(True) == 1
    assert storage.read("race") == str(won.index(True)).encode()


def test_a_file_goes_up_whole(storage: Storage, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 100_000)
    storage.upload(source, "big")
    assert storage.read("big") == source.read_bytes()


@pytest.mark.parametrize("data", [b"", b"\x00one", b"x" * 100_000])
def test_a_file_comes_down_whole_and_replaces_what_was_there(storage: Storage, data: bytes, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old" * 50_000)
    storage.write("a/big", data)
    storage.download("a/big", target)
    assert target.read_bytes() == data
    storage.download("a/big", tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == data == storage.read("a/big")


def test_what_went_up_as_a_file_comes_down_the_same(storage: Storage, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(256)) * 400)
    storage.upload(source, "big")
    storage.download("big", target)
    assert target.read_bytes() == source.read_bytes()


def test_what_is_missing_is_not_found_by_name(storage: Storage, tmp_path: Path) -> None:
    storage.write("folder/file", b"")
    for key in ("gone", "folder", "folder/gone"):
        with pytest.raises(NotFoundError, match=f"{key}: no such object in the store"):
            storage.read(key)
        with pytest.raises(NotFoundError, match=f"{key}: no such object in the store"):
            storage.download(key, tmp_path / "target")
        assert not storage.exists(key)
    assert storage.exists("folder/file")


def test_delete_is_silent_where_nothing_is(storage: Storage) -> None:
    storage.write("a/b", b"")
    storage.delete("a/b")
    storage.delete("a/b")
    storage.delete("never/was")
    assert keys(storage) == []


def test_list_of_an_empty_store_is_empty(storage: Storage) -> None:
    assert storage.list("") == [] and storage.list("jobs/") == []


def test_list_takes_any_beginning_of_a_key(storage: Storage) -> None:
    for key in ("jobs/10/log", "jobs/1/out/b", "jobs/1/out/a", "jobs/1/log", "jobs2/log"):
        storage.write(key, b"12345")
    first = ["jobs/1/log", "jobs/1/out/a", "jobs/1/out/b"]
    assert keys(storage, "jobs/1/") == first
    assert keys(storage, "jobs/1") == keys(storage, "jobs/") == [*first, "jobs/10/log"]
    assert keys(storage) == [*first, "jobs/10/log", "jobs2/log"]
    assert keys(storage, "jobs/1/out/a") == ["jobs/1/out/a"]
    assert keys(storage, "jobs/1/out/a/") == keys(storage, "jobs/3/") == []
    assert {entry.size_bytes for entry in storage.list("")} == {5}


def test_a_listing_tells_when_an_object_was_written(storage: Storage) -> None:
    before = time.time()
    storage.write("a", b"")
    [found] = storage.list("")
    assert before - 1 <= found.modified_at <= time.time() + 1  # S3 knows whole seconds


def test_a_key_that_could_leave_the_store_is_refused(storage: Storage, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.touch()
    calls: list[Callable[[str], object]] = [
        storage.read,
        lambda key: storage.write(key, b""),
        lambda key: storage.create(key, b""),
        lambda key: storage.upload(source, key),
        lambda key: storage.download(key, tmp_path / "target"),
        storage.exists,
        storage.delete,
        storage.url,
    ]
    for key in ("", "/", "/a", "a/", "..", "../a", "a/../b", "a//b", "./a", "a/."):
        for call in calls:
            with pytest.raises(UsageError, match="must be a relative path"):
                call(key)


def test_a_prefix_that_could_leave_the_store_is_refused(storage: Storage) -> None:
    for prefix in ("../", "..", "a/../../", "/"):
        with pytest.raises(UsageError, match="must be a relative path"):
            storage.list(prefix)


def test_the_url_names_the_object(storage: Storage) -> None:
    assert storage.url("a/b") == f"{storage.uri}/a/b"


def test_a_key_is_returned_by_its_check() -> None:
    assert check_key("a/b.c-d_e/..f") == "a/b.c-d_e/..f"


# --- a local folder


@pytest.fixture
def local(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "store")


def test_a_temporary_file_that_was_left_is_found_and_given_up(local: LocalStorage) -> None:
    local.write("jobs/a/x", b"whole")
    left = local.root / "jobs" / "a" / f"{storage_local.TEMPORARY}123"
    left.write_bytes(b"half")
    [found] = local.unfinished("jobs/a")
    assert (found.key, found.begun_at) == (f"jobs/a/{left.name}", left.stat().st_mtime)
    assert local.unfinished("jobs/b") == []
    for _ in range(2):
        local.abandon(found)
    assert not left.exists() and keys(local) == ["jobs/a/x"]


def test_temporary_files_are_never_listed(local: LocalStorage) -> None:
    local.write("a/b", b"")
    (local.root / "a" / f"{storage_local.TEMPORARY}1").touch()
    assert keys(local) == ["a/b"] == keys(local, "a/")


@pytest.mark.parametrize("method", ["write", "upload"])
def test_an_interrupted_write_leaves_the_old_object(
    local: LocalStorage, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def power_cut(*_: object) -> None:
        raise OSError(28, "No space left on device")

    source = tmp_path / "source"
    source.write_bytes(b"new")
    local.write("a", b"old")
    monkeypatch.setattr("infra.storage.local.os.replace", power_cut)
    with pytest.raises(StorageError, match="a: No space left on device; check the folder's rights and free space"):
        local.write("a", b"new") if method == "write" else local.upload(source, "a")
    assert local.read("a") == b"old"
    assert [path.name for path in local.root.iterdir()] == ["a"]


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="check the folder's rights"):
        LocalStorage(tmp_path / "file").write("a", b"")


def test_a_file_deleted_while_listing_is_left_out(local: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    local.write("a", b"")
    local.write("b", b"")
    is_file = Path.is_file

    def then_deleted(path: Path) -> bool:
        found = is_file(path)
        if path.name == "a":
            path.unlink()
        return found

    monkeypatch.setattr(Path, "is_file", then_deleted)
    assert keys(local) == ["b"]


# --- S3


class _Body(io.BytesIO):
    def stream(self) -> Iterator[bytes]:
        yield self.read()


def answer(status: int, code: str) -> AWSResponse:
    """What S3 says when it refuses."""
    body = f"<Error><Code>{code}</Code><Message>told so</Message></Error>".encode()
    return AWSResponse("http://s3", status, {"Content-Type": "application/xml"}, _Body(body))


Hooked = Callable[[str, Callable[..., Any]], S3Storage]


@pytest.fixture
def hooked(bucket: str, s3_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Hooked:
    """Make a store whose requests of one operation pass a hook: it returns an answer, raises, or lets them go."""

    def make(operation: str, hook: Callable[..., Any]) -> S3Storage:
        def client(settings: Settings) -> Any:
            made = s3_client(settings)
            made.meta.events.register(f"before-send.s3.{operation}", hook)
            return made

        monkeypatch.setattr(storage_s3, "s3_client", client)
        return S3Storage(f"s3://{bucket}/pre", s3_settings)

    return make


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Retries follow at once; the pauses that were asked for."""
    pauses: list[float] = []
    monkeypatch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=pauses.append))
    monkeypatch.setattr(storage_s3, "time", SimpleNamespace(sleep=pauses.append))
    return pauses


@pytest.mark.s3
def test_an_upload_that_was_never_completed_is_found_and_given_up(bucket: str, s3_settings: Settings) -> None:
    client = s3_client(s3_settings)
    for key in ("runs/jobs/a/part.tar", "other/jobs/a/part.tar"):
        client.create_multipart_upload(Bucket=bucket, Key=key)
    storage = S3Storage(f"s3://{bucket}/runs", s3_settings)
    [found] = storage.unfinished("")
    assert (found.key, found.id != "") == ("jobs/a/part.tar", True)
    assert 0 < found.begun_at < time.time()
    assert storage.unfinished("jobs/b") == []
    for _ in range(2):
        storage.abandon(found)
    assert storage.unfinished("") == []
    assert len(client.list_multipart_uploads(Bucket=bucket)["Uploads"]) == 1


@pytest.mark.s3
@pytest.mark.parametrize("uri", ["s3://{}/runs", "s3://{}/runs/", "s3://{}/runs//"])
def test_a_prefix_does_not_leak_into_a_sibling(uri: str, bucket: str, s3_settings: Settings) -> None:
    storage = S3Storage(uri.format(bucket), s3_settings)
    sibling = S3Storage(f"s3://{bucket}/runs2", s3_settings)
    storage.write("a", b"mine")
    sibling.write("a", b"theirs")
    sibling.write("b", b"theirs")
    assert keys(storage) == ["a"] and storage.read("a") == b"mine"
    assert not storage.exists("b")
    assert keys(S3Storage(f"s3://{bucket}", s3_settings)) == ["runs/a", "runs2/a", "runs2/b"]


@pytest.mark.s3
def test_a_missing_bucket_is_named(s3_settings: Settings, tmp_path: Path) -> None:
    storage = S3Storage("s3://nowhere-at-all/pre", s3_settings)
    source = tmp_path / "source"
    source.touch()
    calls: list[Callable[[], object]] = [
        lambda: storage.read("a"),
        lambda: storage.write("a", b""),
        lambda: storage.create("a", b""),
        lambda: storage.upload(source, "a"),
        lambda: storage.list(""),
        lambda: storage.delete("a"),
    ]
    for call in calls:
        with pytest.raises(StorageError, match=r"s3://nowhere-at-all/pre.*: the bucket does not exist; make it"):
            call()


@pytest.mark.usefixtures("no_backoff")
def test_a_wrong_endpoint_is_a_storage_error_that_says_what_to_check(free_port: int) -> None:
    settings = Settings(s3_endpoint=f"http://127.0.0.1:{free_port}", s3_region="us-east-1")
    with pytest.raises(StorageError, match=f"{free_port}.*; check endpoint, region, profile and network"):
        S3Storage("s3://bucket/pre", settings).write("a", b"")


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def test_an_endpoint_that_is_no_url_is_refused() -> None:
    with pytest.raises(UsageError, match="s3_endpoint: Invalid endpoint: nonsense; give a URL"):
        S3Storage("s3://bucket/pre", Settings(s3_endpoint="nonsense", s3_region="us-east-1"))


def test_an_unknown_profile_is_a_storage_error() -> None:
    with pytest.raises(StorageError, match=r"\(nobody\) could not be found; check endpoint, region, profile"):
        S3Storage("s3://bucket/pre", Settings(s3_profile="nobody", s3_region="us-east-1"))


@pytest.mark.s3
def test_a_refused_access_says_what_to_check_and_not_the_credential(hooked: Hooked, tmp_path: Path) -> None:
    storage = hooked("PutObject", lambda **_: answer(403, "AccessDenied"))
    source = tmp_path / "source"
    source.touch()
    calls: list[Callable[[], None]] = [lambda: storage.write("a", b""), lambda: storage.upload(source, "a")]
    for call in calls:
        with pytest.raises(StorageError, match=r"a: access refused \(AccessDenied\); check the credentials") as caught:
            call()
        assert "testing" not in str(caught.value)


@pytest.mark.s3
@pytest.mark.parametrize("method", ["write", "create"])
def test_two_server_errors_are_retried_before_success(hooked: Hooked, method: str, no_backoff: list[float]) -> None:
    answers = [answer(500, "InternalError"), answer(503, "ServiceUnavailable")]
    storage = hooked("PutObject", lambda **_: answers.pop() if answers else None)
    assert getattr(storage, method)("a", b"at last") in (None, True)
    assert storage.read("a") == b"at last"
    assert len(no_backoff) == 2


@pytest.mark.s3
@pytest.mark.usefixtures("no_backoff")
def test_a_server_error_that_stays_is_a_storage_error_and_leaves_the_old_object(hooked: Hooked) -> None:
    failing = False
    storage = hooked("PutObject", lambda **_: answer(500, "InternalError") if failing else None)
    storage.write("a", b"old")
    failing = True
    with pytest.raises(StorageError, match="a: the store answered InternalError"):
        storage.write("a", b"new")
    assert storage.read("a") == b"old"


@pytest.mark.s3
@pytest.mark.usefixtures("no_backoff")
def test_a_connection_lost_while_writing_leaves_the_old_object(hooked: Hooked) -> None:
    failing = False

    def cut(**_: Any) -> None:
        if failing:
            raise ConnectionClosedError(endpoint_url="http://s3")

    storage = hooked("PutObject", cut)
    storage.write("a", b"old")
    failing = True
    with pytest.raises(StorageError, match="Connection was closed"):
        storage.write("a", b"new")
    assert storage.read("a") == b"old" and keys(storage) == ["a"]


@pytest.mark.s3
@pytest.mark.usefixtures("no_backoff")
def test_a_conflict_of_creators_is_tried_again(hooked: Hooked) -> None:
    answers = [answer(409, "ConditionalRequestConflict")] * 2
    storage = hooked("PutObject", lambda **_: answers.pop() if answers else None)
    assert storage.create("a", b"mine") is True
    sent: list[int] = []

    def conflict(**_: Any) -> AWSResponse:
        sent.append(1)
        return answer(409, "ConditionalRequestConflict")

    storage = hooked("PutObject", conflict)
    with pytest.raises(StorageError, match="ConditionalRequestConflict"):
        storage.create("b", b"")
    assert len(sent) == storage_s3.MAX_ATTEMPTS


@pytest.mark.parametrize("given", ["soon", "0", "-1", "inf", "nan"])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match=f"s3_timeout: a number of seconds above 0, got '{given}'"):
        s3_client(Settings(s3_region="us-east-1", s3_timeout=given))
