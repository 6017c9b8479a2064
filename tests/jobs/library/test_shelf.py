"""What data sets and mask pools have in common in the store; each test runs for both."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.errors import DataError, NotFoundError, UsageError
from jobs.library.datasets import store as datasets
from jobs.library.maskpools import store as maskpools
from tests.support.builders_jobs import put_dataset
from tests.support.builders_masks import built, put_pool
from tests.support.helpers import MemoryStorage


@dataclass(frozen=True)
class Kind:
    """A shelf with one thing on it, named `first`, and how to put another version of it there."""

    shelf: Any
    storage: MemoryStorage
    index: Any

    @property
    def folder(self) -> str:
        return f"{self.shelf.root}first/"

    def another_version(self) -> Any:
        if self.shelf is datasets.SHELF:
            return put_dataset(self.storage, "first", resolution=128)
        return built(self.storage, name="first", seed=1).index


@pytest.fixture(params=["data set", "mask pool"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    storage = MemoryStorage()
    if request.param == "data set":
        return Kind(datasets.SHELF, storage, put_dataset(storage, "first"))
    put_dataset(storage)
    return Kind(maskpools.SHELF, storage, put_pool(storage, tmp_path, name="first"))


def test_the_version_is_the_digest_of_the_rest_of_the_index(kind: Kind) -> None:
    index = kind.index
    assert index.version == index.content_digest() and len(index.version) == 12
    assert index.model_copy(update={"name": "second"}).content_digest() != index.version
    assert json.loads(kind.storage.read(f"{kind.folder}{index.version}/index.json"))["version"] == index.version
    assert json.loads(kind.storage.read(f"{kind.folder}latest.json")) == {"version": index.version}


def test_a_name_means_the_latest_version_and_older_ones_stay(kind: Kind) -> None:
    newer = kind.another_version()
    assert newer.version != kind.index.version
    assert kind.shelf.load(kind.storage, "first") == newer
    assert kind.shelf.load(kind.storage, f"first@{kind.index.version}") == kind.index


def test_publishing_an_older_version_again_makes_it_the_latest(kind: Kind) -> None:
    kind.another_version()
    kind.shelf.publish(kind.storage, kind.index)
    assert kind.shelf.load(kind.storage, "first") == kind.index


def test_names_are_listed_in_their_order_and_only_those_that_were_published(kind: Kind) -> None:
    kind.shelf.publish(kind.storage, kind.index.model_copy(update={"name": "a"}).with_version())
    kind.storage.write(f"{kind.shelf.root}half/0123456789ab/index.json", b"{}")
    assert [name for name in kind.shelf.names(kind.storage) if name != "tiles"] == ["a", "first"]


@pytest.mark.parametrize("name", ["First", "a b", "../first", "", "@1f6c0e9a77b2"])
def test_a_bad_name_is_refused(kind: Kind, name: str) -> None:
    told = f"^{kind.shelf.kind} name: lower-case letters, digits, '_' and '-' only, got '{name.partition('@')[0]}'"
    with pytest.raises(UsageError, match=told):
        kind.shelf.load(kind.storage, name)


def test_an_unknown_version_is_refused_with_those_of_its_name(kind: Kind) -> None:
    with pytest.raises(NotFoundError, match=f"there are: first@{kind.index.version}$"):
        kind.shelf.load(kind.storage, "first@000000000000")
    with pytest.raises(NotFoundError, match=r"there are: first$"):
        kind.shelf.load(kind.storage, "gone@000000000000")


@pytest.mark.parametrize("name", ["gone", "first@000000000000"])
def test_what_is_not_there_is_refused_with_what_is(kind: Kind, name: str) -> None:
    with pytest.raises(NotFoundError, match=f"^{kind.shelf.kind} {name}: not in memory://store; there are: first"):
        kind.shelf.load(kind.storage, name)
    with pytest.raises(NotFoundError, match=r"there are: none$"):
        kind.shelf.load(MemoryStorage(), name)


def test_a_version_that_leads_out_of_the_store_is_refused(kind: Kind) -> None:
    with pytest.raises(UsageError, match="must be a relative path"):
        kind.shelf.load(kind.storage, "first@../../jobs")


@pytest.mark.parametrize("data", [b"[", b"{}", b"[]", b"\xff", b"null"])
def test_a_damaged_pointer_is_refused_but_the_version_can_still_be_named(kind: Kind, data: bytes) -> None:
    kind.storage.write(f"{kind.folder}latest.json", data)
    with pytest.raises(DataError, match=f"^{kind.shelf.kind} first: latest.json is damaged; {kind.shelf.remake}$"):
        kind.shelf.load(kind.storage, "first")
    assert kind.shelf.load(kind.storage, f"first@{kind.index.version}") == kind.index


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": None}, "name: Input should be a valid string"),
        ({"schema_version": 9}, "schema_version: Input should be [12]"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
    ],
)
def test_an_index_of_another_form_is_refused_by_its_field(kind: Kind, change: dict[str, Any], told: str) -> None:
    key = f"{kind.folder}{kind.index.version}/index.json"
    kind.storage.write(key, json.dumps(json.loads(kind.storage.read(key)) | change).encode())
    with pytest.raises(DataError) as caught:
        kind.shelf.load(kind.storage, "first")
    assert re.fullmatch(f"{kind.shelf.kind} first: index.json: {told}; {kind.shelf.remake}", str(caught.value))
