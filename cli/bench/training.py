"""`agan bench step|train|data`: how long training takes."""

from typing import Annotated

import typer

from cli.bench.measuring import measuring, show
from cli.bench.options import (
    PRESETS,
    SIZE,
    BatchOption,
    DeviceOption,
    PresetOption,
    RepeatsOption,
    SetsOption,
    SizeOption,
    ThreadsOption,
    configuration_of,
    train_spec,
)
from cli.options import JsonOption


def step(
    cyclegan: Annotated[
        bool, typer.Option("--cyclegan", help="Compare with a plain CycleGAN step, not with the parts.")
    ] = False,
    preset: Annotated[
        str | None, typer.Option("--preset", help=PRESETS, show_default="laptop, or stable with --cyclegan")
    ] = None,
    size: Annotated[int | None, typer.Option("--size", help=SIZE, show_default="128, or 256 with --cyclegan")] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", help="Pairs per step.", show_default="the preset's, or 1 with --cyclegan"),
    ] = None,
    sets: SetsOption = [],  # noqa: B006
    repeats: RepeatsOption = 10,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Seconds of a training step, beside those of its parts alone, or beside a plain CycleGAN step.

    agan bench step --size 128
    """
    from anomaly_gan.benchmarks.stepping import measure_beside_cyclegan, measure_parts

    if cyclegan:
        spec = train_spec(preset or "stable", size or 256, batch_size or 1, sets)
    else:
        spec = train_spec(preset or "laptop", size or 128, batch_size, sets)
    measure = measure_beside_cyclegan if cyclegan else measure_parts
    with measuring(device, threads) as (where, update, about):
        figures = measure(spec.train, spec.view, where, repeats, update)
    show(figures, {**about, "configuration": configuration_of(spec, repeats)}, as_json)


def train(
    preset: PresetOption = "laptop",
    size: SizeOption = 128,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Pairs per step of each worker.")] = 8,
    sets: SetsOption = [],  # noqa: B006
    repeats: RepeatsOption = 5,
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads, and cores, of each worker.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Images per second of two workers, beside those of one with the same share of the batch; on CPU, without Ray.

    agan bench train --size 128 --batch-size 8
    """
    from anomaly_gan.benchmarks.workers import cores_of, measure_workers

    spec = train_spec(preset, size, batch_size, sets)
    with measuring("cpu", threads) as (_, update, about):
        figures = measure_workers(spec.train, spec.view, threads, repeats, update)
    cores = [sorted(cores_of(rank, 2, threads)) for rank in range(2)]
    show(figures, {**about, "configuration": {**configuration_of(spec, repeats), "cores": cores}}, as_json)


def data(
    preset: PresetOption = "laptop",
    size: SizeOption = 128,
    batch_size: BatchOption = None,
    sets: SetsOption = [],  # noqa: B006
    repeats: RepeatsOption = 7,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Batches per second of decoded pictures in memory, and the share of training that waits for them.

    agan bench data --size 128
    """
    from anomaly_gan.benchmarks.fetching import measure_data

    spec = train_spec(preset, size, batch_size, sets)
    with measuring(device, threads) as (where, update, about):
        figures = measure_data(spec.train, spec.view, where, repeats, update)
    show(figures, {**about, "configuration": configuration_of(spec, repeats)}, as_json)
