"""`agan bench`: how long things take on this machine; figures with their command stand in docs/benchmarks.md."""

import platform
import statistics
import subprocess
import sys
import time
from typing import Annotated

import typer

from cli.options import JsonOption
from cli.output import emit

app = typer.Typer(no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Benchmarks; compare figures of one run only."""


@app.command("help")
def help_(
    runs: Annotated[int, typer.Option("--runs", min=1, help="Processes to start of each kind.")] = 11,
    as_json: JsonOption = False,
) -> None:
    """Seconds from start to end of `agan --help`, beside those of a Python that does nothing.

    agan bench help --json
    """
    commands = {"agan --help": ["-m", "cli.main", "--help"], "python -c pass": ["-c", "pass"]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, arguments in commands.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - started)
    medians = {name: round(statistics.median(values), 3) for name, values in seconds.items()}
    data = {"median_sec": medians, "runs": runs, "python": platform.python_version(), "machine": platform.machine()}
    emit(data, "\n".join(f"{name}: {value} s" for name, value in medians.items()), as_json)
