"""Options that several commands share, and the settings they resolve to."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from infra.settings import Settings

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


_everywhere: dict[str, str | None] = {}
"""Settings that were given before the name of the command."""


def set_everywhere(**flags: str | None) -> None:
    """Remember the flags that every command takes, in place of those of an earlier call."""
    _everywhere.clear()
    _everywhere.update(flags)


def settings_from(store: str | None = None, cluster: str | None = None) -> "Settings":
    """Settings with the flags on top; every other key comes from the environment and agan.yaml."""
    from infra.settings import load_settings

    return load_settings({**_everywhere, "store": store, "cluster": cluster})


def train_flags(
    *,
    dataset: str | None = None,
    class_name: str | None = None,
    mask_pool: str | None = None,
    real: int | None = None,
    preset: str | None = None,
    window: int | None = None,
    images: int | None = None,
    batch_size: int | None = None,
) -> dict[str, Any]:
    """Dotted key of the spec -> value that an option of a training gives; None = not given."""
    return {
        "dataset": dataset,
        "class_name": class_name,
        "mask_pool": mask_pool,
        "real": real,
        "train.preset": preset,
        "train.total_images": images,
        "train.batch_size": batch_size,
        "view.kind": None if window is None else "window",
        "view.size": window,
    }
