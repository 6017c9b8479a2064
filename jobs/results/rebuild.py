"""An auditor's question: does one image of a generate job come out the same again, from nothing but its record?"""

from dataclasses import dataclass

from anomaly_gan.samples.sample import IMAGE_MEMBER, decode_sample, encode_sample
from infra.errors import NotFoundError, UsageError
from infra.settings import Settings
from infra.storage.open import open_storage
from infra.storage.shards import read_shard
from jobs.generate.published import shard_name
from jobs.generate.shard_maker import ShardMaker
from jobs.record.context import JobContext, load_spec_of
from jobs.record.manifest import load_manifest, read_output
from jobs.spec.specs import GenerateSpec


@dataclass(frozen=True)
class Rebuilt:
    """A rebuilt sample.

    Attributes:
        members: file name -> bytes, as in the shard.
        differing: the members whose bytes are not those of the job; empty = the same.
    """

    key: str
    members: dict[str, bytes]
    differing: tuple[str, ...]


def rebuild(settings: Settings, job_id: str, index: int) -> Rebuilt:
    """Make image `index` again, and compare it with what the job published.

    Raises:
        NotFoundError: no such job, or it has not succeeded.
        UsageError: it is no generate job, or has no such image.
    """
    storage = open_storage(settings)
    spec = load_spec_of(GenerateSpec, storage, job_id, f"job {job_id}:")
    if not 0 <= index < spec.count:
        raise UsageError(f"index: job {job_id} has images 0 to {spec.count - 1}, got {index}")
    name = shard_name(index // spec.images_per_shard)
    output = next((one for one in load_manifest(storage, job_id).outputs if one.name == name), None)
    if output is None:
        raise NotFoundError(f"job {job_id}: its manifest has no {name}")
    shard = dict(read_shard(read_output(storage, job_id, output), name))
    metas = [decode_sample(key, published).meta for key, published in shard.items()]
    records = {meta["index"]: meta for meta in metas}
    made = ShardMaker(JobContext(job_id, spec, settings, storage)).rebuild(index, records).sample
    members, stored = encode_sample(made), shard[made.key]
    differing = tuple(member for member in sorted({*members, *stored}) if members.get(member) != stored.get(member))
    return Rebuilt(made.key, members, differing)


def picture(rebuilt: Rebuilt) -> bytes:
    """The PNG of a rebuilt sample's picture."""
    return rebuilt.members[IMAGE_MEMBER]
