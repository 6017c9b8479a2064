"""The scheme of the store's URI decides which store is opened, and the list of stores alone knows the schemes."""

from pathlib import Path

import pytest

from infra.errors import UsageError
from infra.settings import Settings
from infra.storage.local import LocalStorage
from infra.storage.open import STORES, Store, is_absent, is_local, open_storage
from infra.storage.s3 import S3Storage
from tests.support.helpers import MemoryStorage

S3_SETTINGS = Settings(s3_endpoint="http://127.0.0.1:9", s3_region="us-east-1")


def test_the_scheme_decides_the_store(tmp_path: Path) -> None:
    folder = open_storage(Settings(store=str(tmp_path)))
    assert isinstance(folder, LocalStorage) and is_local(folder.uri)
    remote = open_storage(S3_SETTINGS.model_copy(update={"store": "s3://b/p/"}))
    assert isinstance(remote, S3Storage) and remote.uri == "s3://b/p" and not is_local(remote.uri)


@pytest.mark.parametrize("path", ["store", "./store", "~/store", "C:\\store", "./s3:/b", "s3", "/mnt/a:b"])
def test_whatever_has_no_scheme_is_a_folder(path: str) -> None:
    assert is_local(path)
    folder = open_storage(Settings(store=path))
    assert isinstance(folder, LocalStorage) and folder.root == Path(path).expanduser().resolve()


@pytest.mark.parametrize("uri", ["gs://bucket/prefix", "S3://bucket/prefix", "://bucket/prefix/x://"])
def test_an_unknown_scheme_is_refused_with_those_there_are(uri: str) -> None:
    for ask in (lambda: open_storage(Settings(store=uri)), lambda: is_local(uri)):
        with pytest.raises(
            UsageError, match=f"^store '{uri}': unknown scheme; use s3://bucket/prefix or a local folder$"
        ):
            ask()


@pytest.mark.parametrize("uri", ["s3:/bucket", "s3:bucket/x", "S3:/b", "s3//bucket", "file:/tmp/x", "s3n:b"])
def test_what_looks_like_a_scheme_and_is_none_is_refused_and_no_folder_is_made(uri: str) -> None:
    with pytest.raises(UsageError, match=f"^store '{uri}': looks like a scheme, but is none; write s3://bucket/prefix"):
        open_storage(Settings(store=uri))


def test_a_folder_that_is_not_there_is_absent(tmp_path: Path) -> None:
    assert is_absent(str(tmp_path / "gone")) and not is_absent(str(tmp_path)) and not is_absent("s3://b")


def test_a_uri_without_bucket_is_refused() -> None:
    with pytest.raises(UsageError, match="names no bucket"):
        open_storage(Settings(store="s3://"))


def open_toy(uri: str, settings: Settings) -> MemoryStorage:
    return MemoryStorage(uri)


def test_a_toy_store_is_added_through_the_list_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STORES, "toy://", Store("toy://name", f"{__name__}:open_toy", is_local=True))
    storage = open_storage(Settings(store="toy://box"))
    storage.write("a", b"1")
    assert (storage.read("a"), storage.uri, is_local(storage.uri)) == (b"1", "toy://box", True)
    with pytest.raises(UsageError, match="a local folder or toy://name"):
        open_storage(Settings(store="gs://bucket"))
