"""`agan submit evaluate`."""

from typing import Annotated

import typer

from cli.submit.flow import submit_jobs
from cli.submit.options import DatasetOption, SubmitOptions, spread_options


@spread_options
def evaluate(
    dataset: DatasetOption = None,
    generated: Annotated[str | None, typer.Option("--generated", help="Id of a generate job.")] = None,
    detector_steps: Annotated[
        int | None, typer.Option("--detector-steps", help="Optimiser steps of each detector.")
    ] = None,
    arms: Annotated[
        list[str], typer.Option("--arm", help="What detectors learn from, beside real pictures alone; repeatable.")
    ] = [],  # noqa: B006
    seeds: Annotated[int | None, typer.Option("--seeds", help="Detectors trained for each arm.")] = None,
    *,
    options: SubmitOptions,
) -> None:
    """Measure generated images, and what they do for a detector: real against real + copy-paste and real + generated.

    agan submit evaluate --dataset tiles --generated generate-20260101-130000-cd34
    """
    flags = {
        "dataset": dataset,
        "generated": generated,
        "arms": arms or None,
        "seeds": seeds,
        "detector.steps": detector_steps,
    }
    submit_jobs("evaluate", [flags], options)
