"""`agan bench study|likeness`: how long an evaluation's detectors and its measures take."""

from typing import Annotated

import typer

from cli.bench.measuring import measuring, show
from cli.bench.options import DeviceOption, RepeatsOption, ThreadsOption
from cli.options import JsonOption


def study(
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Cells of each of three arms.")] = 4,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimiser steps of each detector.")] = 100,
    repeats: RepeatsOption = 1,
    as_json: JsonOption = False,
) -> None:
    """Seconds of a study's cells on two workers of a core each, beside one; on this machine's own head node.

    agan bench study --seeds 4 --steps 400
    """
    from jobs.benchmarks.cells import measure_study

    with measuring("cpu", None) as (_, update, about):
        figures = measure_study(seeds, steps, repeats, update)
    show(figures, {**about, "configuration": {"repeats": repeats, "seeds": seeds, "steps": steps}}, as_json)


def likeness(
    images: Annotated[int, typer.Option("--images", min=4, help="Generated pictures of 128 px.")] = 10_000,
    repeats: RepeatsOption = 1,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Pictures per second whose anomalies are compared with real ones, beside the feature network alone.

    agan bench likeness --images 10000 --threads 1
    """
    from anomaly_gan.benchmarks.likeness import measure_likeness_rate

    with measuring(device, threads) as (where, update, about):
        figures = measure_likeness_rate(images, repeats, where, update)
    show(figures, {**about, "configuration": {"repeats": repeats, "images": images}}, as_json)
