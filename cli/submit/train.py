"""`agan submit train`."""

from typing import Annotated

import typer

from cli.options import train_flags
from cli.submit.flow import submit_jobs
from cli.submit.options import (
    BatchOption,
    DatasetOption,
    MaskPoolOption,
    PresetOption,
    RealOption,
    SubmitOptions,
    WindowOption,
    spread_options,
)


@spread_options
def train(
    dataset: DatasetOption = None,
    class_name: Annotated[
        list[str], typer.Option("--class", help="Anomaly class; repeatable, each becomes a job of its own.")
    ] = [],  # noqa: B006  (Typer reads the default, never changes it)
    mask_pool: MaskPoolOption = None,
    real: RealOption = None,
    preset: PresetOption = None,
    window: WindowOption = None,
    images: Annotated[int | None, typer.Option("--images", help="Pairs of images to show in training.")] = None,
    batch_size: BatchOption = None,
    *,
    options: SubmitOptions,
) -> None:
    """Train the generators of one class; several classes become one job each.

    agan submit train --dataset tiles --class blowhole --window 128 --workers 2 --follow
    """
    flags = train_flags(
        dataset=dataset,
        mask_pool=mask_pool,
        real=real,
        preset=preset,
        window=window,
        images=images,
        batch_size=batch_size,
    )
    submit_jobs("train", [flags | {"class_name": name} for name in class_name] or [flags], options)
