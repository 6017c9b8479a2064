"""Does a stored sample still match its index entry?"""

from collections.abc import Mapping

from anomaly_gan.samples.index import DatasetIndex, SampleEntry, count, describe, expected_members
from anomaly_gan.samples.sample import decode_sample
from infra.errors import DataError


def check_index(index: DatasetIndex) -> list[str]:
    """What is wrong with the index by itself: its version, counts, keys and groups; empty = nothing."""
    problems = []
    if index.version != index.content_digest():
        problems.append(f"index.json: its content is not that of version {index.version}; it was changed by hand")
    if index.counts != count(index.samples, index.classes):
        problems.append("index.json: the counts differ from the samples listed")
    if len({entry.key for entry in index.samples}) != len(index.samples):
        problems.append("index.json: a key is listed twice")
    groups = {split: {entry.group for entry in index.select(split=split)} for split in ("train", "test")}
    for group in sorted(groups["train"] & groups["test"]):
        problems.append(f"index.json: group {group!r} stands in train and in test")
    for shard in index.shards:
        listed = sum(entry.shard == shard.name for entry in index.samples)
        if listed != shard.samples:
            problems.append(f"index.json: {shard.name} has {shard.samples} samples, {listed} are listed")
    return problems


def check_sample(entry: SampleEntry, members: Mapping[str, bytes]) -> list[str]:
    """What is wrong with a stored sample: its members, digests, masks, sizes and areas; empty = nothing."""
    where = f"{entry.shard}: sample {entry.key}"
    missing, unknown = expected_members(entry, members)
    if missing:
        return [f"{where}: has no {', '.join(sorted(missing))}"]
    if unknown:
        return [f"{where}: has {', '.join(sorted(unknown))}, which the index does not list"]
    try:
        sample = decode_sample(entry.key, members)
        found = describe(sample, members)
    except (DataError, ValueError, KeyError) as err:  # ValueError, KeyError: a damaged meta.json
        return [f"{where}: cannot be decoded ({err})"]
    place = {"split": entry.split, "shard": entry.shard, "offset": entry.offset}
    stated, seen = entry.model_dump(), found.model_dump() | place
    problems = [
        f"{where}: {field} is {seen[field]}, the index says {stated[field]}"
        for field in stated
        if seen[field] != stated[field]
    ]
    problems += [f"{where}: the mask of {name} is empty" for name, mask in sample.masks.items() if not mask.any()]
    return problems
