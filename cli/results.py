"""`agan results show|pull`: what a job made, once it has succeeded."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import JsonOption, StoreOption, settings_from
from cli.output import emit, table

app = typer.Typer(no_args_is_help=True)

JobArgument = Annotated[str, typer.Argument(help="Id of a job that succeeded.")]


@app.command()
def show(job: JobArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List a job's results with size and sha256."""
    from infra.storage import open_storage
    from jobs.manifest import load_manifest

    manifest = load_manifest(open_storage(settings_from(store)), job)
    rows = [(output.name, output.size_bytes, output.sha256[:12]) for output in manifest.outputs]
    emit(manifest.model_dump(mode="json"), table(("result", "bytes", "sha256"), rows), as_json)


@app.command()
def pull(
    job: JobArgument,
    folder: Annotated[Path | None, typer.Option("--output", "-o", help="Local folder.", show_default="./<job>")] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a job's results here, each verified against the manifest.

    agan results pull generate-20260101-130000-cd34 -o generated
    """
    from infra.storage import open_storage
    from jobs.manifest import pull as pull_results

    target = folder or Path(job)
    paths = pull_results(open_storage(settings_from(store)), job, target)
    emit({"folder": str(target), "files": [str(p) for p in paths]}, f"{len(paths)} files in {target}", as_json)
