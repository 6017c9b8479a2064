"""The index of a stored mask pool: every element and where it is from, the rules, and how experts decided."""

from typing import Literal

from anomaly_gan.config import MaskConfig
from anomaly_gan.masks.pool.pool import Box
from anomaly_gan.masks.pool.severity import Severity
from anomaly_gan.masks.rating.scoring import Scoring
from anomaly_gan.masks.rationality.rationality import Rationality
from anomaly_gan.records import Record
from anomaly_gan.samples.index import ShardEntry, VersionedModel

MASK_MEMBER = "mask.png"
REGION_KEY = "region"
"""Key of the region of every picture; that of one picture has the picture's key behind it."""


class ElementEntry(Record):
    """One element.

    Attributes:
        id: its key in the shard.
        source: key of the sample that it was cut from, or the expert's file and shape.
        group: of that sample; None for an expert's.
        left, top: of its box in the picture it was cut from or drawn on, in px of the data set's scale.
        sha256: of the stored PNG.
        borders: of the picture, that cut it off, as `Element` has them; pools of before know none.
        admitted: whether it is used. All are, until experts have scored the pool.
    """

    id: str
    class_name: str
    origin: Literal["prior", "expert"]
    source: str
    group: str | None
    left: int
    top: int
    width: int
    height: int
    area_px: int
    sha256: str
    shard: str
    admitted: bool = True
    borders: str = ""


class AnchorEntry(Record):
    """Boxes (left, top, width, height) in px, of one class in one picture of the data set."""

    sample: str
    class_name: str
    boxes: tuple[Box, ...]


class PoolClass(Record):
    """What is known of a class.

    Attributes:
        rules: how its elements are placed, where a job does not say otherwise.
        part_counts: how many elements each annotated image has, least first.
        severity, rationality: None where there was nothing to learn from.
    """

    rules: MaskConfig
    part_counts: tuple[int, ...]
    severity: Severity | None
    rationality: Rationality | None


class MaskPoolIndex(VersionedModel):
    """Everything that is known of one version of a mask pool, except the pixels.

    Attributes:
        version: first 12 hex digits of the sha256 of the other fields.
        dataset: NAME@VERSION, from whose training split the prior masks were cut.
        resolution: of the data set: side of its squares in px, None = native sizes.
        classes: by name.
        elements: in the order of the shards.
        has_region: a region of every picture is stored.
        regions: keys of the samples that have a region of their own.
        scoring: None = no expert has rated the pool.
    """

    schema_version: Literal[2] = 2
    name: str
    version: str
    dataset: str
    resolution: int | None
    classes: dict[str, PoolClass]
    elements: tuple[ElementEntry, ...]
    has_region: bool
    regions: tuple[str, ...]
    anchors: tuple[AnchorEntry, ...]
    shards: tuple[ShardEntry, ...]
    scoring: Scoring | None = None

    def select(self, class_name: str, origin: Literal["prior", "expert"] | None = None) -> tuple[ElementEntry, ...]:
        """Elements of a class in index order, admitted or not."""
        return tuple(
            entry for entry in self.elements if entry.class_name == class_name and origin in (None, entry.origin)
        )


def region_key(sample: str) -> str:
    return f"{REGION_KEY}-{sample}"
