"""The `agan` command: the list of its commands and the one error boundary."""

import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cli import cluster, data, demo, jobs, masks, models, results
from cli import weights as weights_commands
from cli.bench.app import app as bench
from cli.options import set_everywhere
from cli.output import shown
from cli.submit.app import app as submit
from infra.errors import AganError, ExitCode

TRACEBACK_FLAG = "--traceback"


class ErrorBoundary(TyperGroup):
    """Turns expected errors into one line and their exit code; anything else is a bug and keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AganError as err:
            if ctx.params.get("traceback"):
                traceback.print_exc(file=sys.stderr)
            typer.echo(f"error: {shown(str(err))}", err=True)
            raise typer.Exit(int(err.exit_code)) from err
        except MemoryError as err:
            if ctx.params.get("traceback"):
                traceback.print_exc(file=sys.stderr)
            typer.echo(
                "error: out of memory; end other programs or take a machine with more, then start again", err=True
            )
            raise typer.Exit(int(ExitCode.FAILED)) from err


app = typer.Typer(
    cls=ErrorBoundary,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich would double the time of --help
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data", help="Import, check and show data sets; render a demo set.")
app.add_typer(masks.app, name="masks", help="Build, score, show and preview mask pools.")
app.add_typer(submit, name="submit", help="Start train, tune, generate, evaluate and study jobs.")
app.add_typer(jobs.app, name="jobs", help="Watch and stop jobs.")
app.add_typer(results.app, name="results", help="Show and fetch what jobs made.")
app.add_typer(models.app, name="models", help="List trained models; import the authors' released weights.")
app.add_typer(weights_commands.app, name="weights", help="List, verify and add files of pretrained networks.")
app.add_typer(cluster.app, name="cluster", help="Start, reach and stop clusters.")
app.add_typer(bench, name="bench", help="Measure this machine.")
app.command("demo")(demo.demo)


@app.callback()
def main_options(
    traceback: Annotated[bool, typer.Option(TRACEBACK_FLAG, help="Show the full traceback of an error.")] = False,
    s3_endpoint: Annotated[
        str | None,
        typer.Option("--s3-endpoint", help="URL of an S3-compatible service.", show_default="AGAN_S3_ENDPOINT or AWS"),
    ] = None,
    s3_region: Annotated[
        str | None, typer.Option("--s3-region", help="Region of the store.", show_default="AGAN_S3_REGION")
    ] = None,
    s3_profile: Annotated[
        str | None,
        typer.Option("--s3-profile", help="Profile of AWS's own settings.", show_default="AGAN_S3_PROFILE"),
    ] = None,
    s3_timeout: Annotated[
        str | None,
        typer.Option("--s3-timeout", help="Seconds without an answer.", show_default="AGAN_S3_TIMEOUT or 20"),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", help="Folder of pretrained weights.", show_default="AGAN_WEIGHTS or none"),
    ] = None,
) -> None:
    """Mask-exact anomalous images from normal ones: Anomaly-GAN as a suite of batch jobs on Ray.

    First steps: `agan demo`, then `agan data import`, `agan submit train`, `agan submit generate`.

    The options below stand before the command: `agan --s3-endpoint URL data list`.
    """
    set_everywhere(
        s3_endpoint=s3_endpoint, s3_region=s3_region, s3_profile=s3_profile, s3_timeout=s3_timeout, weights=weights
    )


def main() -> None:
    app()


if __name__ == "__main__":
    main()
