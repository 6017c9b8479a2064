import time
import unicodedata
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly_gan.samples.grouping import csv_grouping, first_pictures, own_group, regex_grouping, split_by_group
from infra.errors import DataError, UsageError

Pictures = dict[str, tuple[str, tuple[str, ...]]]


def pictures(normal: int = 12, per_group: int = 1, **classes: int) -> Pictures:
    made: Pictures = {}
    for name, number in {"normal": normal, **classes}.items():
        for i in range(number):
            made[f"{name}{i}"] = (f"{name}-group{i // per_group}", () if name == "normal" else (name,))
    return made


def test_a_quarter_of_every_class_goes_to_test() -> None:
    made = pictures(normal=40, dent=20, hole=8)
    splits = split_by_group(made)
    for name, wanted in (("normal", 10), ("dent", 5), ("hole", 2)):
        assert sum(split == "test" for key, split in splits.items() if key.startswith(name)) == wanted


def test_the_split_depends_on_the_seed_and_not_on_the_order() -> None:
    made = pictures(normal=40, dent=20)
    assert split_by_group(made) == split_by_group(dict(reversed(made.items())))
    assert split_by_group(made, seed=1) != split_by_group(made)


def is_whole(drawn: list[tuple[str, tuple[str, ...]]], test: set[str]) -> bool:
    """Whether every class, and normal, has a group in `test` and one outside."""
    sides: dict[bool, set[str]] = {True: set(), False: set()}
    for group, labels in drawn:
        sides[group in test].update(labels or ("normal",))
    return sides[True] == sides[False] and "normal" in sides[True]


group_names = st.sampled_from([f"g{i}" for i in range(9)])
label_sets = st.sampled_from([(), (), ("dent",), ("hole",), ("dent", "hole")])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(group_names, label_sets), min_size=4, max_size=40), st.integers(0, 3))
def test_groups_stay_whole_and_every_class_is_in_both_splits_or_the_set_is_refused(
    drawn: list[tuple[str, tuple[str, ...]]], seed: int
) -> None:
    made = {str(i): picture for i, picture in enumerate(drawn)}
    try:
        splits = split_by_group(made, seed=seed)
    except DataError:
        groups = {group for group, _ in drawn}
        chosen = (set(test) for size in range(len(groups)) for test in combinations(groups, size))
        assert not any(is_whole(drawn, test) for test in chosen)
    else:
        test = {made[key][0] for key, split in splits.items() if split == "test"}
        train = {made[key][0] for key, split in splits.items() if split == "train"}
        assert not test & train
        assert is_whole(drawn, test)


def test_a_group_that_spans_classes_and_normals_stays_whole() -> None:
    made: Pictures = {"a": ("g1", ()), "b": ("g1", ("dent",)), "c": ("g2", ("dent",)), "d": ("g3", ())}
    splits = split_by_group(made)
    assert splits["a"] == splits["b"] != splits["c"] == splits["d"]


def test_a_class_of_one_group_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"class dent: has only one group \('dent-group0'\)"):
        split_by_group(pictures(dent=3, per_group=5))


def test_normal_pictures_of_one_group_are_refused() -> None:
    with pytest.raises(DataError, match=r"class normal: has only one group"):
        split_by_group(pictures(normal=3, per_group=3, dent=6))


def test_a_set_without_normal_pictures_is_refused() -> None:
    with pytest.raises(DataError, match="no normal pictures"):
        split_by_group(pictures(normal=0, dent=4))


def test_groups_that_tie_all_classes_together_are_refused() -> None:
    made: Pictures = {
        "a": ("g1", ("dent",)),
        "b": ("g2", ("dent",)),
        "c": ("g2", ("hole",)),
        "d": ("g3", ("hole",)),
        "e": ("g3", ("dust",)),
        "f": ("g1", ("dust",)),
        "n": ("g4", ()),
        "m": ("g5", ()),
    }
    with pytest.raises(DataError, match="tie the classes together"):
        split_by_group(made)


def test_csv_groups_are_looked_up_by_path() -> None:
    group_of = csv_grouping("path,tile\na/x.png,7\na/y.png,\n", "tile", "g.csv")
    assert group_of("a/x.png") == "7"
    for path in ("a/y.png", "b.png"):
        with pytest.raises(DataError, match=f"^{path}: has no group in g.csv"):
            group_of(path)


@pytest.mark.parametrize("header", ["path,tile", "file,group", ""])
def test_a_csv_without_the_columns_is_refused(header: str) -> None:
    with pytest.raises(UsageError, match=r"--groups g.csv: has no column '(path|group)'"):
        csv_grouping(f"{header}\na,b\n", "group", "g.csv")


def test_a_csv_with_a_path_in_two_groups_is_refused() -> None:
    with pytest.raises(DataError, match=r"^g.csv: x.png stands in two groups"):
        csv_grouping("path,group\nx.png,1\nx.png,2\n", "group", "g.csv")


@pytest.mark.parametrize(
    "written",
    ["a\\\\x.png", "./a/x.png", "a//x.png", ".\\\\a\\\\x.png", unicodedata.normalize("NFD", "ä/y.png"), '"a/x.png"'],
)
def test_paths_of_a_table_are_read_with_either_slash_and_either_unicode_form(written: str) -> None:
    group_of = csv_grouping(f"path,group\n{written},7\n", "group", "g.csv")
    assert group_of("ä/y.png" if "y.png" in written else "a/x.png") == "7"


def test_a_table_may_hold_line_breaks_in_quotes_and_ends_of_any_system() -> None:
    group_of = csv_grouping('path,group,note\r\nx.png,1,"two\nlines"\r\ny.png,2,\u2028\r\n', "group", "g.csv")
    assert (group_of("x.png"), group_of("y.png")) == ("1", "2")


@pytest.mark.parametrize("text", ["path,group\n" + "x" * 200_000 + ",1\n", "path,group\nx.png," + "1" * 200_000])
def test_a_field_too_long_for_a_table_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(DataError, match=r"^g.csv: line 2: is no CSV \(field larger than"):
        csv_grouping(text, "group", "g.csv")


@pytest.mark.parametrize("pattern", ["(a|aa)+$", "^(a|aa)+$"])
def test_a_pattern_that_never_ends_is_refused_soon(pattern: str) -> None:
    started = time.monotonic()
    with pytest.raises(UsageError, match=r"^--groups .*: takes more than 0.5 s on a+!"):
        regex_grouping(pattern)("a" * 60 + "!")
    assert time.monotonic() - started < 20  # half a second of computing, on a busy machine more


@pytest.mark.parametrize("pattern", ["(", "a{99999999999}", "(?P<x", "[" * 3, "(" * 5000])
def test_what_is_no_pattern_is_refused_in_a_short_sentence(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"^--groups .*: neither a CSV file nor a regular expression") as error:
        regex_grouping(pattern)
    assert len(str(error.value)) < 400


def test_regex_groups_are_the_first_capture_group_or_all_that_matches() -> None:
    assert regex_grouping(r"num_(\d+)")("test/exp1_num_42.png") == "42"
    assert regex_grouping(r"exp\d")("test/exp1_num_42.png") == "exp1"
    with pytest.raises(DataError, match=r"^x.png: has no group"):
        regex_grouping(r"num_(\d+)")("x.png")
    with pytest.raises(UsageError, match=r"neither a CSV file nor a regular expression"):
        regex_grouping("(")


def test_without_groups_every_picture_is_its_own() -> None:
    assert own_group("a/b.png") == "a/b.png"


def test_fewer_pictures_are_always_among_more_and_come_in_whole_groups() -> None:
    groups = {f"picture-{i:02d}": f"tile-{i // 4}" for i in range(24)}
    chosen = [first_pictures(groups, count) for count in range(1, 26)]
    assert [len(keys) for keys in chosen] == [*range(1, 25), 24]
    assert all(few < more for few, more in pairwise(chosen[:24]))
    for count in range(4, 25, 4):
        assert len({groups[key] for key in first_pictures(groups, count)}) == count // 4


def test_which_pictures_are_first_depends_on_their_names_alone() -> None:
    groups = {f"picture-{i:02d}": f"tile-{i // 2}" for i in range(12)}
    first = first_pictures(groups, 4)
    assert first_pictures(dict(reversed(groups.items())), 4) == first
    known = {groups[key] for key in first}
    fewer = {key: group for key, group in groups.items() if group in known or group < "tile-3"}
    assert first_pictures(fewer, 4) == first != set(list(groups)[:4])
