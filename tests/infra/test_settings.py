from pathlib import Path

import pytest

from infra.errors import UsageError
from infra.settings import ENVIRONMENT, Settings, load_settings

KEYS = sorted(ENVIRONMENT)


def value(source: str) -> str:
    return f"s3://bucket/{source}"


def write_file(folder: Path, text: str) -> None:
    (folder / "agan.yaml").write_text(text)


@pytest.mark.parametrize("key", KEYS)
def test_a_flag_goes_before_the_environment_that_before_the_file_that_before_the_default(
    key: str, tmp_path: Path
) -> None:
    def resolved(flag: str | None, environ: dict[str, str]) -> tuple[str | None, str]:
        settings = load_settings({key: flag}, environ, tmp_path)
        return getattr(settings, key), settings.sources[key]

    assert resolved(None, {}) == (None, "default")
    write_file(tmp_path, f"{key}: {value('file')}\n")
    assert resolved(None, {}) == (value("file"), "file (agan.yaml)")
    environ = {ENVIRONMENT[key]: value("environment")}
    assert resolved(None, environ) == (value("environment"), "environment")
    assert resolved(value("flag"), environ) == (value("flag"), "flag")
    assert resolved(None, {ENVIRONMENT[key]: ""}) == (value("file"), "file (agan.yaml)")


def test_each_key_is_resolved_on_its_own(tmp_path: Path) -> None:
    write_file(tmp_path, "s3_region: eu-west-1\nstore: s3://file/x\n")
    settings = load_settings({"store": "s3://flag/x"}, {"AGAN_S3_PROFILE": "lab"}, tmp_path)
    assert (settings.store, settings.s3_region, settings.s3_profile) == ("s3://flag/x", "eu-west-1", "lab")
    assert settings.sources == {
        "store": "flag",
        "s3_endpoint": "default",
        "s3_region": "file (agan.yaml)",
        "s3_profile": "environment",
        "s3_timeout": "default",
        "cluster": "default",
        "weights": "default",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("store: [", r"agan\.yaml: not valid YAML"),
        ("sotre: x", r"agan\.yaml: sotre: Extra inputs are not permitted; known keys are store, s3_endpoint"),
        ("store: 5", r"agan\.yaml: store: Input should be a valid string"),
        ("- store", r"agan\.yaml: the file: Input should be"),
    ],
)
def test_a_bad_settings_file_is_named_with_what_is_wrong(text: str, message: str, tmp_path: Path) -> None:
    write_file(tmp_path, text)
    with pytest.raises(UsageError, match=message):
        load_settings({}, {}, tmp_path)


def test_a_settings_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "agan.yaml").write_bytes(b"store: \xff\xfe")
    with pytest.raises(UsageError, match=r"agan\.yaml: not valid YAML"):
        load_settings({}, {}, tmp_path)


def test_an_empty_settings_file_says_nothing(tmp_path: Path) -> None:
    write_file(tmp_path, "# store: ./store\n")
    assert load_settings({}, {}, tmp_path).store is None


@pytest.mark.parametrize("source", ["flag", "environment", "file"])
def test_a_relative_folder_becomes_absolute_wherever_it_comes_from(source: str, tmp_path: Path) -> None:
    if source == "file":
        write_file(tmp_path, "store: ./a/../store")
    flags = {"store": "./a/../store"} if source == "flag" else {}
    environ = {"AGAN_STORE": "./a/../store"} if source == "environment" else {}
    assert load_settings(flags, environ, tmp_path).store == str(tmp_path.resolve() / "store")


def test_the_home_folder_is_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings({"store": "~/store"}, {}, tmp_path).store == str(tmp_path.resolve() / "store")


def test_a_url_stays_as_it_is(tmp_path: Path) -> None:
    assert load_settings({"store": "s3://bucket/a/../b"}, {}, tmp_path).store == "s3://bucket/a/../b"


def test_a_missing_store_is_one_sentence_with_every_way_to_name_it(tmp_path: Path) -> None:
    settings = load_settings({}, {}, tmp_path)
    with pytest.raises(UsageError, match=r"^store: not set; give --store URI, set AGAN_STORE, or write `store:`"):
        settings.require_store()


def test_the_environment_of_a_job_carries_the_settings_and_no_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "token")
    settings = Settings(store="s3://b/p", s3_endpoint="http://x:9000", s3_region="r", cluster="http://head:8265")
    assert settings.environment() == {
        "AGAN_STORE": "s3://b/p",
        "AGAN_S3_ENDPOINT": "http://x:9000",
        "AGAN_S3_REGION": "r",
    }


def test_settings_survive_the_environment_of_a_job(tmp_path: Path) -> None:
    settings = load_settings({"store": "./store", "weights": "./weights", "s3_profile": "lab"}, {}, tmp_path)
    again = load_settings({}, settings.environment(), Path("/"))
    assert again.model_dump(exclude={"sources"}) == settings.model_dump(exclude={"sources"})


def test_jobs_of_a_configured_cluster_get_nothing_that_only_this_machine_has() -> None:
    here = Settings(store="s3://b/p", s3_profile="me", weights="/home/me/weights")
    assert here.environment()["AGAN_S3_PROFILE"] == "me"
    there = here.model_copy(update={"cluster": "http://cluster.example:8265"})
    assert there.environment() == {"AGAN_STORE": "s3://b/p"}
    shared = there.model_copy(update={"weights": "s3://b/weights"})
    assert shared.environment()["AGAN_WEIGHTS"] == "s3://b/weights"
