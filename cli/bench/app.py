"""`agan bench`: how long things take on this machine; figures with their command stand in docs/benchmarks.md."""

import typer

from cli.bench.generating import commits, encoding, forward, generate, masks
from cli.bench.learning import learning
from cli.bench.machine import ceilings, help_
from cli.bench.places import places
from cli.bench.training import data, step, train

app = typer.Typer(no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Benchmarks; compare figures of one run only."""


app.command("help")(help_)
for command in (step, train, data, masks, encoding, generate, forward, ceilings, commits, learning, places):
    app.command()(command)
