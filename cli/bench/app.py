"""`agan bench`: how long things take on this machine; figures with their command stand in docs/benchmarks.md."""

import typer

from cli.bench.evaluating import likeness, study
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
TRAINING = (step, train, data)
GENERATING = (masks, encoding, generate, forward)
OTHERS = (ceilings, commits, study, likeness, learning, places)
for command in (*TRAINING, *GENERATING, *OTHERS):
    app.command()(command)
