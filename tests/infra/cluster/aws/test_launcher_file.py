import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.cluster.aws.launcher_file import WorkerType, find_placeholders, load_cluster_file, refuse_placeholders
from infra.errors import UsageError
from tests.support.helpers import ROOT

SHIPPED = ROOT / "ray_cluster.yaml"
FILLED_IN = {
    "REPLACE_ME_REGION": "us-east-1",
    "REPLACE_ME_AMI_ID": "ami-0123456789abcdef0",
    "REPLACE_ME_SUBNET_ID": "subnet-0123456789abcdef0",
    "REPLACE_ME_SECURITY_GROUP": "sg-0123456789abcdef0",
}
Config = dict[str, Any]


def filled_in(values: dict[str, str] = FILLED_IN) -> Config:
    text = SHIPPED.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(name, value)
    # By way of JSON each use of an anchor becomes a copy, so that a test can spoil one node type alone.
    config: Config = json.loads(json.dumps(yaml.safe_load(text)))
    return config


def refusal(tmp_path: Path, spoil: Callable[[Config], object]) -> str:
    """What loading says once `spoil` has changed the filled-in file, without the path in front."""
    config = filled_in()
    spoil(config)
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        load_cluster_file(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


def node_config(config: Config, name: str = "worker_spot") -> Config:
    found: Config = config["available_node_types"][name]["node_config"]
    return found


def test_shipped_file_passes_rays_own_validator_and_ours() -> None:
    cluster = load_cluster_file(SHIPPED)
    assert (cluster.provider, cluster.cluster_name, cluster.head_node_type) == ("aws", "agan", "head")
    assert cluster.worker_types == (
        WorkerType("worker_spot", "g6.2xlarge", is_spot=True, min_workers=0, max_workers=4),
        WorkerType("worker_on_demand", "g6.2xlarge", is_spot=False, min_workers=0, max_workers=4),
    )
    assert cluster.token_path == Path.home() / ".ray" / "auth_token"
    assert SHIPPED.parent / "requirements.lock" in cluster.local_paths


def test_shipped_file_encrypts_every_disk() -> None:
    for node_type in filled_in()["available_node_types"].values():
        for disk in node_type["node_config"]["BlockDeviceMappings"]:
            assert disk["Ebs"]["Encrypted"] is True


def test_shipped_file_lists_all_its_placeholders_at_its_head() -> None:
    head = SHIPPED.read_text(encoding="utf-8").split("\ncluster_name:")[0]
    assert find_placeholders(head) == load_cluster_file(SHIPPED).placeholders == tuple(FILLED_IN)


def test_shipped_spot_and_on_demand_workers_offer_the_same_so_that_priority_decides() -> None:
    types = filled_in()["available_node_types"]
    spot, on_demand = types["worker_spot"], types["worker_on_demand"]
    assert spot["resources"] == on_demand["resources"]
    assert spot["priority"] > on_demand["priority"]
    assert spot["node_config"].pop("InstanceMarketOptions") == {"MarketType": "spot"}
    assert spot["node_config"] == on_demand["node_config"]


def test_placeholders_left_over_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match="REPLACE_ME_REGION, REPLACE_ME_SUBNET_ID: not filled in"):
        refuse_placeholders(SHIPPED, {"a": "REPLACE_ME_REGION", "b": [{"c": "x REPLACE_ME_SUBNET_ID"}]})


def test_loading_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    load_cluster_file(SHIPPED)
    assert capfd.readouterr() == ("", "")


def test_importing_the_module_loads_neither_ray_nor_botocore() -> None:
    modules = "infra.cluster.aws.launcher_file, infra.cluster.aws.launcher"
    code = f"import sys, {modules}; print({{'ray', 'botocore'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=SHIPPED.parent, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "not valid YAML"),
        ("- a", "is not a mapping"),
        ("cluster_name: agan", "provider: is missing"),
    ],
)
def test_load_refuses_what_is_no_cluster_file(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=reason):
        load_cluster_file(path)


def test_load_names_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.yaml: No such file or directory; give the path"):
        load_cluster_file(tmp_path / "nowhere.yaml")


def test_load_refuses_another_cloud(tmp_path: Path) -> None:
    assert refusal(tmp_path, lambda c: c["provider"].update(type="gcp")).startswith("provider.type: only aws")


def test_load_refuses_a_missing_region(tmp_path: Path) -> None:
    assert refusal(tmp_path, lambda c: c["provider"].pop("region")).startswith("provider.region: is missing")


def test_load_refuses_missing_node_types_that_ray_would_fill_with_its_example(tmp_path: Path) -> None:
    assert "available_node_types: is missing" in refusal(tmp_path, lambda c: c.pop("available_node_types"))


def test_load_passes_on_rays_word_about_an_unknown_outer_key(tmp_path: Path) -> None:
    assert "'max_worker' was unexpected" in refusal(tmp_path, lambda c: c.update(max_worker=3))


def test_load_passes_on_rays_word_about_a_wrong_type_with_its_key(tmp_path: Path) -> None:
    message = refusal(tmp_path, lambda c: c["available_node_types"]["worker_spot"].update(max_workers="four"))
    assert message.startswith("available_node_types.worker_spot.max_workers: 'four' is not of type 'integer'")


def test_load_passes_on_rays_word_about_an_unknown_head_node_type(tmp_path: Path) -> None:
    assert "Ray's launcher refuses" in refusal(tmp_path, lambda c: c.update(head_node_type="haed"))


def test_load_refuses_a_misspelt_ec2_parameter_and_offers_the_right_one(tmp_path: Path) -> None:
    def spoil(config: Config) -> None:
        node_config(config)["InstanceTyp"] = node_config(config).pop("InstanceType")

    assert refusal(tmp_path, spoil) == (
        "available_node_types.worker_spot.node_config.InstanceTyp: "
        "EC2 RunInstances has no such parameter; did you mean InstanceType?"
    )


def test_load_refuses_a_misspelt_name_inside_an_ec2_parameter(tmp_path: Path) -> None:
    message = refusal(tmp_path, lambda c: node_config(c)["MetadataOptions"].update(HttpToken="required"))
    assert 'Unknown parameter in MetadataOptions: "HttpToken"' in message


def test_load_refuses_a_wrong_type_inside_an_ec2_parameter(tmp_path: Path) -> None:
    message = refusal(tmp_path, lambda c: node_config(c)["NetworkInterfaces"][0].update(DeviceIndex="first"))
    assert "NetworkInterfaces[0].DeviceIndex" in message


def test_load_refuses_a_head_node_that_runs_work(tmp_path: Path) -> None:
    message = refusal(tmp_path, lambda c: c["available_node_types"]["head"]["resources"].update(CPU=4))
    assert message.startswith("available_node_types.head.resources.CPU: must be 0, got 4;")


def test_load_refuses_a_head_node_whose_cpus_ray_would_count(tmp_path: Path) -> None:
    message = refusal(tmp_path, lambda c: c["available_node_types"]["head"]["resources"].clear())
    assert "must be 0, got nothing" in message


@pytest.mark.parametrize("node_type", ["head", "worker_spot", "worker_on_demand"])
def test_load_refuses_imds_v1_on_any_node_type(tmp_path: Path, node_type: str) -> None:
    message = refusal(tmp_path, lambda c: node_config(c, node_type)["MetadataOptions"].update(HttpTokens="optional"))
    assert message.startswith(f"available_node_types.{node_type}.node_config.MetadataOptions.HttpTokens: must be")


@pytest.mark.parametrize("node_type", ["head", "worker_spot"])
def test_load_refuses_a_node_type_without_an_instance_profile(tmp_path: Path, node_type: str) -> None:
    message = refusal(tmp_path, lambda c: node_config(c, node_type).pop("IamInstanceProfile"))
    assert f"{node_type}.node_config.IamInstanceProfile: is missing" in message


def test_load_refuses_an_interface_without_a_security_group(tmp_path: Path) -> None:
    message = refusal(tmp_path, lambda c: node_config(c)["NetworkInterfaces"][0].update(Groups=[]))
    assert "NetworkInterfaces[0].Groups: names no security group" in message


def test_load_refuses_an_interface_without_a_subnet(tmp_path: Path) -> None:
    message = refusal(tmp_path, lambda c: node_config(c)["NetworkInterfaces"][0].pop("SubnetId"))
    assert "NetworkInterfaces[0].SubnetId: is missing" in message


@pytest.mark.parametrize("value", [True, None])
def test_load_refuses_a_public_address_and_an_undecided_one(tmp_path: Path, value: bool | None) -> None:
    def spoil(config: Config) -> None:
        interface = node_config(config)["NetworkInterfaces"][0]
        del interface["AssociatePublicIpAddress"]
        if value is not None:
            interface["AssociatePublicIpAddress"] = value

    assert "AssociatePublicIpAddress: must be false" in refusal(tmp_path, spoil)


def test_load_refuses_a_node_type_whose_public_address_the_subnet_decides(tmp_path: Path) -> None:
    def spoil(config: Config) -> None:
        del node_config(config)["NetworkInterfaces"]
        node_config(config).update(SubnetIds=["subnet-1"], SecurityGroupIds=["sg-1"])

    assert "node_config.NetworkInterfaces: is missing" in refusal(tmp_path, spoil)


def test_load_refuses_a_subnet_named_twice(tmp_path: Path) -> None:
    message = refusal(tmp_path, lambda c: node_config(c).update(SubnetIds=["subnet-1"]))
    assert "node_config.SubnetIds: EC2 takes it only in NetworkInterfaces" in message


def test_load_refuses_public_addresses_in_the_provider(tmp_path: Path) -> None:
    assert "provider.use_internal_ips: must be true" in refusal(
        tmp_path, lambda c: c["provider"].pop("use_internal_ips")
    )
    assert "provider.use_external_head_ip" in refusal(
        tmp_path, lambda c: c["provider"].update(use_external_head_ip=True)
    )


@pytest.mark.parametrize("key", ["head_start_ray_commands", "worker_start_ray_commands"])
@pytest.mark.parametrize("setting", ["RAY_AUTH_MODE=token", "RAY_AUTH_TOKEN_PATH=$HOME/.ray/auth_token"])
def test_load_refuses_a_ray_start_without_token_authentication(tmp_path: Path, key: str, setting: str) -> None:
    message = refusal(tmp_path, lambda c: c.update({key: [line.replace(setting, "") for line in c[key]]}))
    assert message.startswith(f"{key}: a `ray start` without {setting.partition('=')[0]}")


def test_load_refuses_rays_default_start_command_which_has_no_token(tmp_path: Path) -> None:
    assert "without RAY_AUTH_MODE=token" in refusal(tmp_path, lambda c: c.pop("worker_start_ray_commands"))


def test_load_refuses_start_commands_that_start_nothing(tmp_path: Path) -> None:
    assert "holds no `ray start`" in refusal(tmp_path, lambda c: c.update(head_start_ray_commands=["ray stop"]))


def test_load_refuses_a_token_that_is_not_copied_to_the_nodes(tmp_path: Path) -> None:
    assert refusal(tmp_path, lambda c: c["file_mounts"].pop("~/.ray/auth_token")) == (
        "file_mounts: does not copy the token to ~/.ray/auth_token; add that line"
    )


def test_load_refuses_two_tokens(tmp_path: Path) -> None:
    def spoil(config: Config) -> None:
        config["file_mounts"]["~/.ray/other"] = "~/.ray/other"
        lines = config["worker_start_ray_commands"]
        config["worker_start_ray_commands"] = [line.replace(".ray/auth_token", ".ray/other") for line in lines]

    assert "use one for all nodes" in refusal(tmp_path, spoil)


def test_ray_asks_for_spot_again_after_a_refusal_as_the_shipped_file_says() -> None:
    from ray.autoscaler.v2.instance_manager.config import NodeTypeConfig
    from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
    from ray.autoscaler.v2.utils import ResourceRequestUtil
    from ray.core.generated import instance_manager_pb2

    messages: Any = instance_manager_pb2  # generated code without types
    refused = messages.InstanceUpdateEvent(
        new_instance_status=messages.Instance.ALLOCATION_FAILED, instance_type="worker_spot"
    )
    monitor = CloudResourceMonitor()
    monitor.notify([refused])

    def launches(spot_max_workers: int) -> dict[str, int]:
        types = filled_in()["available_node_types"]
        types["worker_spot"]["max_workers"] = spot_max_workers
        request = SchedulingRequest(
            node_type_configs={
                name: NodeTypeConfig(
                    name=name,
                    min_worker_nodes=0,
                    max_worker_nodes=types[name]["max_workers"],
                    resources=types[name]["resources"],
                    priority=types[name]["priority"],
                    launch_config_hash="",
                )
                for name in ("worker_on_demand", "worker_spot")
            },
            max_num_nodes=5,
            resource_requests=ResourceRequestUtil.group_by_count([ResourceRequestUtil.make({"GPU": 1})] * 3),
            current_instances=[],
            disable_launch_config_check=True,
            cloud_resource_availabilities=monitor.get_resource_availabilities(),
            recoverable_resource_availabilities=monitor.get_recoverable_resource_availabilities(),
        )
        reply = ResourceDemandScheduler().schedule(request)
        return {launch.instance_type: launch.count for launch in reply.to_launch}

    assert launches(spot_max_workers=4) == {"worker_spot": 3}
    assert launches(spot_max_workers=1) == {"worker_spot": 1, "worker_on_demand": 2}


@pytest.fixture
def fake_aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """moto with all that the shipped file names; yields the placeholders' values."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(VpcId=vpc, GroupName="agan", Description="agan")["GroupId"]
    ec2.create_key_pair(KeyName="agan")
    iam = boto3.client("iam")
    for profile in ("agan-head", "agan-worker"):
        iam.create_instance_profile(InstanceProfileName=profile)
    yield {
        "REPLACE_ME_REGION": "us-east-1",
        "REPLACE_ME_AMI_ID": ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"],
        "REPLACE_ME_SUBNET_ID": subnet,
        "REPLACE_ME_SECURITY_GROUP": group,
    }
    server.stop()


@pytest.mark.s3
def test_ray_bootstraps_the_shipped_file_and_ec2_takes_its_nodes(fake_aws: dict[str, str]) -> None:
    import boto3

    # Private: what `ray up` does with the file before its first SSH connection, for which Ray has no public call.
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
    from ray.autoscaler._private.commands import _bootstrap_config

    config = _bootstrap_config(filled_in(fake_aws), no_config_cache=True)
    types = config["available_node_types"]
    assert types["head"]["resources"]["CPU"] == 0
    assert types["worker_spot"]["resources"] == types["worker_on_demand"]["resources"]

    provider_class: Any = AWSNodeProvider
    provider = provider_class(config["provider"], config["cluster_name"])
    for name in types:
        tags = {"ray-node-kind": "worker", "ray-launch-config": "x", "ray-user-node-type": name}
        provider.create_node(types[name]["node_config"], tags, 1)
    reservations = boto3.client("ec2").describe_instances()["Reservations"]
    instances = [instance for reservation in reservations for instance in reservation["Instances"]]
    assert [instance.get("InstanceLifecycle") for instance in instances].count("spot") == 1
    for instance in instances:
        assert "PublicIpAddress" not in instance
        assert instance["MetadataOptions"]["HttpTokens"] == "required"
        assert {"Key": "ray-cluster-name", "Value": "agan"} in instance["Tags"]
        (interface,) = instance["NetworkInterfaces"]
        assert interface["SubnetId"] == fake_aws["REPLACE_ME_SUBNET_ID"]
        assert [group["GroupId"] for group in interface["Groups"]] == [fake_aws["REPLACE_ME_SECURITY_GROUP"]]
