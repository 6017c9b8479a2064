"""Which pictures belong together, and the split that never parts them."""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Collection, Mapping

import regex

from anomaly_gan.samples.index import NORMAL, Split
from anomaly_gan.samples.path_names import plain
from infra.errors import DataError, UsageError

Grouping = Callable[[str], str]
"""Path of a picture -> its group; raises DataError where the picture has none."""

ATTEMPTS = 16
"""Orders of the groups that `split_by_group` tries; the one closest to the wanted share wins."""

MATCH_TIMEOUT_SEC = 0.5
"""A pattern that takes longer on one path tries more ways than there is time for."""


def own_group(path: str) -> str:
    """Every picture is a group of its own."""
    return path


def csv_grouping(text: str, column: str, name: str) -> Grouping:
    """Groups from a table with a column `path`, relative to the imported folder, with slashes of either kind.

    Args:
        text: the CSV file, with a header line.
        column: the column of the group.
        name: how messages call the file.

    Raises:
        UsageError: a column is missing.
        DataError: a path stands in two groups, or the text is no CSV.
    """
    rows = csv.DictReader(io.StringIO(text, newline=""))
    groups: dict[str, str] = {}
    try:
        columns = rows.fieldnames or []
        for needed in ("path", column):
            if needed not in columns:
                raise UsageError(f"--groups {name}: has no column {needed!r}, only {', '.join(columns)}; name one")
        for row in rows:
            path, group = plain(row["path"] or ""), row[column]
            if groups.setdefault(path, group) != group:
                raise DataError(f"{name}: {path} stands in two groups; keep one")
    except csv.Error as err:
        raise DataError(f"{name}: line {rows.line_num + 1}: is no CSV ({err}); mend it") from err

    def group_of(path: str) -> str:
        group = groups.get(plain(path))
        if not group:
            raise DataError(f"{path}: has no group in {name}; add a line for it")
        return group

    return group_of


def regex_grouping(pattern: str) -> Grouping:
    """Groups from the path: the pattern's first capture group, else all that it matches.

    Raises:
        UsageError: the pattern is no regular expression; or, on a path, it takes too long.
    """
    try:
        compiled = regex.compile(pattern)
    except (regex.error, OverflowError, RecursionError) as err:
        raise UsageError(f"--groups {shortened(pattern)}: neither a CSV file nor a regular expression ({err})") from err

    def group_of(path: str) -> str:
        try:
            match = compiled.search(path, timeout=MATCH_TIMEOUT_SEC)
        except TimeoutError as err:
            told = f"takes more than {MATCH_TIMEOUT_SEC} s on {path}; write it without nested repeats"
            raise UsageError(f"--groups {shortened(pattern)}: {told}") from err
        group = match and match.group(1 if compiled.groups else 0)
        if not group:
            raise DataError(f"{path}: has no group, --groups {shortened(pattern)} does not match it; mend the pattern")
        return str(group)

    return group_of


def shortened(pattern: str) -> str:
    """The pattern as messages show it."""
    return repr(pattern if len(pattern) <= 80 else f"{pattern[:80]}…")


def split_by_group(
    pictures: Mapping[str, tuple[str, Collection[str]]], *, test_fraction: float = 0.25, seed: int = 0
) -> dict[str, Split]:
    """Put whole groups into train or test so that every class has about its share of pictures in test.

    Args:
        pictures: key -> (group, classes); no class = normal.
        test_fraction: wanted share of the test split, by pictures, in (0, 1).
        seed: decides between equally good splits; the same input gives the same split.

    Returns:
        key -> split; every class, and normal, has at least one group in each.

    Raises:
        DataError: no normal picture, or a class with fewer than 2 groups, or groups that tie classes together
            so that no split exists.
    """
    groups: dict[str, Counter[str]] = {}
    for group, classes in pictures.values():
        groups.setdefault(group, Counter()).update(classes or (NORMAL,))
    strata = _strata(groups)
    best: tuple[float, set[str]] | None = None
    for attempt in range(ATTEMPTS):
        test = _draw_test(groups, strata, test_fraction, f"{seed}:{attempt}")
        missed = _distance(groups, strata, test, test_fraction)
        if missed is not None and (best is None or missed < best[0]):
            best = (missed, test)
    if best is None:
        raise DataError(
            "groups: tie the classes together so that no split gives every class a group in train and in"
            " test; add groups or use finer ones"
        )
    return {key: "test" if group in best[1] else "train" for key, (group, _) in pictures.items()}


def first_pictures(groups: Mapping[str, str], count: int) -> set[str]:
    """So many pictures, group after group, as if only these were known; fewer of them are always among more.

    The order of the groups, and of the pictures within one, is by a hash of their names: it depends neither on the
    order of the pictures nor on which others there are. Only the last group may be cut, where the count falls in it.

    Args:
        groups: key -> group.
        count: how many; all where there are no more.
    """

    def rank(text: str) -> bytes:
        return hashlib.sha256(text.encode()).digest()

    ordered = sorted(groups, key=lambda key: (rank(groups[key]), groups[key], rank(key), key))
    return set(ordered[:count])


def _strata(groups: Mapping[str, Counter[str]]) -> dict[str, list[str]]:
    """Class or "normal" -> its groups, rarest first."""
    strata: dict[str, list[str]] = {NORMAL: []}
    for group, classes in groups.items():
        for name in classes:
            strata.setdefault(name, []).append(group)
    if not strata[NORMAL]:
        raise DataError("no normal pictures: the method learns from them; add some (see the format's layout)")
    for name, members in sorted(strata.items()):
        if len(members) < 2:
            raise DataError(
                f"class {name}: has only one group ({members[0]!r}), so it cannot be in train and in test;"
                f" add pictures of another group{'' if name == NORMAL else f', or --leave-out {name}'}"
            )
    return dict(sorted(strata.items(), key=lambda item: (len(item[1]), item[0])))


def _draw_test(
    groups: Mapping[str, Counter[str]], strata: Mapping[str, list[str]], fraction: float, salt: str
) -> set[str]:
    order = sorted(groups, key=lambda group: hashlib.sha256(f"{salt}:{group}".encode()).digest())
    rank = {group: i for i, group in enumerate(order)}
    test: set[str] = set()
    in_train = {name: len(members) for name, members in strata.items()}
    for name, members in strata.items():
        wanted = fraction * sum(groups[group][name] for group in members)
        taken = sum(groups[group][name] for group in members if group in test)
        free = sorted((group for group in members if group not in test), key=rank.__getitem__)
        if not taken:  # whatever its size, one group has to go
            free.sort(key=lambda group: groups[group][name] > wanted)
        for group in free:
            fits = taken + groups[group][name] / 2 <= wanted or not taken
            if fits and all(in_train[other] > 1 for other in groups[group]):
                test.add(group)
                taken += groups[group][name]
                for other in groups[group]:
                    in_train[other] -= 1
    return test


def _distance(
    groups: Mapping[str, Counter[str]], strata: Mapping[str, list[str]], test: set[str], fraction: float
) -> float | None:
    """Sum over the classes of |share in test - wanted share|; None where a class misses a split."""
    total = 0.0
    for name, members in strata.items():
        chosen = [group for group in members if group in test]
        if not chosen or len(chosen) == len(members):
            return None
        pictures = sum(groups[group][name] for group in members)
        total += abs(sum(groups[group][name] for group in chosen) / pictures - fraction)
    return total
