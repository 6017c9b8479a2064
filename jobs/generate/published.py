"""What a generate job published: its samples, shard by shard, each shard verified when it is read."""

from collections.abc import Iterable, Iterator

from anomaly_gan.samples.provenance import anomalies
from anomaly_gan.samples.sample import Sample
from infra.storage.protocol import Storage
from infra.storage.shards import read_shard
from jobs.record.manifest import Output, load_manifest, read_output

SHARD_PREFIX = "shards/"


def shard_name(task: int) -> str:
    return f"{SHARD_PREFIX}generated-{task:08d}.tar"


def published_shards(storage: Storage, job_id: str) -> list[Output]:
    """The shards in the order of their tasks; raises as `load_manifest`."""
    return [output for output in load_manifest(storage, job_id).outputs if output.name.startswith(SHARD_PREFIX)]


def read_members(storage: Storage, job_id: str, shards: Iterable[Output]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """(key, members) of every sample in order; one shard is in memory at a time.

    Raises:
        DataError: a shard differs from the manifest, or cannot be read.
    """
    for shard in shards:
        yield from read_shard(read_output(storage, job_id, shard), shard.name)


def is_kept(sample: Sample) -> bool:
    """Whether the quality gate kept it with all its anomalies, or there was none."""
    return all(anomaly.get("quality", {}).get("kept", True) for anomaly in anomalies(sample.meta))
