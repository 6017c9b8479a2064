"""`agan bench`: how long things take on this machine; figures with their command stand in docs/benchmarks.md."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.options import JsonOption
from cli.output import Update, emit, progress, table
from infra.errors import UsageError

if TYPE_CHECKING:
    import torch

    from anomaly_gan.benchmarks.measuring import Figures
    from jobs.spec.specs import TrainSpec

app = typer.Typer(no_args_is_help=True)

PRESETS = "stable, laptop or paper."
SIZE = "Side of the windows in px, cut from frames of 512 px."
PresetOption = Annotated[str, typer.Option("--preset", help=PRESETS)]
SizeOption = Annotated[int, typer.Option("--size", help=SIZE)]
BatchOption = Annotated[int | None, typer.Option("--batch-size", help="Pairs per step.", show_default="the preset's")]
SetsOption = Annotated[list[str], typer.Option("--set", help="KEY=VALUE of a train job's spec; repeatable.")]
RepeatsOption = Annotated[int, typer.Option("--repeats", min=1, help="Rounds that count, after a warm-up.")]
ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default="torch's own")]
DeviceOption = Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="Where the networks are.")]


@app.callback()
def bench() -> None:
    """Benchmarks; compare figures of one run only."""


@app.command("help")
def help_(repeats: RepeatsOption = 11, as_json: JsonOption = False) -> None:
    """Seconds from start to end of `agan --help`, beside those of a Python that does nothing.

    agan bench help --json
    """
    from anomaly_gan.benchmarks.measuring import Figures, in_turn, timed

    def process(*arguments: str) -> Callable[[], float]:
        return timed(lambda: subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL))

    runs = {"agan --help": process("-m", "cli.main", "--help"), "python -c pass": process("-c", "pass")}
    with _measuring("cpu", None) as (_, update, about):
        seconds = in_turn(runs, repeats, update)
    figures = Figures({name: {"sec": values} for name, values in seconds.items()}, {})
    _show(figures, {**about, "configuration": {"repeats": repeats}}, as_json)


@app.command()
def step(
    cyclegan: Annotated[
        bool, typer.Option("--cyclegan", help="Beside a plain CycleGAN step instead of the parts.")
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
        spec = _spec(preset or "stable", size or 256, batch_size or 1, sets)
    else:
        spec = _spec(preset or "laptop", size or 128, batch_size, sets)
    measure = measure_beside_cyclegan if cyclegan else measure_parts
    with _measuring(device, threads) as (where, update, about):
        figures = measure(spec.train, spec.view, where, repeats, update)
    _show(figures, {**about, "configuration": _configuration(spec, repeats)}, as_json)


@app.command()
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

    spec = _spec(preset, size, batch_size, sets)
    with _measuring("cpu", threads) as (_, update, about):
        figures = measure_workers(spec.train, spec.view, threads, repeats, update)
    cores = [sorted(cores_of(rank, 2, threads)) for rank in range(2)]
    _show(figures, {**about, "configuration": {**_configuration(spec, repeats), "cores": cores}}, as_json)


@app.command()
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

    spec = _spec(preset, size, batch_size, sets)
    with _measuring(device, threads) as (where, update, about):
        figures = measure_data(spec.train, spec.view, where, repeats, update)
    _show(figures, {**about, "configuration": _configuration(spec, repeats)}, as_json)


@app.command()
def masks(
    count: Annotated[int, typer.Option("--count", min=1, help="Masks to plan while memory is watched.")] = 100_000,
    repeats: RepeatsOption = 5,
    as_json: JsonOption = False,
) -> None:
    """Masks placed per second on one core at 512 px, and the memory that planning many of them takes.

    agan bench masks --count 1000000
    """
    from anomaly_gan.benchmarks.masking import measure_masks

    with _measuring("cpu", 1) as (_, update, about):
        figures = measure_masks(count, repeats, update)
    _show(figures, {**about, "configuration": {"repeats": repeats, "count": count}}, as_json)


@app.command()
def encoding(repeats: RepeatsOption = 5, as_json: JsonOption = False) -> None:
    """Grey pictures of 512 px written as PNG per second on one core.

    agan bench encoding
    """
    from anomaly_gan.benchmarks.encoding import measure_encoding

    with _measuring("cpu", 1) as (_, update, about):
        figures = measure_encoding(repeats, update)
    _show(figures, {**about, "configuration": {"repeats": repeats}}, as_json)


@app.command()
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

    spec = _spec(preset, size, None, sets)
    with _measuring(device, threads) as (where, update, about):
        figures = measure_generation(spec.train, spec.view, batch_size, threads, where, repeats, update)
    configuration = {**_configuration(spec, repeats), "batch_size": batch_size}
    _show(figures, {**about, "configuration": configuration}, as_json)


@app.command()
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

    spec = _spec(preset, size, batch_size, sets)
    with _measuring(device, threads) as (where, update, about):
        figures = measure_forward(spec.train, spec.view.size, where, repeats, update)
    _show(figures, {**about, "configuration": _configuration(spec, repeats)}, as_json)


@app.command()
def ceilings(
    side: Annotated[int, typer.Option("--side", min=64, help="Side of the multiplied matrices.")] = 2048,
    copied_mib: Annotated[int, typer.Option("--copied-mib", min=1, help="MiB of the copied tensor.")] = 256,
    repeats: RepeatsOption = 10,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """What the hardware gives at best: matrix products in bf16 and fp32 (TFLOP/s), and copies (GB/s).

    agan bench ceilings --device cuda --side 8192 --copied-mib 4096
    """
    from anomaly_gan.benchmarks.ceilings import measure_ceilings

    with _measuring(device, threads) as (where, update, about):
        figures = measure_ceilings(side, copied_mib, where, repeats, update)
    configuration = {"repeats": repeats, "side": side, "copied_mib": copied_mib}
    _show(figures, {**about, "configuration": configuration}, as_json)


@app.command()
def commits(
    tasks: Annotated[list[int], typer.Option("--tasks", min=1, help="Tasks of a job; repeatable.")] = [1000],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Seconds and requests per task of a generate job but for its images, and the memory of its driver.

    agan bench commits --tasks 1000 --tasks 100000
    """
    from jobs.benchmarks.commits import measure_commits

    with _measuring("cpu", None) as (_, update, about):
        figures = measure_commits(tasks, update)
    _show(figures, {**about, "configuration": {"repeats": 1, "tasks": tasks}}, as_json)


def _spec(preset: str, size: int, batch_size: int | None, sets: list[str]) -> "TrainSpec":
    """As `agan submit train` would resolve it, but without this machine's environment."""
    from anomaly_gan.benchmarks.synthetic import CLASS
    from jobs.spec.resolve import parse_sets, resolve
    from jobs.spec.specs import TrainSpec

    flags = {
        "dataset": "synthetic",
        "class_name": CLASS,
        "view.kind": "window",
        "view.size": size,
        "train.preset": preset,
        "train.batch_size": batch_size,
    }
    return resolve(TrainSpec, flags, sets=parse_sets(sets), environ={}).spec


def _configuration(spec: "TrainSpec", repeats: int) -> dict[str, Any]:
    return {"repeats": repeats, "view": spec.view.model_dump(mode="json"), "train": spec.train.model_dump(mode="json")}


@contextmanager
def _measuring(device: str, threads: int | None) -> "Iterator[tuple[torch.device, Update, dict[str, Any]]]":
    """The device, what to tell of progress, and the machine as it is now; torch has so many threads within."""
    import torch

    from anomaly_gan.benchmarks.machine import describe
    from anomaly_gan.benchmarks.measuring import threads_set

    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device: torch sees no GPU here; use cpu")
    where, count = torch.device(device), threads or torch.get_num_threads()
    with threads_set(count), progress("rounds") as update:
        yield where, update, describe(count, where)


def _show(figures: "Figures", about: dict[str, Any], as_json: bool) -> None:
    medians = figures.medians()
    measures = list(dict.fromkeys(measure for row in medians.values() for measure in row))
    rows = [(name, *(_short(row.get(measure)) for measure in measures)) for name, row in medians.items()]
    text = table(("medians", *measures), rows)
    if figures.ratios:
        ratios = [(name, f"{ratio.value:.3f}", ratio.aim) for name, ratio in figures.ratios.items()]
        text += "\n\n" + table(("ratio", "here", "aim"), ratios)
    emit({**about, "medians": medians, **asdict(figures)}, text, as_json)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
