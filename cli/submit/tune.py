"""`agan submit tune`."""

from dataclasses import dataclass
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


@dataclass(frozen=True)
class TuneOptions(SubmitOptions):
    """How a tune job is submitted; its workers are those of each trial."""

    workers: Annotated[int | None, typer.Option("--workers", help="Processes of each trial.")] = None


@spread_options
def tune(
    dataset: DatasetOption = None,
    class_name: Annotated[str | None, typer.Option("--class", help="Anomaly class.")] = None,
    mask_pool: MaskPoolOption = None,
    real: RealOption = None,
    trials: Annotated[int | None, typer.Option("--trials", help="Runs to try.")] = None,
    preset: PresetOption = None,
    window: WindowOption = None,
    images: Annotated[int | None, typer.Option("--images", help="Pairs of images to show in each trial.")] = None,
    batch_size: BatchOption = None,
    *,
    options: TuneOptions,
) -> None:
    """Search lambda_1 and both learning rates; the best trial's spec feeds `agan submit train --spec`.

    agan submit tune --dataset tiles --class blowhole --window 128 --trials 8
    """
    flags = train_flags(
        dataset=dataset,
        class_name=class_name,
        mask_pool=mask_pool,
        real=real,
        preset=preset,
        window=window,
        images=images,
        batch_size=batch_size,
    )
    submit_jobs("tune", [{**flags, "trials": trials}], options)
