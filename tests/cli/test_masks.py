import json
import re
from pathlib import Path

import numpy as np
import pytest

from anomaly_gan.samples.sample import decode_png
from infra.storage.local import LocalStorage
from jobs.library.maskpools.store import load_pool_index
from tests.support.builders_jobs import put_dataset
from tests.support.builders_masks import EXPERT_FILES, bar, coco, labelme, put_files
from tests.support.helpers import run_cli
from tests.support.sources import png

BUILD = ["masks", "build", "--dataset", "tiles", "--name", "pool"]
CSV = "mask,expert,score"


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStorage:
    """The store that the environment names, with a data set; the folder ./drawn has expert masks."""
    monkeypatch.chdir(tmp_path)
    storage = LocalStorage(tmp_path / "store")
    monkeypatch.setenv("AGAN_STORE", storage.uri)
    put_dataset(storage)
    put_files(tmp_path / "drawn", EXPERT_FILES)
    return storage


@pytest.fixture
def masks(storage: LocalStorage) -> list[str]:
    """Ids of the expert masks of a pool that was just built: three cracks, then two holes."""
    run_cli([*BUILD, "--expert", "drawn"])
    return [entry.id for entry in load_pool_index(storage, "pool").elements if entry.origin == "expert"]


def put_ratings(masks: list[str], scores: str, expert: str = "mei") -> str:
    lines = (f"{mask},{expert},{score}" for mask, score in zip(masks, scores.split(), strict=True))
    Path(f"{expert}.csv").write_text("\n".join([CSV, *lines]))
    return f"{expert}.csv"


def error(args: list[str], exit_code: int) -> str:
    """The one sentence of a command that is refused."""
    result = run_cli(["masks", *args], exit_code=exit_code)
    assert result.stdout == ""
    *progress, told = result.stderr.splitlines()
    assert all(line.startswith("building ") for line in progress)
    assert told.startswith("error: ")
    return str(told)


def test_build_prints_what_each_class_has_and_the_next_command() -> None:
    result = run_cli([*BUILD, "--expert", "drawn"])
    first, header, crack, hole, following, other = result.stdout.splitlines()
    dataset = re.fullmatch(r"pool@[0-9a-f]{12} built from (tiles@[0-9a-f]{12})", first)
    assert dataset is not None
    assert header.split() == ["CLASS", "PRIOR", "EXPERT", "USED", "POSE", "RATIONALITY", "AUC", "PLACEMENT", "AUC"]
    assert crack.split()[:5] == ["crack", "3", "3", "6", "natural"]
    assert hole.split()[:5] == ["hole", "3", "2", "5", "natural"]
    assert following == f"next: agan masks preview pool --dataset {dataset[1]} --class crack -o crack.png"
    assert other == f"      agan masks preview pool --dataset {dataset[1]} --class hole -o hole.png"
    assert "was already there from" in run_cli([*BUILD, "--expert", "drawn"]).stdout


def test_the_next_command_of_a_pool_of_native_sizes_has_windows(storage: LocalStorage) -> None:
    put_dataset(storage, "native", resolution=None)
    result = run_cli(["masks", "build", "--dataset", "native", "--name", "pool"])
    *_, following = result.stdout.splitlines()
    assert following.endswith("--class hole --window 128 -o hole.png")
    run_cli(following.split()[1:])


def test_build_as_json_has_counts_rules_and_severity() -> None:
    Path("rules.yaml").write_text("crack: {pose: fixed}")
    Path("anchors.csv").write_text("image,class,left,top,width,height\ntrain/good/000.png,hole,8,8,10,10\n")
    Path("left.png").write_bytes(png(bar()))
    places = ["--allowed", "left.png", "--anchors", "anchors.csv", "--rules", "rules.yaml"]
    told = json.loads(run_cli([*BUILD, "--expert", "drawn", *places, "--json"]).stdout)
    assert (told["name"], told["resolution"], told["already_there"]) == ("pool", 64, False)
    assert [warning.partition(",")[0] for warning in told["warnings"]] == [
        "class crack: its pose is fixed but it has no anchors"
    ]
    crack = told["classes"]["crack"]
    assert (crack["prior"], crack["expert"], crack["used"]) == (3, 3, 6)
    assert crack["rules"]["pose"] == told["classes"]["hole"]["rules"]["pose"] == "fixed"
    assert set(crack["severity"]) == {"area_px", "contrast"}
    assert (told["pictures_with_region"], told["anchors"]) == ("all", 1)


def test_list_names_every_pool() -> None:
    assert run_cli(["masks", "list"]).stdout == "no mask pools yet\n"
    run_cli(BUILD)
    header, row = run_cli(["masks", "list"]).stdout.splitlines()
    assert header.split() == ["NAME", "VERSION", "DATASET", "ELEMENTS", "CLASSES"]
    assert re.fullmatch(r"pool +[0-9a-f]{12} +tiles@[0-9a-f]{12} +6 +crack, hole", row)
    (entry,) = json.loads(run_cli(["masks", "list", "--json"]).stdout)
    assert entry["name"] == "pool"


def test_template_is_a_page_with_every_drawn_mask(masks: list[str]) -> None:
    result = run_cli(["masks", "template", "pool", "-o", "ratings.html"])
    assert result.stdout.splitlines() == [
        "ratings.html: 5 masks",
        "next: send it to the experts, then agan masks score pool --ratings THEIR.csv",
    ]
    page = Path("ratings.html").read_text()
    assert re.findall(r'data-mask="([^"]+)"', page) == masks
    told = json.loads(run_cli(["masks", "template", "pool", "-o", "ratings.html", "--json"]).stdout)
    assert told == {"name": "pool", "masks": 5, "file": "ratings.html"}


def test_score_prints_the_decision_on_every_mask_and_records_every_rating(
    masks: list[str], storage: LocalStorage
) -> None:
    mei = put_ratings(masks, "0.9 0.6 0.1 very-high 0.2")
    jan = put_ratings(masks, "high 0.5 low 0.4 0.1", "jan")
    Path("experts.csv").write_text("expert,weight,senior\nmei,2,yes\njan,,no\n")
    before = load_pool_index(storage, "pool")
    result = run_cli(["masks", "score", "pool", "--ratings", mei, "--ratings", jan, "--experts", "experts.csv"])
    header, *rows, told, concordance = result.stdout.splitlines()
    assert header.split() == ["MASK", "CLASS", "SCORE", "AGREEMENT", "RATINGS", "DECISION"]
    assert rows[0].split() == [masks[0], "crack", "0.85", "0.89", "2", "admitted"]
    assert rows[1].endswith("score 0.57 is below the top 10 % (0.85)")
    after = load_pool_index(storage, "pool")
    assert told == f"pool@{after.version}: 2 of 5 drawn masks admitted" and after.version != before.version
    assert re.fullmatch(r"concordance of 2 experts \(Kendall's W\): 0\.\d\d", concordance)
    assert after.scoring is not None and len(after.scoring.ratings) == 10
    assert load_pool_index(storage, f"pool@{before.version}") == before


def test_score_as_json_is_the_record_and_its_rules_are_flags(masks: list[str], storage: LocalStorage) -> None:
    mei = put_ratings(masks, "0.9 0.6 0.1 0.45 0.2")
    rules = ["--top", "0.6", "--approval", "0.4", "--min-ratings", "1"]
    told = json.loads(run_cli(["masks", "score", "pool", "--ratings", mei, *rules, "--json"]).stdout)
    scoring = load_pool_index(storage, "pool").scoring
    assert scoring is not None and told["scoring"] == json.loads(scoring.model_dump_json())
    assert (told["scoring"]["top"], told["scoring"]["approval"], told["scoring"]["min_ratings"]) == (0.6, 0.4, 1)
    admitted = [mask["mask"] for mask in told["scoring"]["masks"] if mask["admitted"]]
    assert admitted == [masks[0], masks[1], masks[3]]
    assert told["classes"]["crack"]["used"] == 5 and told["classes"]["hole"]["used"] == 4


def test_show_draws_the_elements(masks: list[str]) -> None:
    lines = run_cli(["masks", "show", "pool", "-o", "sheet.png", "--per-class", "3"]).stdout.splitlines()
    assert re.fullmatch(r"pool@[0-9a-f]{12}: sheet.png", lines[0]) and lines[2].split()[0] == "crack"
    assert decode_png(Path("sheet.png").read_bytes(), "sheet").ndim == 3
    told = json.loads(run_cli(["masks", "show", "pool", "-o", "sheet.png", "--json"]).stdout)
    assert told["file"] == "sheet.png" and told["classes"]["hole"]["expert"] == 2
    assert len(masks) == 5


def test_show_says_how_many_elements_it_left_out() -> None:
    run_cli(BUILD)
    lines = run_cli(["masks", "show", "pool", "-o", "sheet.png", "--per-class", "2"]).stdout.splitlines()
    assert lines[1:3] == ["crack: 2 of 3 prior drawn", "hole: 2 of 3 prior drawn"]


def test_score_warns_of_a_class_that_nobody_rated(masks: list[str]) -> None:
    result = run_cli(["masks", "score", "pool", "--ratings", put_ratings(masks[:3], "0.9 0.6 0.1")])
    assert "warning: class hole: none of its drawn masks was rated, so none is used; rate some of them" in result.stderr


def test_preview_draws_masks_of_a_class_as_they_would_be_used() -> None:
    run_cli(BUILD)
    preview = ["masks", "preview", "pool", "--dataset", "tiles", "-o", "p.png", "--count", "4"]
    assert re.fullmatch(r"pool@[0-9a-f]{12}: 4 masks of class crack: p.png\n", run_cli(preview).stdout)
    first = decode_png(Path("p.png").read_bytes(), "preview")
    told = json.loads(run_cli([*preview, "--class", "hole", "--window", "64", "--seed", "3", "--json"]).stdout)
    assert (told["class"], told["count"], told["file"]) == ("hole", 4, "p.png")
    assert not np.array_equal(decode_png(Path("p.png").read_bytes(), "preview"), first)
    run_cli([*preview, "--rationality", "0.9"])


def test_a_training_takes_a_pool_and_its_rules(monkeypatch: pytest.MonkeyPatch, storage: LocalStorage) -> None:
    monkeypatch.setattr("jobs.train.memory.worker_memory", lambda spec: None)
    Path("rules.yaml").write_text("crack: {pose: fixed}")
    run_cli([*BUILD, "--rules", "rules.yaml"])
    train = ["submit", "train", "--dataset", "tiles", "--class", "crack", "--mask-pool", "pool", "--dry-run", "--json"]
    (told,) = json.loads(run_cli(train).stdout)
    assert told["spec"]["mask_pool"] == f"pool@{load_pool_index(storage, 'pool').version}"
    assert told["spec"]["train"]["masks"]["pose"] == "fixed"
    assert told["sources"]["train.masks.pose"] == "mask pool"


# --- one sentence each


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            {"a.json": labelme(("crack", [[60, 60], [80, 60], [80, 80]]))},
            "a.json: shape 0 (crack): lies wholly outside its picture of 48 x 40 pixels; draw it inside or remove it",
        ),
        (
            {"a.json": labelme(("crack", [[5, 5], [5, 5], [5, 5]]))},
            "drawn/a.json#0: covers 2 px at the data set's scale, a shape needs 4; draw it larger",
        ),
        (
            {"a.json": coco(("crack", [5, 5, 0, 4]))},
            "a.json: annotation 0: a box needs finite numbers and a width and height above 0, got 5, 5, 0, 4; mend it",
        ),
        (
            {"a.json": labelme(("dent", [[4, 4], [9, 4], [9, 9]]))},
            "a.json#0: 'dent' is no class of the data set; rename it to one of crack, hole",
        ),
        (
            {"crack/a.png": png(np.zeros((9, 9), np.uint8))},
            "crack/a.png: the mask has no connected part of 4 px or more whose grey level is at least 128; draw it or"
            " remove the picture",
        ),
    ],
    ids=["outside", "speck", "empty box", "label", "empty picture"],
)
def test_a_bad_drawing_is_refused_by_file_and_shape(files: dict[str, bytes], told: str, tmp_path: Path) -> None:
    drawn = put_files(tmp_path / "bad" / "drawn", files)
    found = error([*BUILD[1:], "--expert", drawn], 6)
    assert found.removeprefix("error: ").removeprefix(f"{tmp_path}/bad/") == told


@pytest.mark.parametrize(
    ("score", "told"),
    [
        ("1.5", "mei.csv, line 2: score '1.5' is not within 0 and 1; rate from 0 (worst) to 1 (best)"),
        ("good", "mei.csv, line 2: score 'good' is no rating; write a number from 0 to 1 such as 0.7, one of very low"),
        ("0.9/0.5/0.7", "mei.csv, line 2: score '0.9/0.5/0.7' is out of order; write a triangular number as"),
    ],
)
def test_a_bad_rating_is_refused_by_line(score: str, told: str, masks: list[str]) -> None:
    mei = put_ratings(masks[:1], score)
    assert error(["score", "pool", "--ratings", mei], 6).startswith(f"error: {told}")


def test_an_expert_who_rates_a_mask_twice_is_refused(masks: list[str]) -> None:
    Path("twice.csv").write_text(f"{CSV}\n{masks[0]},mei,0.5\n{masks[0]},mei,0.6\n")
    assert error(["score", "pool", "--ratings", "twice.csv"], 6) == (
        f"error: twice.csv, line 3: expert mei rates mask {masks[0]} again, as in twice.csv, line 2; keep one line"
    )
    mei = put_ratings(masks[:1], "0.5")
    assert error(["score", "pool", "--ratings", mei, "--ratings", mei], 6) == (
        f"error: ratings: expert mei rates mask {masks[0]} twice; keep one line"
    )


def test_ratings_and_experts_that_do_not_fit_are_refused(masks: list[str]) -> None:
    mei = put_ratings(masks, "0.5 0.5 0.5 0.5 0.5")
    Path("experts.csv").write_text("expert,weight,senior\njan,1,yes\n")
    score = ["score", "pool", "--ratings", mei]
    assert "expert 'mei' is not in the table of experts; add a line there" in error(
        [*score, "--experts", "experts.csv"], 6
    )
    Path("experts.csv").write_text("expert,weight,senior\nmei,1,no\n")
    assert "experts: none is senior" in error([*score, "--experts", "experts.csv"], 6)
    assert "--top 2.0: must be above 0 and at most 1" in error([*score, "--top", "2"], 2)
    assert "--approval -1.0: must be from 0 to 1" in error([*score, "--approval", "-1"], 2)
    assert "--min-ratings 2: must be from 1 to 1, the number of experts" in error([*score, "--min-ratings", "2"], 2)


def test_a_pool_of_another_data_set_resolution_or_class_is_refused(storage: LocalStorage) -> None:
    run_cli(BUILD)
    preview = ["preview", "pool", "-o", "p.png", "--dataset"]
    other = put_dataset(storage, "other").version
    assert f"not from other@{other}, whose split may differ; build it again with --dataset other@{other}" in error(
        [*preview, "other"], 2
    )
    put_dataset(storage, "other", resolution=128)
    assert error([*preview, "other"], 2) == (
        "error: mask pool pool: is of 64 px, data set other of 128 px; build it for that"
    )
    assert error([*preview, "tiles", "--class", "dent"], 2) == (
        "error: mask pool pool: has no class 'dent', only crack, hole; name one of them, or build a pool that has it"
    )
    assert not Path("p.png").exists()


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (["build", "--dataset", "gone", "--name", "pool"], 3, "data set gone: not in"),
        ([*BUILD[1:-1], "My pool"], 2, "mask pool name: lower-case letters"),
        ([*BUILD[1:], "--expert", "gone"], 3, "gone: no such folder; check the path"),
        ([*BUILD[1:], "--allowed", "gone.png"], 3, "gone.png: no such file; check the path"),
        ([*BUILD[1:], "--anchors", "gone.csv"], 3, "gone.csv: no such file; check the path"),
        ([*BUILD[1:], "--rules", "gone.yaml"], 2, "--rules gone.yaml: No such file or directory; name a readable YAML"),
        (["show", "gone", "-o", "s.png"], 3, "mask pool gone: not in"),
        (["template", "pool", "-o", "r.html"], 6, "mask pool pool: has no expert mask to rate; build it with --expert"),
        (["score", "pool", "--ratings", "gone.csv"], 2, "gone.csv: cannot be read (No such file or directory); name a"),
        (["show", "pool", "-o", "no/s.png"], 2, "no/s.png: cannot be written (No such file or directory); name a file"),
        (["preview", "pool", "--dataset", "tiles", "-o", "no/s.png"], 2, "no/s.png: cannot be written"),
        (["preview", "pool", "--dataset", "tiles", "-o", "s.png", "--window", "100"], 2, "--window: a power of two"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_not_there_is_one_sentence(args: list[str], code: int, told: str) -> None:
    run_cli(BUILD)
    assert error(args, code).startswith(f"error: {told}")


def test_a_template_in_a_missing_folder_cannot_be_written(masks: list[str]) -> None:
    assert len(masks) == 5
    assert "no/r.html: cannot be written" in error(["template", "pool", "-o", "no/r.html"], 2)


def test_ratings_that_are_no_text_are_refused(masks: list[str]) -> None:
    assert masks
    Path("r.csv").write_bytes(b"mask,expert,score\n\xff")
    assert "r.csv: not UTF-8 text" in error(["score", "pool", "--ratings", "r.csv"], 2)


@pytest.mark.parametrize("option", [["--rationality", "1.5"], ["--count", "0"], ["--count", "241"]], ids=" ".join)
def test_numbers_out_of_bounds_are_usage_errors(option: list[str]) -> None:
    result = run_cli(["masks", "preview", "pool", "--dataset", "tiles", "-o", "p.png", *option], exit_code=2)
    assert "Invalid value" in result.stderr
