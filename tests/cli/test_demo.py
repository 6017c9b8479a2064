from pathlib import Path

from tests.support.helpers import run_cli


def test_demo_in_a_folder_that_is_not_empty_ends_with_exit_2_and_leaves_it_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    result = run_cli(["demo", str(tmp_path)], exit_code=2)
    assert result.stderr == f"error: {tmp_path}: is not empty; name another folder, or remove it\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
