import io
import subprocess
import sys
import tarfile

import pytest

from infra.errors import DataError
from infra.storage.digest import sha256
from infra.storage.shards import read_shard, write_shard, write_shards
from tests.support.helpers import ROOT

SAMPLES = [(f"s{i}", {"image.png": bytes([i]) * 700, "meta.json": b"{}"}) for i in range(5)]


def tar_of(*names: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.type = kind
            member.linkname = "/etc/passwd" if kind != tarfile.REGTYPE else ""
            tar.addfile(member, io.BytesIO())
    return stream.getvalue()


def test_a_shard_reads_back_in_order_with_every_byte() -> None:
    assert list(read_shard(write_shard(SAMPLES).data, "x.tar")) == SAMPLES


def test_the_same_samples_give_the_same_bytes() -> None:
    reordered = [(key, dict(reversed(members.items()))) for key, members in SAMPLES]
    assert write_shard(SAMPLES).data == write_shard(reordered).data


def test_offsets_point_at_the_first_header_of_each_sample() -> None:
    shard = write_shard(SAMPLES)
    for key, members in SAMPLES:
        with tarfile.open(fileobj=io.BytesIO(shard.data[shard.offsets[key] :])) as tar:
            first = tar.next()
            assert first is not None and first.name == f"{key}.{min(members)}"


def test_shards_close_before_they_pass_the_limit() -> None:
    shards = list(write_shards(SAMPLES, max_bytes=1500))
    assert [list(shard.offsets) for shard in shards] == [["s0", "s1"], ["s2", "s3"], ["s4"]]
    assert [list(shard.offsets) for shard in write_shards(SAMPLES, max_bytes=1)] == [[k] for k, _ in SAMPLES]
    assert list(write_shards([])) == []


@pytest.mark.parametrize("key", ["a.b", "a/b", "../a", "", "-a", "ä"])
def test_a_key_that_could_not_be_read_back_is_refused(key: str) -> None:
    with pytest.raises(DataError, match="sample key"):
        write_shard([(key, {"meta.json": b""})])


def test_a_changed_shard_is_refused_by_name() -> None:
    data = write_shard(SAMPLES).data
    list(read_shard(data, "x.tar", sha256(data)))
    with pytest.raises(DataError, match=r"^x.tar: sha256 differs from the index"):
        list(read_shard(data[:600] + b"?" + data[601:], "x.tar", sha256(data)))


@pytest.mark.parametrize("name", ["../../etc/x.png", "/etc/x.png", "a/b.png", "noextension", "a b.png"])
def test_a_member_with_an_unsafe_name_is_refused_by_shard(name: str) -> None:
    with pytest.raises(DataError, match=r"^x.tar: "):
        list(read_shard(tar_of(name), "x.tar"))


def test_links_are_never_followed() -> None:
    assert list(read_shard(tar_of("a.png", kind=tarfile.SYMTYPE), "x.tar")) == []


def test_two_members_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match=r"^x.tar: sample a has two members png"):
        list(read_shard(tar_of("a.png", "a.png"), "x.tar"))


def test_reading_imports_neither_webdataset_nor_torch() -> None:
    code = "import sys, infra.storage.shards; sys.exit('torch' in sys.modules or 'webdataset' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_cut_shard_is_refused_by_name() -> None:
    data = write_shard(SAMPLES).data
    with pytest.raises(DataError, match=r"^x.tar: not a readable shard"):
        list(read_shard(data[:900], "x.tar"))
    with pytest.raises(DataError, match=r"^x.tar: sha256 differs"):
        list(read_shard(data[:3000], "x.tar", sha256(data)))


def test_bytes_that_are_no_tar_are_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"^x.tar: not a readable shard"):
        list(read_shard(b"no tar" * 200, "x.tar"))
