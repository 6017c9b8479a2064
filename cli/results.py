"""`agan results`: what a job made, once it has succeeded: list it, fetch it, hand it on, make it again."""

from pathlib import Path
from typing import Annotated

import typer

from anomaly_gan.formats.writing.exporters import EXPORTERS
from cli.options import JsonOption, StoreOption, settings_from
from cli.output import emit, note, progress, table, write_file
from infra.errors import DataError

app = typer.Typer(no_args_is_help=True)

JobArgument = Annotated[str, typer.Argument(help="Id of a job that succeeded.")]
GenerateJobArgument = Annotated[str, typer.Argument(help="Id of a generate job that succeeded.")]


@app.command()
def show(job: JobArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List a job's results with size and sha256."""
    from infra.storage.open import open_storage
    from jobs.record.manifest import load_manifest

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
    from infra.storage.open import open_storage
    from jobs.record.manifest import pull as pull_results

    target = folder or Path(job)
    paths = pull_results(open_storage(settings_from(store)), job, target)
    emit({"folder": str(target), "files": [str(p) for p in paths]}, f"{len(paths)} files in {target}", as_json)


@app.command()
def export(
    job: GenerateJobArgument,
    fmt: Annotated[
        str, typer.Option("--format", metavar=f"<{'|'.join(EXPORTERS)}>", help="Format that other tools read.")
    ],
    folder: Annotated[
        Path | None, typer.Option("--output", "-o", help="New local folder.", show_default="./<job>-<format>")
    ] = None,
    kept_only: Annotated[
        bool, typer.Option("--kept-only", help="Leave out images that the quality gate did not keep.")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a generate job's images and masks as a data set for other tools.

    agan results export generate-20260101-130000-cd34 --format coco -o coco
    """
    from infra.storage.open import open_storage
    from jobs.results.export import export as export_images

    target = folder or Path(f"{job}-{fmt}")
    with progress(f"exporting {job}, shards") as update:
        done = export_images(
            open_storage(settings_from(store)), job, fmt, target, kept_only=kept_only, on_progress=update
        )
    counts = done.counts
    if done.rejected and not kept_only:
        note(f"hint: the quality gate did not keep {done.rejected} of the images; --kept-only leaves them out")
    classes = dict(sorted(counts.classes.items()))
    data = {"folder": str(target), "format": fmt, "images": counts.images, "instances": counts.instances}
    by_class = ", ".join(f"{name} {number}" for name, number in classes.items())
    text = f"{counts.images} images with {counts.instances} instances ({by_class}) in {target}"
    emit(data | {"classes": classes, "rejected": done.rejected}, text, as_json)


@app.command()
def rebuild(
    job: GenerateJobArgument,
    index: Annotated[int, typer.Argument(min=0, help="Number of the image.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="PNG file to write.")] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make one image again from the job's record, and compare it with what was published.

    agan results rebuild generate-20260101-130000-cd34 17 -o 17.png
    """
    from jobs.results.rebuild import picture
    from jobs.results.rebuild import rebuild as rebuild_image

    made = rebuild_image(settings_from(store), job, index)
    if output is not None:
        write_file(output, picture(made))
    same = not made.differing
    data = {"job_id": job, "index": index, "key": made.key, "identical": same, "differing": made.differing}
    outcome = "identical bytes" if same else f"differs in {', '.join(made.differing)}"
    emit(data, f"{made.key}: {outcome}", as_json)
    if not same:
        raise DataError(
            f"job {job}: image {index} came out differently; expected on another kind of hardware or other versions"
        )
