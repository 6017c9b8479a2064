"""`agan masks build`: prior and expert masks, regions, anchors and rules -> a version of a mask pool."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from anomaly_gan.config import MaskConfig
from anomaly_gan.data import Sample, encode_png
from anomaly_gan.dataset import DatasetIndex, ShardEntry
from anomaly_gan.formats.experts import read_expert_masks
from anomaly_gan.importing import resize_nearest
from anomaly_gan.masks.index import (
    MASK_MEMBER,
    REGION_KEY,
    AnchorEntry,
    ElementEntry,
    MaskPoolIndex,
    PoolClass,
    region_key,
)
from anomaly_gan.masks.pool import MIN_ELEMENT_PX, Element, Mask, MaskPool, build_pool, crop_element
from anomaly_gan.masks.rationality import Rationality
from anomaly_gan.masks.rationality_fit import fit_rationality
from anomaly_gan.masks.severity import Severity
from infra.digest import sha256
from infra.errors import DataError, UsageError
from infra.settings import Settings
from infra.shards import Members, write_shards
from infra.sources import FsspecTree
from infra.storage import Storage
from jobs.datasets import load_index, load_samples
from jobs.maskpool_places import Places, read_places
from jobs.maskpools import SHELF
from jobs.versions import INDEX

DEFAULT_RATIONALITY = 0.8
"""Of a class whose place is known: each placement is the best of five."""

Progress = Callable[[int, int], None]


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
    storage: Storage, name: str, sources: PoolSources, settings: Settings, progress: Progress | None = None
) -> BuildResult:
    """Build a version of mask pool `name`, and make it the latest.

    Args:
        progress: called with (classes done, classes).

    Raises:
        UsageError, NotFoundError: a bad name, rule, file or data set.
        DataError: a bad drawing, region or anchor, or a class without a mask; names the file and what to do.
    """
    SHELF.check_name(name)
    dataset = load_index(storage, sources.dataset)
    rules = _read_rules(sources.rules, dataset.classes)
    places = read_places(dataset, sources.allowed, sources.forbidden, sources.anchors, settings)
    drawn = _read_experts(sources.experts, dataset, settings)
    samples = load_samples(storage, dataset, split="train", normal=False)
    gathered = _Gathered()
    for done, class_name in enumerate(dataset.classes, start=1):
        prior = build_pool(samples, class_name)
        learnt = fit_rationality(samples, class_name, seed=sources.seed)
        if learnt.auc is None:
            gathered.warnings.append(
                f"class {class_name}: its training pictures are one group, so that what was learnt of its places could"
                " not be checked and is not used; import more groups, or set rationality in --rules"
            )
        gathered.classes[class_name] = PoolClass(
            rules=_rules(rules.get(class_name, {}), class_name, places, learnt),
            part_counts=prior.part_counts,
            severity=_severity(prior),
            rationality=learnt,
        )
        gathered.elements[class_name] = [*prior.elements, *drawn[class_name]]
        if progress is not None:
            progress(done, len(dataset.classes))
    index, shards = _pack(name, dataset, samples, gathered, places)
    already_there = storage.exists(SHELF.key(index, INDEX))
    for entry, data in shards:
        storage.write(SHELF.key(index, entry.name), data)
    SHELF.publish(storage, index)
    return BuildResult(index, gathered.warnings, already_there)


def _read_rules(file: Path | None, classes: Collection[str]) -> dict[str, dict[str, Any]]:
    """Class -> what a file says of its rules, each key checked."""
    if file is None:
        return {}
    try:
        raw = yaml.safe_load(file.read_text())
    except OSError as err:
        raise UsageError(f"--rules {file}: {err.strerror}; name a readable YAML file") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise UsageError(f"--rules {file}: not valid YAML ({str(err).splitlines()[0]}); correct it") from err
    if not isinstance(raw, dict) or not all(isinstance(keys, dict) for keys in raw.values()):
        raise UsageError(f"--rules {file}: expected classes with keys below them, such as crack: {{pose: fixed}}")
    rules = {str(class_name): keys for class_name, keys in raw.items()}
    unknown = sorted(set(rules) - set(classes))
    if unknown:
        raise UsageError(f"--rules {file}: the data set has no class {unknown[0]!r}, only {', '.join(classes)}")
    for class_name, keys in rules.items():
        try:
            MaskConfig.model_validate(keys)
        except ValidationError as err:
            first = err.errors()[0]
            where = ".".join((class_name, *map(str, first["loc"])))
            wrong = f"{first['msg'].removeprefix('Value error, ')}, got {first['input']!r}"
            if first["type"] == "extra_forbidden":
                wrong = f"no such key; there are {', '.join(MaskConfig.model_fields)}"
            elif first["type"] == "value_error":
                wrong = first["msg"].removeprefix("Value error, ")
            raise UsageError(f"--rules {file}: {where}: {wrong}") from err
    return rules


def _rules(given: Mapping[str, Any], class_name: str, places: Places, learnt: Rationality) -> MaskConfig:
    """What a file says, over what suits the class: anchored elements are fixed, places that were proved are used."""
    proved = learnt.auc is not None and learnt.knows_place
    suited: dict[str, Any] = {"rationality": DEFAULT_RATIONALITY if proved else 0.0}
    if any(anchored == class_name for _, anchored in places.anchors):
        suited["pose"] = "fixed"
    return MaskConfig.model_validate({**suited, **given})


def _severity(pool: MaskPool) -> Severity:
    assert pool.severity is not None  # known of every pool that is cut from pictures
    return pool.severity


def _read_experts(folders: Sequence[str], dataset: DatasetIndex, settings: Settings) -> dict[str, list[Element]]:
    """Class -> elements at the data set's scale.

    Raises:
        DataError: a mask is a speck at that scale, or is there twice.
    """
    elements: dict[str, list[Element]] = {name: [] for name in dataset.classes}
    known: set[str] = set()
    for folder in folders:
        tree = FsspecTree(folder, settings)
        for drawn in read_expert_masks(tree, dataset.classes):
            where = f"{tree.url}/{drawn.source}"
            mask = resize_nearest(drawn.mask, dataset.resolution)
            area = np.count_nonzero(mask)
            if area < MIN_ELEMENT_PX:
                raise DataError(
                    f"{where}: covers {area} px at the data set's scale, a shape needs {MIN_ELEMENT_PX}; draw it larger"
                )
            element = crop_element(f"{tree.url.rpartition('/')[2]}/{drawn.source}", mask, is_expert=True)
            if element.id in known:
                raise DataError(f"{where}: was read from another folder of that name already; rename one")
            known.add(element.id)
            elements[drawn.class_name].append(element)
    return elements


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
