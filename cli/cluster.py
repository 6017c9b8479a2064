"""`agan cluster`: the local head node of this machine, and clusters in the cloud."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import ClusterOption, JsonOption, YesOption, settings_from
from cli.output import emit, note

app = typer.Typer(no_args_is_help=True)

FileArgument = Annotated[Path, typer.Argument(help="Cluster file.")]
CLUSTER_FILE = Path("ray_cluster.yaml")


@app.command()
def start(
    cpus: Annotated[int | None, typer.Option("--cpus", min=1, help="CPU cores to offer.", show_default="all")] = None,
    as_json: JsonOption = False,
) -> None:
    """Start a Ray head node on 127.0.0.1, unless ours already runs; jobs start it by themselves too."""
    from infra.cluster.local_head import start_head

    head = start_head(cpus)
    emit(head.model_dump(mode="json"), f"head node on {head.dashboard}, {head.cpus} CPUs", as_json)


@app.command()
def status(as_json: JsonOption = False) -> None:
    """Whether our local head node runs."""
    from infra.cluster.local_head import running_head

    head = running_head()
    if head is None:
        emit({"running": False}, "no local head node; `agan cluster start`, or submit a job", as_json)
        return
    text = f"head node on {head.dashboard}, {head.cpus} CPUs, {len(head.processes)} processes"
    emit({"running": True, **head.model_dump(mode="json")}, text, as_json)


@app.command()
def stop(as_json: JsonOption = False) -> None:
    """End our local head node, and no other Ray of this machine."""
    from infra.cluster.local_head import stop_head

    stopped = stop_head()
    emit({"stopped": stopped}, "stopped" if stopped else "no local head node was running", as_json)


@app.command()
def dashboard(cluster: ClusterOption = None, as_json: JsonOption = False) -> None:
    """The Ray dashboard's address, and how to log in."""
    from infra.cluster.ray_cluster import dashboard_login

    url, token_file = dashboard_login(settings_from(cluster=cluster))
    text = f"{url}\nIt asks for a token once; copy it from {token_file}\nJobs are at {url}/#/jobs"
    emit({"url": url, "token_file": str(token_file)}, text, as_json)


@app.command()
def up(file: FileArgument = CLUSTER_FILE, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Start or update the cluster that a cluster file describes.

    agan cluster up ray_cluster.yaml
    """
    from infra.cluster.aws.launcher import cluster_up, run_aside, run_streaming

    note("a cluster that already runs is updated: its Ray restarts, which ends running jobs")
    started = cluster_up(file, yes=yes, runner=run_aside if as_json else run_streaming)
    text = f"`ray dashboard {file}` forwards its dashboard, then --cluster http://localhost:8265"
    emit({"cluster_name": started.cluster_name, "up": True}, f"{started.cluster_name}: up; {text}", as_json)


@app.command()
def down(file: FileArgument = CLUSTER_FILE, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """End the cluster that a cluster file describes; the store keeps everything."""
    from infra.cluster.aws.launcher import cluster_down, run_aside, run_streaming

    cluster_down(file, yes=yes, runner=run_aside if as_json else run_streaming)
    emit({"file": str(file), "up": False}, f"{file}: ended", as_json)
