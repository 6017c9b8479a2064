"""YAML files that are too long, too deep or hold what cannot be read are refused in one sentence, at once."""

import time
from pathlib import Path

import pytest

from infra.errors import UsageError
from infra.yaml_file import read_yaml
from jobs.spec.resolve import as_value

LEVELS = zip("abcdefgh", "bcdefghi", strict=True)
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n" for p, c in LEVELS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "has more than 16 aliases"),
        ("a: " + "[" * 5000 + "]" * 5000, "lie more than 32 deep"),
        ("a: " + "{b: " * 5000, "lie more than 32 deep"),
        ("\n".join("  " * i + "- a:" for i in range(3000))[:900_000], "lie more than 32 deep"),
        ("seed: " + "9" * 5000, "holds a value that cannot be read"),
        ("seed: 2026-99-99", "holds a value that cannot be read"),
        ("x" * (2 << 20), "has more than 1 MiB of text"),
        ("a: [", "not valid YAML"),
        ("a: \x00", "not valid YAML"),
        ("a: !!python/object:os.system {}", "not valid YAML"),
    ],
)
def test_a_file_that_nobody_writes_is_refused_at_once(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(text)
    started = time.monotonic()
    with pytest.raises(UsageError, match=told) as error:
        read_yaml(file, unreadable="x", name="spec.yaml")
    assert time.monotonic() - started < 3
    assert str(error.value).startswith("spec.yaml: ") and len(str(error.value)) < 400


def test_a_file_with_a_byte_order_mark_and_a_few_aliases_is_read(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text("a: &a {x: 1}\nb: *a\n", encoding="utf-8-sig")
    assert read_yaml(file, unreadable="x") == {"a": {"x": 1}, "b": {"x": 1}}


@pytest.mark.parametrize("text", ["[" * 5000, "9" * 5000, '{"a": ' * 5000])
def test_a_value_that_json_cannot_read_stays_text(text: str) -> None:
    assert as_value(text) == text
