"""The pages of docs/ say what the code says, and point at files that are there."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from anomaly_gan.networks.weights import WEIGHTS
from jobs.kinds import KINDS
from jobs.spec.resolve import known_keys
from tests.support.helpers import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], key=lambda path: path.relative_to(ROOT).as_posix())
UNFINISHED = re.compile(r"\b(TODO|TBD|FIXME|XXX)\b")
MODULE = r"(?:cli|jobs|infra|anomaly_gan|tests|docs)/[\w/]+\.py"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|src=\"([^\"]+)\"")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_spec_reference", ROOT / "docs" / "make_spec_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", without_code(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_spec_reference_is_the_output_of_its_generator() -> None:
    expected = generator().page()
    found = (ROOT / "docs" / "spec.md").read_text()
    assert found == expected, "run: python docs/make_spec_reference.py > docs/spec.md"


def test_the_spec_reference_holds_every_knob() -> None:
    text = (ROOT / "docs" / "spec.md").read_text()
    knobs = {key for kind in KINDS.values() for key in known_keys(kind.spec)} - {"kind"}
    assert [key for key in sorted(knobs) if f"| `{key}` |" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    text = page.read_text()
    missing = []
    for groups in LINK.findall(without_code(text)):
        target = groups[0] or groups[1]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name) if name else page
        if not path.exists() or (anchor and anchor not in anchors(path.read_text())):
            missing.append(target)
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_page_is_left_unfinished(page: Path) -> None:
    assert UNFINISHED.findall(page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_module_that_a_page_names_is_there_with_what_it_names_of_it(page: Path) -> None:
    text = re.sub(r"\s+", " ", page.read_text())
    modules = re.findall(rf"`({MODULE})`(?:: ((?:`\w+`(?:, )?)+))?", text)
    missing = [path for path, _ in modules if not (ROOT / path).is_file()]
    for path, names in modules:
        if path not in missing:
            held = (ROOT / path).read_text()
            found = re.findall(r"\w+", names)
            missing += [f"{path}: {name}" for name in found if not re.search(rf"(def|class) {name}\b", held)]
    assert missing == []


def test_the_page_of_the_store_lists_every_file_of_weights() -> None:
    text = (ROOT / "docs" / "store.md").read_text()
    for name, entry in WEIGHTS.items():
        if entry.package is None:
            digests = " or ".join(f"`{digits}`" for digits in entry.digests)
            assert f"| `{name}` | `{entry.file}` | {digests} |" in text
        else:
            assert entry.package in text


def test_every_test_that_the_page_on_data_names_exists() -> None:
    text = (ROOT / "docs" / "data.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", text))
    written = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert named and not named - written
    files = set(re.findall(r"`((?:tests/[\w/]+)?test_\w+\.py)`", text))
    folder = ROOT / "tests" / "anomaly_gan" / "formats" / "reading"
    assert files and all((ROOT / file).is_file() or (folder / file).is_file() for file in files)
