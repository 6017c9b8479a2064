"""`agan masks build`: prior and expert masks, regions, anchors and rules -> a version of a mask pool."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from anomaly_gan.masks.learning.rationality_fit import fit_rationality
from anomaly_gan.masks.pool.index import (
    MASK_MEMBER,
    REGION_KEY,
    AnchorEntry,
    ElementEntry,
    MaskPoolIndex,
    PoolClass,
    region_key,
)
from anomaly_gan.masks.pool.pool import MIN_ELEMENT_PX, Element, Mask, MaskPool, build_pool, cut_elements
from anomaly_gan.progress import Progress, unreported
from anomaly_gan.samples.index import DatasetIndex, ShardEntry
from anomaly_gan.samples.sample import Sample, encode_png
from infra.errors import DataError
from infra.settings import Settings
from infra.storage.digest import sha256
from infra.storage.protocol import Storage
from infra.storage.shards import Members, write_shards
from jobs.library.datasets.store import load_index, load_samples
from jobs.library.maskpools.experts import read_experts
from jobs.library.maskpools.places import Places, read_places
from jobs.library.maskpools.rules import read_rules, rules_for, warnings_of
from jobs.library.maskpools.store import SHELF
from jobs.library.shelf import INDEX


@dataclass(frozen=True)
class PoolSources:
    """What a pool is built from.

    Attributes:
        dataset: NAME or NAME@VERSION.
        experts: folders of drawn masks.
        allowed, forbidden: a picture for all, or a folder of pictures for each; path or URL.
        anchors: CSV file or folder of annotations; path or URL.
        rules: YAML or JSON file: class -> keys of `MaskConfig`.
        seed: of what is learnt of real placements.
    """

    dataset: str
    experts: Sequence[str] = ()
    allowed: str | None = None
    forbidden: str | None = None
    anchors: str | None = None
    rules: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class BuildResult:
    """What a build did.

    Attributes:
        index: of the version that is now the latest.
        warnings: one sentence each.
        already_there: the store held this very version before.
    """

    index: MaskPoolIndex
    warnings: list[str]
    already_there: bool


@dataclass
class _Gathered:
    classes: dict[str, PoolClass] = field(default_factory=dict)
    elements: dict[str, list[Element]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def build_mask_pool(
    storage: Storage, name: str, sources: PoolSources, settings: Settings, on_progress: Progress = unreported
) -> BuildResult:
    """Build a version of mask pool `name`, and make it the latest.

    Args:
        on_progress: called after each class.

    Raises:
        UsageError, NotFoundError: a bad name, rule, file or data set.
        DataError: a bad drawing, region or anchor, or a class without a mask; names the file and what to do.
    """
    SHELF.check_name(name)
    dataset = load_index(storage, sources.dataset)
    rules = read_rules(sources.rules, dataset.classes)
    places = read_places(dataset, sources.allowed, sources.forbidden, sources.anchors, settings)
    drawn = read_experts(sources.experts, dataset, settings)
    samples = load_samples(storage, dataset, split="train", normal=False)
    gathered = _Gathered(warnings=drawn.warnings)
    for done, class_name in enumerate(dataset.classes, start=1):
        prior, about, warnings = _learn(samples, class_name, rules.get(class_name, {}), places, sources.seed)
        elements = [*prior, *drawn.elements[class_name]]
        if not elements:
            raise DataError(
                f"mask pool: class {class_name} has no training mask of {MIN_ELEMENT_PX} px or more, and no expert drew"
                " one; draw some and name their folder with --expert, or import at a higher resolution"
            )
        gathered.classes[class_name], gathered.elements[class_name] = about, elements
        gathered.warnings += warnings
        on_progress(done, len(dataset.classes))
    index, shards = _pack(name, dataset, samples, gathered, places)
    already_there = storage.exists(SHELF.key(index, INDEX))
    for entry, data in shards:
        storage.write(SHELF.key(index, entry.name), data)
    SHELF.publish(storage, index)
    return BuildResult(index, gathered.warnings, already_there)


def _learn(
    samples: Sequence[Sample], class_name: str, given: Mapping[str, Any], places: Places, seed: int
) -> tuple[list[Element], PoolClass, list[str]]:
    """(prior elements, what is known of the class, warnings); with no training mask of it nothing is known."""
    known = any(class_name in sample.masks and cut_elements(sample, class_name) for sample in samples)
    prior = build_pool(samples, class_name) if known else MaskPool(class_name, ())
    learnt = fit_rationality(samples, class_name, seed=seed) if known else None
    rules = rules_for(class_name, given, places, learnt)
    about = PoolClass(rules=rules, part_counts=prior.part_counts, severity=prior.severity, rationality=learnt)
    return list(prior.elements), about, warnings_of(class_name, rules, places, learnt)


def _pack(
    name: str, dataset: DatasetIndex, samples: Sequence[Sample], gathered: _Gathered, places: Places
) -> tuple[MaskPoolIndex, list[tuple[ShardEntry, bytes]]]:
    shards: list[tuple[ShardEntry, bytes]] = []
    held_by: dict[str, str] = {}
    for number, shard in enumerate(write_shards(_members(gathered, places))):
        file = f"pool-{number:06d}.tar"
        entry = ShardEntry(name=file, sha256=sha256(shard.data), size_bytes=len(shard.data), samples=len(shard.offsets))
        shards.append((entry, shard.data))
        held_by |= dict.fromkeys(shard.offsets, file)
    groups = {sample.key: str(sample.meta["group"]) for sample in samples}
    index = MaskPoolIndex(
        name=name,
        version="",
        dataset=f"{dataset.name}@{dataset.version}",
        resolution=dataset.resolution,
        classes=gathered.classes,
        elements=tuple(
            _describe(element, class_name, groups.get(element.source), held_by[element.id])
            for class_name, elements in gathered.elements.items()
            for element in elements
        ),
        has_region=places.region is not None,
        regions=tuple(sorted(places.regions)),
        anchors=tuple(
            AnchorEntry(sample=sample, class_name=class_name, boxes=tuple(boxes))
            for (sample, class_name), boxes in sorted(places.anchors.items())
        ),
        shards=tuple(entry for entry, _ in shards),
    )
    return index.with_version(), shards


def _members(gathered: _Gathered, places: Places) -> Iterator[tuple[str, Members]]:
    every = (element for elements in gathered.elements.values() for element in elements)
    masks = {element.id: element.png for element in every}  # two classes may share an element
    yield from ((key, {MASK_MEMBER: png}) for key, png in masks.items())
    if places.region is not None:
        yield REGION_KEY, {MASK_MEMBER: _png(places.region)}
    yield from ((region_key(key), {MASK_MEMBER: _png(mask)}) for key, mask in sorted(places.regions.items()))


def _png(mask: Mask) -> bytes:
    return encode_png(mask * np.uint8(255))


def _describe(element: Element, class_name: str, group: str | None, shard: str) -> ElementEntry:
    height, width = element.mask.shape
    return ElementEntry(
        id=element.id,
        class_name=class_name,
        origin="expert" if element.is_expert else "prior",
        source=element.source,
        group=None if element.is_expert else group,
        left=element.left,
        top=element.top,
        width=width,
        height=height,
        area_px=element.area_px,
        sha256=element.sha256,
        shard=shard,
    )
