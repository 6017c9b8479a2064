"""Options that several benchmarks share, and the train spec that they stand for."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.options import train_flags

if TYPE_CHECKING:
    from jobs.spec.specs import TrainSpec

PRESETS = "stable, laptop or paper."
SIZE = "Side of the windows in px, cut from frames of 512 px."
PresetOption = Annotated[str, typer.Option("--preset", help=PRESETS)]
SizeOption = Annotated[int, typer.Option("--size", help=SIZE)]
BatchOption = Annotated[int | None, typer.Option("--batch-size", help="Pairs per step.", show_default="the preset's")]
SetsOption = Annotated[list[str], typer.Option("--set", help="KEY=VALUE of a train job's spec; repeatable.")]
RepeatsOption = Annotated[int, typer.Option("--repeats", min=1, help="Rounds that count, after a warm-up.")]
ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default="torch's own")]
DeviceOption = Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="Where the networks run.")]


def train_spec(preset: str, size: int, batch_size: int | None, sets: list[str]) -> "TrainSpec":
    """The spec as `agan submit train` would resolve it, but without this machine's environment."""
    from anomaly_gan.benchmarks.synthetic import CLASS
    from jobs.spec.resolve import parse_sets, resolve
    from jobs.spec.specs import TrainSpec

    flags = train_flags(dataset="synthetic", class_name=CLASS, preset=preset, window=size, batch_size=batch_size)
    return resolve(TrainSpec, flags, sets=parse_sets(sets), environ={}).spec


def configuration_of(spec: "TrainSpec", repeats: int) -> dict[str, Any]:
    return {"repeats": repeats, "view": spec.view.model_dump(mode="json"), "train": spec.train.model_dump(mode="json")}
