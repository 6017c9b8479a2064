"""Options that several commands share, and the settings they resolve to."""

from typing import Annotated

import typer

from infra.settings import Settings, load_settings

StoreOption = Annotated[
    str | None,
    typer.Option("--store", help="s3://bucket/prefix or a local folder.", show_default="AGAN_STORE or agan.yaml"),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="URL of a Ray dashboard.",
        show_default="AGAN_CLUSTER, agan.yaml, or a local head node",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Stream logs and progress until the end.")]


def settings_from(store: str | None = None, cluster: str | None = None) -> Settings:
    """Settings with a command's flags on top; every other key comes from the environment and agan.yaml."""
    return load_settings({"store": store, "cluster": cluster})
