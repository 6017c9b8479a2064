"""`agan bench masks|encoding|generate|forward|commits`: how long a generate job and its parts take."""

from typing import Annotated

import typer

from cli.bench.measuring import measuring, show
from cli.bench.options import (
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


def masks(
    count: Annotated[int, typer.Option("--count", min=1, help="Masks to plan while memory is watched.")] = 100_000,
    repeats: RepeatsOption = 5,
    as_json: JsonOption = False,
) -> None:
    """Masks placed per second on one core at 512 px, and the memory that planning many of them takes.

    agan bench masks --count 1000000
    """
    from anomaly_gan.benchmarks.masking import measure_masks

    with measuring("cpu", 1) as (_, update, about):
        figures = measure_masks(count, repeats, update)
    show(figures, {**about, "configuration": {"repeats": repeats, "count": count}}, as_json)


def encoding(repeats: RepeatsOption = 5, as_json: JsonOption = False) -> None:
    """Grey pictures of 512 px written as PNG per second on one core.

    agan bench encoding
    """
    from anomaly_gan.benchmarks.encoding import measure_encoding

    with measuring("cpu", 1) as (_, update, about):
        figures = measure_encoding(repeats, update)
    show(figures, {**about, "configuration": {"repeats": repeats}}, as_json)


def generate(
    preset: PresetOption = "laptop",
    size: SizeOption = 128,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images per forward pass.")] = 8,
    repeats: RepeatsOption = 5,
    device: DeviceOption = "cpu",
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads.")] = 1,
    sets: SetsOption = [],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Images generated per second, measured and encoded, against the generator alone and encoding alone.

    agan bench generate --size 256 --preset stable
    """
    from anomaly_gan.benchmarks.generating import measure_generation

    spec = train_spec(preset, size, None, sets)
    with measuring(device, threads) as (where, update, about):
        figures = measure_generation(spec.train, spec.view, batch_size, threads, where, repeats, update)
    configuration = {**configuration_of(spec, repeats), "batch_size": batch_size}
    show(figures, {**about, "configuration": configuration}, as_json)


def forward(
    preset: PresetOption = "laptop",
    size: SizeOption = 128,
    batch_size: BatchOption = None,
    sets: SetsOption = [],  # noqa: B006
    repeats: RepeatsOption = 10,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Images per second of the generator's forward pass alone.

    agan bench forward --preset stable --size 512 --device cuda --set train.compute.precision=bf16
    """
    from anomaly_gan.benchmarks.forward import measure_forward

    spec = train_spec(preset, size, batch_size, sets)
    with measuring(device, threads) as (where, update, about):
        figures = measure_forward(spec.train, spec.view.size, where, repeats, update)
    show(figures, {**about, "configuration": configuration_of(spec, repeats)}, as_json)


def commits(
    tasks: Annotated[list[int], typer.Option("--tasks", min=1, help="Tasks of a job; repeatable.")] = [1000],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Seconds and requests per task of a generate job but for its images, and the memory of its driver.

    agan bench commits --tasks 1000 --tasks 100000
    """
    from jobs.benchmarks.commits import measure_commits

    with measuring("cpu", None) as (_, update, about):
        figures = measure_commits(tasks, update)
    show(figures, {**about, "configuration": {"repeats": 1, "tasks": tasks}}, as_json)
