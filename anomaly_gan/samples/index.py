"""The index of a data set: what is in it, where, and the digests that prove it."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, Self

from pydantic import Field

from anomaly_gan.records import Record
from anomaly_gan.samples.sample import IMAGE_MEMBER, META_MEMBER, Sample

NORMAL = "normal"
"""How counts and messages call pictures without anomaly; no class may have this name."""

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")


class VersionedModel(Record):
    """An index that its own content names; it has a field `version`."""

    def content_digest(self) -> str:
        """First 12 hex digits of the sha256 of everything but `version`."""
        return hashlib.sha256(self.model_dump_json(exclude=self._not_hashed()).encode()).hexdigest()[:12]

    def _not_hashed(self) -> set[str]:
        """Fields that are no part of the digest: a field that came later and is empty leaves a version as it was."""
        return {"version"}

    def with_version(self) -> Self:
        return self.model_copy(update={"version": self.content_digest()})


class SampleEntry(Record):
    """One sample.

    Attributes:
        key: unique in the data set.
        classes: of its masks; empty for a normal picture.
        group: pictures of one group never stand in both splits.
        source: path of the picture in the imported folder.
        shard: file name of its shard.
        offset: byte offset of its first tar header in the shard.
        image_sha256: of the member image.png.
        mask_sha256: class -> of the member mask.<class>.png.
        mask_area_px: class -> anomalous pixels.
    """

    key: str
    split: Split
    classes: tuple[str, ...]
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    group: str
    source: str
    shard: str
    offset: int = Field(ge=0)
    image_sha256: str
    mask_sha256: dict[str, str]
    mask_area_px: dict[str, int]

    @property
    def is_normal(self) -> bool:
        return not self.classes


class ShardEntry(Record):
    name: str
    sha256: str
    size_bytes: int
    samples: int


class SkippedEntry(Record):
    """A bad item that the import went on without."""

    path: str
    reason: str


class DatasetIndex(VersionedModel):
    """Everything that is known of one version of a data set, except the pixels.

    Attributes:
        version: first 12 hex digits of the sha256 of the other fields.
        resolution: side of the square that every picture was resized to; None = native sizes.
        gray: every picture has one channel.
        classes: sorted.
        counts: split -> class or "normal" -> pictures; a picture counts once for each of its classes.
        test_fraction: wanted share of the test split.
        seed: of the split.
        samples: in the order of the shards.
        reading: options of the import that say how pictures and masks were read, where they are not the default.
    """

    schema_version: Literal[1] = 1
    name: str
    version: str
    resolution: int | None
    gray: bool
    classes: tuple[str, ...]
    counts: dict[Split, dict[str, int]]
    test_fraction: float
    seed: int
    shards: tuple[ShardEntry, ...]
    samples: tuple[SampleEntry, ...]
    skipped: tuple[SkippedEntry, ...] = ()
    reading: dict[str, str] = Field(default={})

    def _not_hashed(self) -> set[str]:
        return {"version"} if self.reading else {"version", "reading"}

    def select(
        self,
        *,
        split: Split | None = None,
        classes: Iterable[str] | None = None,
        normal: bool = True,
    ) -> tuple[SampleEntry, ...]:
        """Entries in index order.

        Args:
            split: None = both.
            classes: take a sample that has one of these; None = any class, () = no anomalous sample.
            normal: take normal samples too.
        """
        wanted = set(self.classes if classes is None else classes)
        return tuple(
            entry
            for entry in self.samples
            if (split is None or entry.split == split)
            and (normal if entry.is_normal else bool(wanted.intersection(entry.classes)))
        )


def count(samples: Iterable[SampleEntry], classes: Iterable[str]) -> dict[Split, dict[str, int]]:
    """Pictures per split and class; see `DatasetIndex.counts`."""
    counts: dict[Split, Counter[str]] = {split: Counter() for split in SPLITS}
    for entry in samples:
        counts[entry.split].update(entry.classes or (NORMAL,))
    names = (NORMAL, *sorted(classes))
    return {split: {name: counts[split][name] for name in names} for split in SPLITS}


def mask_member(name: str) -> str:
    return f"mask.{name}.png"


def expected_members(entry: SampleEntry, members: Iterable[str]) -> tuple[set[str], set[str]]:
    """(missing, unknown) among the members of a stored sample; instance maps may be there or not."""
    present = set(members)
    required = {IMAGE_MEMBER, META_MEMBER, *map(mask_member, entry.classes)}
    allowed = required | {f"instances.{name}.png" for name in entry.classes}
    return required - present, present - allowed


def describe(sample: Sample, members: Mapping[str, bytes]) -> SampleEntry:
    """The entry of an encoded sample before it has a place; `sample.meta` must hold its group and source."""
    height, width = sample.image.shape[:2]
    return SampleEntry(
        key=sample.key,
        split="train",
        classes=tuple(sorted(sample.masks)),
        width=width,
        height=height,
        group=sample.meta["group"],
        source=sample.meta["source"],
        shard="",
        offset=0,
        image_sha256=_sha256(members[IMAGE_MEMBER]),
        mask_sha256={name: _sha256(members[mask_member(name)]) for name in sorted(sample.masks)},
        mask_area_px={name: int(mask.sum()) for name, mask in sorted(sample.masks.items())},
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
