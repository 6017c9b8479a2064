import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from anomaly_gan.networks.weights import WEIGHTS, file_digest, weights_path
from tests.support.helpers import run_cli

LITE0 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SHIFT_TOLERANT = "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee"


@pytest.fixture
def alexnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small file that the list takes for torchvision's AlexNet, by another name."""
    path = tmp_path / "download.bin"
    path.write_bytes(b"alexnet")
    monkeypatch.setitem(WEIGHTS, "alexnet", replace(WEIGHTS["alexnet"], digests=(file_digest(path)[:8],)))
    return path


def states(folder: Path) -> dict[str, str]:
    told = json.loads(run_cli(["--weights", str(folder), "weights", "list", "--json"]).stdout)
    return {name: one["state"] for name, one in told.items()}


def test_list_tells_what_is_there_what_it_is_for_and_where_to_put_the_rest(tmp_path: Path, alexnet: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    shutil.copyfile(alexnet, folder / "alexnet.pth")
    (folder / "resnet50.pth").write_bytes(b"something else")
    lines = run_cli(["--weights", str(folder), "weights", "list"]).stdout.splitlines()
    assert lines[0].split() == ["network", "state", "file", "of", "what", "for", "where"]
    shown = {line.split()[0]: line for line in lines[1:]}
    assert set(shown) == set(WEIGHTS)
    assert shown["lite0"].split()[1] == "right" and shown["lite0"].endswith(str(weights_path("lite0", None)))
    assert shown["alexnet"].split()[1] == "right" and "LPIPS" in shown["alexnet"]
    assert shown["resnet50"].split()[1] == "wrong" and "detector.weights" in shown["resnet50"]
    assert shown["inception"].split()[1] == "missing" and shown["inception"].endswith(f"{folder}/inception_v3.pth")


def test_without_a_folder_list_says_that_one_is_to_be_set() -> None:
    told = json.loads(run_cli(["weights", "list", "--json"]).stdout)
    assert told["lite0"]["state"] == "right" and told["lite0"]["sha256"] == LITE0
    assert told["vgg16"]["state"] == "missing" and told["vgg16"]["sha256"] is None
    assert told["vgg16"]["place"] == "needs vgg16.pth, and no weights folder is set; give --weights FOLDER"


def test_verify_ends_well_where_all_that_is_there_is_right(tmp_path: Path) -> None:
    lines = run_cli(["--weights", str(tmp_path), "weights", "verify"]).stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["network", "state", "sha256"],
        ["lite0", "right", LITE0],
        ["shift_tolerant", "right", SHIFT_TOLERANT],
    ]


def test_verify_ends_with_6_and_names_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "inception_v3.pth").write_bytes(b"something else")
    done = run_cli(["--weights", str(tmp_path), "weights", "verify", "--json"], exit_code=6)
    assert json.loads(done.stdout)["inception"]["state"] == "wrong"
    assert done.stderr.startswith(f"error: {tmp_path}/inception_v3.pth: not a known version;")


def test_add_puts_a_known_file_where_it_is_looked_for(tmp_path: Path, alexnet: Path) -> None:
    folder = tmp_path / "new" / "weights"
    for _ in range(2):  # a second time changes nothing
        done = run_cli(["--weights", str(folder), "weights", "add", str(alexnet)])
        assert done.stdout == f"alexnet: {folder}/alexnet.pth\n"
    assert [path.name for path in folder.iterdir()] == ["alexnet.pth"]
    assert states(folder)["alexnet"] == "right"


def test_add_refuses_what_is_no_known_file(tmp_path: Path) -> None:
    file, folder = tmp_path / "alexnet.pth", tmp_path / "weights"
    file.write_bytes(b"something else")
    stderr = run_cli(["--weights", str(folder), "weights", "add", str(file)], exit_code=6).stderr
    assert stderr.startswith(f"error: {file}: sha256 {file_digest(file)} is no known file of weights; use one of ")
    assert "torchvision's AlexNet, ImageNet (sha256 7be5be79...)" in stderr and "Lite0" not in stderr
    assert not folder.exists()


def test_add_never_replaces_another_file(tmp_path: Path, alexnet: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "alexnet.pth").write_bytes(b"of the user")
    stderr = run_cli(["--weights", str(folder), "weights", "add", str(alexnet)], exit_code=2).stderr
    assert stderr == f"error: {folder}/alexnet.pth: is there already, and is another file; move it away first\n"
    assert (folder / "alexnet.pth").read_bytes() == b"of the user"


def test_add_needs_a_file_and_a_folder_of_this_machine(tmp_path: Path, alexnet: Path) -> None:
    add = ["weights", "add", str(alexnet)]
    assert "weights: no folder is set; give --weights FOLDER" in run_cli(add, exit_code=2).stderr
    assert "s3://b/w is not a local folder" in run_cli(["--weights", "s3://b/w", *add], exit_code=2).stderr
    gone = ["--weights", str(tmp_path / "w"), "weights", "add", str(tmp_path / "gone.pth")]
    assert "gone.pth: no such file" in run_cli(gone, exit_code=3).stderr
    (tmp_path / "taken").write_text("a file")
    assert "cannot be written" in run_cli(["--weights", str(tmp_path / "taken"), *add], exit_code=2).stderr
