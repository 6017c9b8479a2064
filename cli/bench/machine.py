"""`agan bench help|ceilings`: how soon a command starts here, and what the hardware gives at best."""

import subprocess
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from cli.bench.measuring import measuring, show
from cli.bench.options import (
    DeviceOption,
    RepeatsOption,
    ThreadsOption,
)
from cli.options import JsonOption


def help_(repeats: RepeatsOption = 11, as_json: JsonOption = False) -> None:
    """Seconds from start to end of `agan --help`, beside those of a Python that does nothing.

    agan bench help --json
    """
    from anomaly_gan.benchmarks.measuring import Figures, in_turn, timed

    def process(*arguments: str) -> Callable[[], float]:
        return timed(lambda: subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL))

    runs = {"agan --help": process("-m", "cli.main", "--help"), "python -c pass": process("-c", "pass")}
    with measuring("cpu", None) as (_, update, about):
        seconds = in_turn(runs, repeats, update)
    figures = Figures({name: {"sec": values} for name, values in seconds.items()}, {})
    show(figures, {**about, "configuration": {"repeats": repeats}}, as_json)


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

    with measuring(device, threads) as (where, update, about):
        figures = measure_ceilings(side, copied_mib, where, repeats, update)
    configuration = {"repeats": repeats, "side": side, "copied_mib": copied_mib}
    show(figures, {**about, "configuration": configuration}, as_json)
