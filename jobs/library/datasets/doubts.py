"""What to tell about an import that went well: how pictures were read, what was left out, what looks alike."""

import posixpath
from collections.abc import Iterable, Mapping

from anomaly_gan.formats.reading.pictures import is_picture
from anomaly_gan.formats.reading.source import SourceTree
from anomaly_gan.samples.index import SampleEntry, Split
from anomaly_gan.samples.near_twins import Hash, near_twins
from jobs.library.datasets.importing import Gathered

NAMED = 3
"""A sentence names at most this many files."""
GROUP_TABLE = "groups.csv"
ANNOTATIONS = (".json", ".xml", ".txt", ".csv")


def doubts(tree: SourceTree, gathered: Gathered, samples: Iterable[SampleEntry], groups: str | None) -> list[str]:
    """What is odd, one sentence each.

    Args:
        tree: what was imported.
        gathered: what reading it gave.
        samples: with their splits.
        groups: what `--groups` said.
    """
    samples, found = list(samples), list(gathered.warnings)
    found += [f"{counted(len(paths), 'picture')} {note} ({named(paths)})" for note, paths in gathered.notes.items()]
    unused = _unused(tree, gathered.files, groups)
    pictures = [path for path in unused if is_picture(path)]
    if pictures:
        found.append(f"{tree.url}: left out, pictures that belong to no item: {len(pictures)} ({named(pictures)})")
    tables = filter(_is_group_table, unused)
    found += [f"{path}: is not used; give --groups {path} to keep its groups in one split" for path in tables]
    if len(gathered.dimensions) > 1:
        found.append(f"{tree.url}: holds grey and colour pictures; the data set counts as colour")
    return found + twins(samples) + near_duplicates(samples, gathered.looks)


def left_out(tree: SourceTree, gathered: Gathered, groups: str | None) -> list[str]:
    """What else lies in the tree and is no part of the data set: a clause for each reason; see `doubts`."""
    others = [
        path for path in _unused(tree, gathered.files, groups) if not is_picture(path) and not _is_group_table(path)
    ]
    reasons = {
        "annotation files that are not read": [path for path in others if path.lower().endswith(ANNOTATIONS)],
        "files that are no pictures": [path for path in others if not path.lower().endswith(ANNOTATIONS)],
    }
    for path, why in tree.left_out():
        reasons.setdefault(why, []).append(path)
    return [f"{why}: {len(paths)} ({named(paths)})" for why, paths in reasons.items() if paths]


def _unused(tree: SourceTree, used: set[str], groups: str | None) -> list[str]:
    table = posixpath.normpath((groups or "").rpartition(".csv")[0] + ".csv")
    return [path for path in tree.paths() if path not in used and path != table]


def _is_group_table(path: str) -> bool:
    return posixpath.basename(path).lower() == GROUP_TABLE


def twins(samples: Iterable[SampleEntry]) -> list[str]:
    """Equal pictures in both splits, or with and without an anomaly."""
    found = []
    seen: dict[str, SampleEntry] = {}
    for entry in samples:
        twin = seen.setdefault(entry.image_sha256, entry)
        if twin.split != entry.split:
            found.append(f"{twin.source} and {entry.source} are the same picture in both splits; give --groups")
        if twin.is_normal != entry.is_normal:
            found.append(f"{twin.source} and {entry.source} are the same picture, once normal and once not; keep one")
    return found


def near_duplicates(samples: Iterable[SampleEntry], looks: Mapping[str, Hash]) -> list[str]:
    """Pictures of the test split that look like one of the training split, equal ones apart."""
    seen: dict[Split, dict[str, Hash]] = {"train": {}, "test": {}}
    by_key = {entry.key: entry for entry in samples}
    for key, entry in by_key.items():
        if key in looks:
            seen[entry.split][key] = looks[key]
    alike = [
        f"{by_key[key].source} and {by_key[other].source}"
        for key, other in near_twins(seen["test"], seen["train"]).items()
        if by_key[key].image_sha256 != by_key[other].image_sha256
    ]
    if not alike:
        return []
    return [
        f"{counted(len(alike), 'picture')} of the test split nearly equal one of the training split ({named(alike)});"
        " give --groups if they are of one part or scene"
    ]


def counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def named(paths: list[str]) -> str:
    rest = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(paths[:NAMED]) + rest
