"""Where the store and the cluster are, by flag, else environment, else agan.yaml, else default.

| key           | flag            | environment      | meaning                                          |
|---------------|-----------------|------------------|--------------------------------------------------|
| store         | --store         | AGAN_STORE       | s3://bucket/prefix or a local folder             |
| s3_endpoint   | --s3-endpoint   | AGAN_S3_ENDPOINT | URL of an S3-compatible service; None = AWS      |
| s3_region     | --s3-region     | AGAN_S3_REGION   | region; None = what AWS's own settings say       |
| s3_profile    | --s3-profile    | AGAN_S3_PROFILE  | profile of AWS's own settings                    |
| s3_timeout    | --s3-timeout    | AGAN_S3_TIMEOUT  | seconds without an answer; None = 20             |
| cluster       | --cluster       | AGAN_CLUSTER     | URL of a Ray dashboard; None = a local head node |
| weights       | --weights       | AGAN_WEIGHTS     | folder of pretrained weights; None = none        |
"""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from infra.errors import UsageError
from infra.yaml_file import read_yaml

SETTINGS_FILE = "agan.yaml"
ENVIRONMENT = {
    "store": "AGAN_STORE",
    "s3_endpoint": "AGAN_S3_ENDPOINT",
    "s3_region": "AGAN_S3_REGION",
    "s3_profile": "AGAN_S3_PROFILE",
    "s3_timeout": "AGAN_S3_TIMEOUT",
    "cluster": "AGAN_CLUSTER",
    "weights": "AGAN_WEIGHTS",
}


class Settings(BaseModel):
    """Resolved settings; `sources` says where each value came from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str | None = None
    s3_endpoint: str | None = None
    s3_region: str | None = None
    s3_profile: str | None = None
    s3_timeout: str | None = None
    cluster: str | None = None
    weights: str | None = None
    sources: dict[str, str] = {}

    def require_store(self) -> str:
        """The store's URI.

        Raises:
            UsageError: none was named anywhere.
        """
        if self.store is None:
            raise UsageError(
                "store: not set; give --store URI, set AGAN_STORE, or write `store:` into agan.yaml"
                " (s3://bucket/prefix or a local folder such as ./store)"
            )
        return self.store

    def environment(self) -> dict[str, str]:
        """The variables that carry these settings into a job's processes; never a credential.

        Nodes of a configured cluster know neither this machine's profiles nor its folders.
        """
        left_out = {"cluster"}
        if self.cluster is not None:
            left_out |= {"s3_profile"} if "://" in (self.weights or "") else {"s3_profile", "weights"}
        named = {ENVIRONMENT[key]: getattr(self, key) for key in ENVIRONMENT if key not in left_out}
        return {name: value for name, value in named.items() if value is not None}


def load_settings(
    flags: Mapping[str, str | None] | None = None,
    environ: Mapping[str, str] = os.environ,
    directory: Path | None = None,
) -> Settings:
    """Resolve every setting by precedence flag > environment > agan.yaml of `directory` > default.

    Raises:
        UsageError: agan.yaml is not YAML, has an unknown key or a value that is no string.
    """
    path = (directory or Path.cwd()) / SETTINGS_FILE
    from_file = _read_file(path)
    values: dict[str, str] = {}
    sources: dict[str, str] = {}
    for key, variable in ENVIRONMENT.items():
        layers = (
            ("flag", (flags or {}).get(key)),
            ("environment", environ.get(variable) or None),
            ("file", from_file.get(key)),
        )
        source, value = next(((s, v) for s, v in layers if v is not None), ("default", None))
        sources[key] = f"{source} ({path.name})" if source == "file" else source
        if value is not None:
            values[key] = _absolute(value, path.parent) if key in ("store", "weights") else value
    return Settings(**values, sources=sources)


def _read_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    raw = read_yaml(path, unreadable="make it readable or remove it") or {}
    try:
        return Settings.model_validate(raw).model_dump(exclude={"sources"}, exclude_none=True)
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UsageError(f"{path}: {where}: {first['msg']}; known keys are {', '.join(ENVIRONMENT)}") from err


def _absolute(uri: str, base: Path) -> str:
    """A local folder as an absolute path, so that it means the same in every process."""
    return uri if "://" in uri else str((base / Path(uri).expanduser()).resolve())
