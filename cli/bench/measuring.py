"""What every benchmark does around its measurement: find the device, describe the machine, print the figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cli.output import Update, emit, progress, table
from infra.errors import UsageError

if TYPE_CHECKING:
    import torch

    from anomaly_gan.benchmarks.measuring import Figures


@contextmanager
def measuring(device: str, threads: int | None) -> "Iterator[tuple[torch.device, Update, dict[str, Any]]]":
    """The device, how to report progress, and the machine as it is now; within it torch has this many threads."""
    import torch

    from anomaly_gan.benchmarks.machine import describe
    from anomaly_gan.benchmarks.measuring import threads_set

    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device: torch sees no GPU here; use cpu")
    where, count = torch.device(device), threads or torch.get_num_threads()
    with threads_set(count), progress("rounds") as update:
        yield where, update, describe(count, where)


def show(figures: "Figures", about: dict[str, Any], as_json: bool) -> None:
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
