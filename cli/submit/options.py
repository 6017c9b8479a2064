"""The options of `agan submit`: what every kind's command ends with, declared once, and what several kinds share."""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import ClusterOption, FollowOption, JsonOption, StoreOption, settings_from

if TYPE_CHECKING:
    from infra.settings import Settings

DatasetOption = Annotated[str | None, typer.Option("--dataset", help="NAME or NAME@VERSION.")]
MaskPoolOption = Annotated[
    str | None,
    typer.Option("--mask-pool", help="NAME or NAME@VERSION.", show_default="masks of the training split"),
]
RealOption = Annotated[
    int | None,
    typer.Option("--real", help="Learn from N anomalous pictures of the class.", show_default="all"),
]
PresetOption = Annotated[str | None, typer.Option("--preset", help="stable (default), laptop or paper.")]
WindowOption = Annotated[int | None, typer.Option("--window", help="Cut windows N pixels wide, at native scale.")]
BatchOption = Annotated[int | None, typer.Option("--batch-size", help="Pairs per step over all workers.")]


@dataclass(frozen=True)
class SubmitOptions:
    """How a job of any kind is submitted; a kind whose workers mean something else overrides their help."""

    workers: Annotated[int | None, typer.Option("--workers", help="Processes that share the work.")] = None
    gpus: Annotated[int | None, typer.Option("--gpus-per-worker", help="GPUs of each worker: 0 or 1.")] = None
    spec: Annotated[
        Path | None, typer.Option("--spec", help="YAML or JSON spec to start from.", show_default=False)
    ] = None
    sets: Annotated[
        list[str],
        typer.Option("--set", help="KEY=VALUE of the spec, such as train.loss.lambda_1=0.5; repeatable."),
    ] = field(default_factory=list)
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check everything, print the resolved spec and its sources, start nothing."),
    ] = False
    follow: FollowOption = False
    store: StoreOption = None
    cluster: ClusterOption = None
    as_json: JsonOption = False

    def settings(self) -> "Settings":
        return settings_from(self.store, self.cluster)

    def resources(self) -> dict[str, Any]:
        """Dotted key -> value; None = not given."""
        return {"resources.workers": self.workers, "resources.gpus_per_worker": self.gpus}


def spread_options(command: Callable[..., None]) -> Callable[..., None]:
    """Show Typer, which reads options from a signature, the fields of a command's last parameter in its place.

    Args:
        command: its last parameter is a dataclass of options, by keyword only.
    """
    *own, packed = signature(command).parameters.values()
    options = fields(packed.annotation)

    @wraps(command)
    def spread(**given: Any) -> None:
        values = {option.name: given.pop(option.name) for option in options}
        command(**given, **{packed.name: packed.annotation(**values)})

    spread.__signature__ = Signature([*own, *map(_as_parameter, options)])  # type: ignore[attr-defined]
    return spread


def _as_parameter(option: Any) -> Parameter:
    default = option.default if option.default_factory is MISSING else option.default_factory()
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=default, annotation=option.type)
