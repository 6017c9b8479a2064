"""The `agan` command: the list of its commands and the one error boundary."""

import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from cli import cluster, data, demo, jobs, models, results, submit
from infra.errors import AganError

TRACEBACK_FLAG = "--traceback"


class ErrorBoundary(TyperGroup):
    """Turns expected errors into one line and their exit code; anything else is a bug and keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AganError as err:
            if ctx.params.get("traceback"):
                traceback.print_exc(file=sys.stderr)
            typer.echo(f"error: {err}", err=True)
            raise typer.Exit(int(err.exit_code)) from err


app = typer.Typer(
    cls=ErrorBoundary,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data", help="Import, check and show data sets; render a demo set.")
app.add_typer(submit.app, name="submit", help="Start train, tune, generate and evaluate jobs.")
app.add_typer(jobs.app, name="jobs", help="Watch and stop jobs.")
app.add_typer(results.app, name="results", help="Show and fetch what jobs made.")
app.add_typer(models.app, name="models", help="List trained models.")
app.add_typer(cluster.app, name="cluster", help="Start, reach and stop clusters.")
app.command("demo")(demo.demo)


@app.callback()
def main_options(
    traceback: bool = typer.Option(False, TRACEBACK_FLAG, help="Show the full traceback of an error."),
) -> None:
    """Mask-exact anomalous images from normal ones: Anomaly-GAN as a suite of batch jobs on Ray.

    First steps: `agan demo`, then `agan data import`, `agan submit train`, `agan submit generate`.
    """


def main() -> None:
    app()


if __name__ == "__main__":
    main()
