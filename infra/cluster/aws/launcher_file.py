"""Reads a Ray cluster launcher file for AWS and refuses what would fail late, or start an open cluster.

Ray's own validator knows the file's outer keys. This adds what it lets pass: names inside `node_config`, and
the settings without which the nodes would be reachable, or hold more rights, than agan means them to.
"""

import contextlib
import copy
import difflib
import functools
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.errors import UsageError
from infra.yaml_file import read_yaml

Section = dict[str, Any]  # of a YAML file: keys are checked where they are used

# Ray takes a list of subnets under a name of its own and turns it into one SubnetId.
_NAMES_ONLY_RAY_KNOWS = frozenset({"SubnetIds"})
_REQUIRED_KEYS = ("cluster_name", "provider", "available_node_types", "head_node_type")
_START_COMMANDS = ("head_start_ray_commands", "worker_start_ray_commands")


@dataclass(frozen=True)
class WorkerType:
    """A kind of worker node, with the bounds of how many the autoscaler keeps."""

    name: str
    instance_type: str
    is_spot: bool
    min_workers: int
    max_workers: int


@dataclass(frozen=True)
class ClusterFile:
    """A checked cluster file.

    Attributes:
        token_path: the file on this machine that Ray copies to the nodes as their token.
        local_paths: every file and folder on this machine that Ray copies or opens, the token left out.
        placeholders: names such as REPLACE_ME_REGION that nobody filled in, each once, in file order.
        raw: the file as written, without Ray's defaults.
    """

    path: Path
    provider: str
    region: str
    cluster_name: str
    head_node_type: str
    worker_types: tuple[WorkerType, ...]
    token_path: Path
    local_paths: tuple[Path, ...]
    placeholders: tuple[str, ...]
    raw: Section


def load_cluster_file(path: Path) -> ClusterFile:
    """Read and check a cluster file; no network, no credentials.

    Placeholders are listed, not refused: a file can be checked before it is filled in.

    Raises:
        UsageError: the first thing wrong, as `<file>: <key>: <what is wrong>; <what to do>`.
    """
    raw = read_cluster_yaml(path)
    _check_outline(path, raw)
    prepared = _prepare_with_ray(path, raw)
    _check_provider(path, prepared)
    _check_head_resources(path, prepared)
    for name, node_type in prepared["available_node_types"].items():
        _check_node_config(path, f"available_node_types.{name}.node_config", node_type["node_config"])
    token_mount = _check_start_commands(path, prepared)
    mounts = prepared["file_mounts"]
    opened = [local for remote, local in mounts.items() if remote != token_mount]
    if "ssh_private_key" in prepared["auth"]:
        opened.append(prepared["auth"]["ssh_private_key"])
    return ClusterFile(
        path=path,
        provider=prepared["provider"]["type"],
        region=prepared["provider"]["region"],
        cluster_name=prepared["cluster_name"],
        head_node_type=prepared["head_node_type"],
        worker_types=_worker_types(prepared),
        token_path=_local_path(path, mounts[token_mount]),
        local_paths=tuple(_local_path(path, local) for local in opened),
        placeholders=find_placeholders(raw),
        raw=raw,
    )


def read_cluster_yaml(path: Path) -> Section:
    """Read the file as YAML, with no further check.

    Raises:
        UsageError: there is no such file, or it is not a YAML mapping.
    """
    raw = read_yaml(path, unreadable="give the path of a cluster file")
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: is not a mapping of keys to values; start from ray_cluster.yaml")
    return raw


def find_placeholders(value: Any) -> tuple[str, ...]:
    """The REPLACE_ME… names in the values of a YAML document, each once, in order."""
    return tuple(dict.fromkeys(name for text in _strings(value) for name in re.findall(r"REPLACE_ME\w*", text)))


def refuse_placeholders(path: Path, raw: Section) -> None:
    """Raises UsageError that lists every placeholder nobody filled in."""
    if names := find_placeholders(raw):
        raise UsageError(f"{path}: {', '.join(names)}: not filled in; write your account's values (docs/aws.md)")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _local_path(path: Path, local: str) -> Path:
    return path.resolve().parent / Path(local).expanduser()


def _worker_types(prepared: Section) -> tuple[WorkerType, ...]:
    return tuple(
        WorkerType(
            name=name,
            instance_type=node_type["node_config"].get("InstanceType", ""),
            is_spot=node_type["node_config"].get("InstanceMarketOptions", {}).get("MarketType") == "spot",
            min_workers=node_type["min_workers"],
            max_workers=node_type["max_workers"],
        )
        for name, node_type in prepared["available_node_types"].items()
        if name != prepared["head_node_type"]
    )


def _check_outline(path: Path, raw: Section) -> None:
    """Refuse a missing outer key: Ray would fill it with its own example, open node types included."""
    for key in _REQUIRED_KEYS:
        if not raw.get(key):
            raise UsageError(f"{path}: {key}: is missing; start from ray_cluster.yaml")
    provider = raw["provider"]
    if not isinstance(provider, dict) or provider.get("type") != "aws":
        raise UsageError(f"{path}: provider.type: only aws is supported; start from ray_cluster.yaml")


def _prepare_with_ray(path: Path, raw: Section) -> Section:
    """The file with Ray's defaults, as `ray up` would use it."""
    from jsonschema import ValidationError

    # The one private import of this package. Ray's public SDK (`ray.autoscaler.sdk`) fills in defaults and starts
    # machines, and has no call that says what is wrong with a file. Tried with the pinned Ray 2.60; where a later one
    # has moved the two functions, check `raw` against Ray's own schema (ray/autoscaler/ray-schema.json) instead.
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        # Ray prints advice for containers, which is not about this file.
        with contextlib.redirect_stdout(io.StringIO()):
            prepared: Section = prepare_config(copy.deepcopy(raw))
            validate_config(prepared)
    except ValidationError as err:
        key = ".".join(str(part) for part in err.absolute_path) or "top level"
        raise UsageError(f"{path}: {key}: {_shortened(err.message)}; correct it there") from err
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        # Ray fills in defaults before it checks: a wrong type shows as whatever that trips over.
        raise UsageError(f"{path}: Ray's launcher refuses the file ({_shortened(str(err))}); correct it there") from err
    return prepared


def _shortened(text: str, limit: int = 200) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text if len(text) <= limit else f"{text[:limit]}…"


def _check_provider(path: Path, prepared: Section) -> None:
    provider = prepared["provider"]
    if not provider.get("region"):
        raise UsageError(f"{path}: provider.region: is missing; name the AWS region")
    if provider.get("use_internal_ips") is not True:
        raise UsageError(f"{path}: provider.use_internal_ips: must be true; agan reaches nodes by private address")
    if provider.get("use_external_head_ip"):
        raise UsageError(f"{path}: provider.use_external_head_ip: gives a public address; remove it")


def _check_head_resources(path: Path, prepared: Section) -> None:
    head = prepared["head_node_type"]
    cpus = prepared["available_node_types"][head]["resources"].get("CPU")
    if cpus != 0:
        got = "nothing" if cpus is None else cpus
        key = f"available_node_types.{head}.resources.CPU"
        raise UsageError(f"{path}: {key}: must be 0, got {got}; set it so that the head node runs no work")


def _check_node_config(path: Path, key: str, node_config: Section) -> None:
    _check_parameter_names(path, key, node_config)
    profile = node_config.get("IamInstanceProfile") or {}
    if not (profile.get("Name") or profile.get("Arn")):
        raise UsageError(
            f"{path}: {key}.IamInstanceProfile: is missing; name a profile of your own "
            "(Ray's default holds every right on EC2 and S3, a worker would have none)"
        )
    if (node_config.get("MetadataOptions") or {}).get("HttpTokens") != "required":
        raise UsageError(f"{path}: {key}.MetadataOptions.HttpTokens: must be required; IMDSv1 leaks credentials")
    _check_interfaces(path, key, node_config)


@functools.cache
def _run_instances_shape() -> Any:
    import botocore.session

    return botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape


def _check_parameter_names(path: Path, key: str, node_config: Section) -> None:
    """Hold `node_config` against the RunInstances call that Ray makes of it."""
    from botocore.validate import ParamValidator

    shape = _run_instances_shape()
    for name in node_config:
        if name not in shape.members and name not in _NAMES_ONLY_RAY_KNOWS:
            close = difflib.get_close_matches(str(name), list(shape.members), n=1)
            advice = f"did you mean {close[0]}?" if close else "remove it"
            raise UsageError(f"{path}: {key}.{name}: EC2 RunInstances has no such parameter; {advice}")
    call = {name: value for name, value in node_config.items() if name not in _NAMES_ONLY_RAY_KNOWS}
    errors = ParamValidator().validate({**call, "MinCount": 1, "MaxCount": 1}, shape)
    if errors.has_errors():
        first = _shortened(errors.generate_report().splitlines()[0])
        raise UsageError(f"{path}: {key}: {first}; correct it there")


def _check_interfaces(path: Path, key: str, node_config: Section) -> None:
    interfaces = node_config.get("NetworkInterfaces")
    if not interfaces:
        raise UsageError(
            f"{path}: {key}.NetworkInterfaces: is missing, and without it the subnet decides on a public "
            "address; give one interface with SubnetId, Groups and AssociatePublicIpAddress: false"
        )
    for name in ("SubnetId", "SubnetIds", "SecurityGroupIds"):
        if name in node_config:
            raise UsageError(f"{path}: {key}.{name}: EC2 takes it only in NetworkInterfaces here; move it there")
    for position, interface in enumerate(interfaces):
        where = f"{key}.NetworkInterfaces[{position}]"
        if interface.get("AssociatePublicIpAddress") is not False:
            raise UsageError(f"{path}: {where}.AssociatePublicIpAddress: must be false; nodes stay private")
        if not interface.get("Groups"):
            raise UsageError(f"{path}: {where}.Groups: names no security group; name your own")
        if not interface.get("SubnetId"):
            raise UsageError(f"{path}: {where}.SubnetId: is missing; name a private subnet")


def _check_start_commands(path: Path, prepared: Section) -> str:
    """The remote path of the token, the same in every `ray start` line and a key of `file_mounts`."""
    mounts: dict[str, str] = {}
    for key in _START_COMMANDS:
        starts = [command for command in prepared[key] if re.search(r"\bray\s+start\b", command)]
        if not starts:
            raise UsageError(f"{path}: {key}: holds no `ray start`; start from ray_cluster.yaml")
        for command in starts:
            mounts[_token_mount(path, key, command, list(prepared["file_mounts"]))] = key
    if len(mounts) > 1:
        raise UsageError(f"{path}: {_START_COMMANDS[1]}: names another token file; use one for all nodes")
    return next(iter(mounts))


def _token_mount(path: Path, key: str, command: str, mounted: Sequence[str]) -> str:
    if not re.search(r"\bRAY_AUTH_MODE=token\b", command):
        raise UsageError(f"{path}: {key}: a `ray start` without RAY_AUTH_MODE=token; write it before `ray start`")
    match = re.search(r"\bRAY_AUTH_TOKEN_PATH=[\"']?([^\s\"';]+)", command)
    if match is None:
        raise UsageError(f"{path}: {key}: a `ray start` without RAY_AUTH_TOKEN_PATH; write it before `ray start`")
    remote = re.sub(r"^(\$HOME|\$\{HOME\})/", "~/", match[1])
    if remote not in mounted:
        raise UsageError(f"{path}: file_mounts: does not copy the token to {remote}; add that line")
    return remote
