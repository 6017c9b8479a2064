import json
from pathlib import Path
from typing import Any

import pytest

from infra.errors import UsageError
from jobs.kinds import KINDS, parse_spec
from jobs.spec.resolve import known_keys, parse_sets, resolve
from jobs.spec.resolved import ResolvedSpec
from jobs.spec.specs import EvaluateSpec, GenerateSpec, JobSpec, TrainSpec, TuneSpec

NEEDED = {"dataset": "tiles", "class_name": "crack"}


def resolved(flags: dict[str, Any] | None = None, **more: Any) -> ResolvedSpec[TrainSpec]:
    return resolve(TrainSpec, NEEDED | (flags or {}), **{"environ": {}, **more})


def train(flags: dict[str, Any] | None = None, **more: Any) -> TrainSpec:
    return resolved(flags, **more).spec


def refusal(spec: type[JobSpec] = TrainSpec, flags: dict[str, Any] | None = None, **more: Any) -> str:
    with pytest.raises(UsageError) as caught:
        resolve(spec, NEEDED | (flags or {}), **{"environ": {}, **more})
    return str(caught.value)


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    return tmp_path / "spec.yaml"


def test_a_later_layer_wins_and_each_value_names_its_source(spec_file: Path) -> None:
    key = "train.loss.lambda_1"

    def value_and_source(flags: dict[str, Any] | None = None, **more: Any) -> tuple[float, str]:
        found = {row[0]: row[1:] for row in resolved(flags, **more).rows()}[key]
        return found[0], found[1]

    assert value_and_source() == (0.3, "default")
    spec_file.write_text("train: {loss: {lambda_1: 0.1}}")
    assert value_and_source(file=spec_file) == (0.1, "file (spec.yaml)")
    environ = {"AGAN_SPEC_train__loss__lambda_1": "0.2"}
    assert value_and_source(file=spec_file, environ=environ) == (0.2, "environment")
    assert value_and_source({key: 0.4}, file=spec_file, environ=environ) == (0.4, "flag")
    assert value_and_source({key: 0.4}, file=spec_file, environ=environ, sets={key: "0.5"}) == (0.5, "flag")


def test_rows_hold_every_knob_in_the_order_of_declaration() -> None:
    rows = resolved().rows()
    assert [row[0] for row in rows] == ["kind", *(key for key in known_keys(TrainSpec) if key != "kind")]
    assert {key: source for key, _, source in rows if source != "default"} == dict.fromkeys(NEEDED, "flag")


@pytest.mark.parametrize("kind", KINDS)
def test_every_knob_says_what_it_means(kind: str) -> None:
    undescribed = [key for key, description in known_keys(KINDS[kind].spec).items() if not description]
    assert undescribed == ["kind"]


def test_an_option_that_was_not_given_sets_nothing() -> None:
    assert "train.batch_size" not in resolved({"train.batch_size": None}).sources


def test_a_preset_lies_under_file_environment_and_flags(spec_file: Path) -> None:
    preset = {"train.preset": "paper"}
    spec = resolved(preset)
    assert spec.spec.train.loss.cycle_inside == 1.0
    assert spec.sources["train.loss.cycle_inside"] == "preset paper"
    spec_file.write_text("train: {loss: {cycle_inside: 0.7}}")
    assert train(preset, file=spec_file).train.loss.cycle_inside == 0.7
    environ = {"AGAN_SPEC_train__loss__cycle_inside": "0.8"}
    assert train(preset, environ=environ).train.loss.cycle_inside == 0.8
    assert train(preset, sets={"train.loss.cycle_inside": "0.9"}).train.loss.cycle_inside == 0.9


def test_a_preset_may_come_from_any_layer_and_the_last_one_counts(spec_file: Path) -> None:
    spec_file.write_text("train: {preset: paper}")
    assert train(file=spec_file).train.model.generator_norm == "sync"
    assert train(environ={"AGAN_SPEC_train__preset": "paper"}).train.model.generator_norm == "sync"
    last = train({"train.preset": "stable"}, file=spec_file)
    assert last.train.preset == "stable" and last.train.model.generator_norm == "instance"


@pytest.mark.parametrize("text", ["turbo", "[1]", "5", "{}"])
def test_an_unknown_preset_is_refused(text: str) -> None:
    assert "flag: train.preset: Input should be" in refusal(sets={"train.preset": text})


def test_set_reads_numbers_booleans_and_lists_and_leaves_other_text() -> None:
    sets = {
        "train.loss.lambda_1": "1e-1",
        "train.batch_size": "8",
        "train.model.blend": "false",
        "train.model.generator_widths": "[8, 16]",
        "train.loss.adversarial": "paper",
    }
    spec = train(sets=sets).train
    assert (spec.loss.lambda_1, spec.batch_size, spec.model.blend) == (0.1, 8, False)
    assert spec.model.generator_widths == (8, 16) and spec.loss.adversarial == "paper"


def test_sets_are_split_at_the_first_equals_sign() -> None:
    assert parse_sets(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("text", ["train.batch_size", "=5", ""])
def test_a_set_without_key_and_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected KEY=VALUE"):
        parse_sets(["a=1", text])


def test_an_unknown_key_is_refused_with_its_source(spec_file: Path) -> None:
    assert refusal(sets={"train.losss.lambda_1": "1"}).startswith("flag: train.losss: no such key")
    message = refusal(environ={"AGAN_SPEC_train__batchsize": "1"})
    assert message == "environment: train.batchsize: no such key; did you mean train.batch_size?"
    spec_file.write_text("colour: red")
    assert refusal(file=spec_file).startswith("file (spec.yaml): colour: no such key")


def test_all_bad_values_are_told_at_once(spec_file: Path) -> None:
    spec_file.write_text("resources: {workers: 0}\ntrain: {optim: {lr_g: .nan}}")
    message = refusal(
        flags={"class_name": None, "view.size": 100},
        file=spec_file,
        environ={"AGAN_SPEC_train__seed": "-1"},
        sets={"train.loss.lambda_1": "-1", "train.model.generator_widths": '[8, 16, "x"]'},
    )
    lines = [line.strip() for line in message.splitlines()]
    for expected in (
        "file (spec.yaml): resources.workers: Input should be greater than or equal to 1, got 0",
        "file (spec.yaml): train.optim.lr_g: Input should be a finite number, got nan",
        "environment: train.seed: Input should be greater than or equal to 0, got -1",
        "flag: train.loss.lambda_1: Input should be greater than or equal to 0, got -1",
        "flag: view: size must be a power of two from 64 to 1024, got 100",
    ):
        assert expected in lines
    assert any(
        line.startswith("flag: train.model.generator_widths.2: Input should be a valid integer") for line in lines
    )
    assert lines[0] == "spec: class_name: Field required"
    assert len(lines) == 7


def test_what_is_missing_is_named() -> None:
    assert refusal(flags={"dataset": None}) == "spec: dataset: Field required"


def test_a_value_where_a_section_belongs_is_refused(spec_file: Path) -> None:
    spec_file.write_text("train: 5")
    assert refusal(flags={"train.batch_size": 2}, file=spec_file) == (
        "flag: train.batch_size: train holds a value, not a section"
    )
    assert "file (spec.yaml): train: Input should be" in refusal(file=spec_file)


def test_a_spec_file_of_another_kind_is_refused(spec_file: Path) -> None:
    spec_file.write_text("kind: generate\nmodel: m")
    assert refusal(file=spec_file) == f"{spec_file}: is a spec of kind generate, the command is train"


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"a: [", "not valid YAML"), (b"\xff\xfe\xfd", "not valid YAML"), (b"- 1", "holds no mapping")],
)
def test_a_file_that_is_no_spec_is_refused(data: bytes, message: str, spec_file: Path) -> None:
    spec_file.write_bytes(data)
    assert refusal(file=spec_file).startswith(f"{spec_file}: {message}")


def test_a_missing_spec_file_is_refused(tmp_path: Path) -> None:
    assert refusal(file=tmp_path / "gone").endswith("gone: No such file or directory; name a readable spec file")
    assert "name a readable spec file" in refusal(file=tmp_path)


def test_a_spec_saved_and_loaded_is_the_same(spec_file: Path) -> None:
    spec = train({"train.preset": "paper"}, sets={"train.seed": "7"})
    assert parse_spec(json.loads(spec.model_dump_json())) == spec
    spec_file.write_text(spec.model_dump_json())
    assert train(file=spec_file) == spec


def test_the_other_kinds_resolve_too() -> None:
    assert resolve(GenerateSpec, {"model": "m"}, environ={}).spec.kind == "generate"
    assert resolve(EvaluateSpec, {"dataset": "d", "generated": "g"}, environ={}).spec.kind == "evaluate"
    tune = resolve(TuneSpec, NEEDED | {"train.preset": "paper"}, environ={}).spec
    assert tune.train.optim.lr_g == 2e-3


def test_a_search_space_without_room_is_refused() -> None:
    message = refusal(TuneSpec, sets={"space.lr_min": "0.01"})
    assert message == "flag: space: lr_min must be below lr_max, got 0.01 and 0.002"
