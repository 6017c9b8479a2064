from collections.abc import Iterator
from pathlib import Path

import boto3
import fsspec
import pytest

from infra.errors import NotFoundError, StorageError, UsageError
from infra.settings import Settings
from infra.storage.sources import FsspecTree, read_file

FILES = {"b.png": b"b", "sub/a.png": b"a", "sub/.DS_Store": b"", ".git/x": b"", "__MACOSX/b.png": b""}


@pytest.fixture(params=["local", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    root = str(tmp_path / "set") if request.param == "local" else "memory://sources-test/set"
    fs, path = fsspec.url_to_fs(root)
    for name, data in FILES.items():
        fs.makedirs(f"{path}/{name}".rpartition("/")[0], exist_ok=True)
        fs.pipe_file(f"{path}/{name}", data)
    yield root
    fs.rm(path, recursive=True)


def test_paths_are_relative_sorted_and_without_hidden_files(url: str) -> None:
    assert FsspecTree(url, Settings()).paths() == ["b.png", "sub/a.png"]
    assert FsspecTree(f"{url}/", Settings()).paths() == ["b.png", "sub/a.png"]


def test_read_gives_the_bytes_of_a_path(url: str) -> None:
    assert FsspecTree(url, Settings()).read("sub/a.png") == b"a"
    assert read_file(f"{url}/sub/a.png", Settings()) == b"a"


def test_what_is_missing_is_not_found_by_name(url: str) -> None:
    with pytest.raises(NotFoundError, match=r"nowhere: no such folder"):
        FsspecTree(f"{url}/nowhere", Settings())
    with pytest.raises(NotFoundError, match=r"gone.png: no such file"):
        FsspecTree(url, Settings()).read("gone.png")
    with pytest.raises(NotFoundError, match=r"gone.csv: no such file"):
        read_file(f"{url}/gone.csv", Settings())


def test_a_file_in_place_of_a_folder_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"b.png: is a file"):
        FsspecTree(f"{url}/b.png", Settings())


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(UsageError, match="nosuch://x: cannot be opened"):
        FsspecTree("nosuch://x", Settings())


def test_a_read_that_fails_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = FsspecTree(str(tmp_path), Settings())

    def refuse(path: str) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tree._fs, "cat_file", refuse)
    with pytest.raises(StorageError, match=r"x.png: cannot be read \(.*Permission denied"):
        tree.read("x.png")


@pytest.mark.s3
def test_a_folder_in_s3_reads_like_any_other_through_the_settings_endpoint(s3_endpoint: str) -> None:
    settings = Settings(s3_endpoint=s3_endpoint, s3_region="us-east-1")
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    client.create_bucket(Bucket="pictures")
    for name, data in FILES.items():
        client.put_object(Bucket="pictures", Key=f"line-7/{name}", Body=data)
    tree = FsspecTree("s3://pictures/line-7", settings)
    assert tree.paths() == ["b.png", "sub/a.png"]
    assert tree.read("sub/a.png") == b"a"
    assert read_file("s3://pictures/line-7/b.png", settings) == b"b"
    with pytest.raises(NotFoundError, match="line-8"):
        FsspecTree("s3://pictures/line-8", settings)
