"""`agan data`: import, check, show, export and list data sets, and render a demo folder."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from anomaly_gan.formats.reading.readers import AUTO, READERS
from anomaly_gan.formats.writing.exporters import EXPORTERS
from cli.options import JsonOption, StoreOption, settings_from
from cli.output import Update, emit, note, progress, table, write_file
from infra.errors import DataError, UsageError

if TYPE_CHECKING:
    from anomaly_gan.samples.index import DatasetIndex
    from jobs.library.datasets.store import ImportResult

Item = TypeVar("Item")


def _either(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}."


app = typer.Typer(no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="NAME, or NAME@VERSION for one that is not the latest.")]


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="Annotated folder: a local path or s3://bucket/prefix.")],
    name: Annotated[str, typer.Option("--name", help="Name of the data set in the store.")],
    fmt: Annotated[str, typer.Option("--format", help=f"auto (the one that fits), {_either(READERS)}")] = AUTO,
    resolution: Annotated[
        str, typer.Option("--resolution", help="Side of the square to resize to, or native.")
    ] = "512",
    groups: Annotated[
        str | None,
        typer.Option(
            "--groups",
            help="FILE.csv[:COLUMN] or a regular expression on the path; a group is never in both splits.",
            show_default="every picture is its own group",
        ),
    ] = None,
    test_fraction: Annotated[float, typer.Option("--test-fraction", help="Share of the test split.")] = 0.25,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the split.")] = 0,
    max_bad: Annotated[int, typer.Option("--max-bad", help="Leave out up to N bad items.")] = 0,
    leave_out: Annotated[
        list[str] | None, typer.Option("--leave-out", help="Class whose pictures are left out; repeat it.")
    ] = None,
    allow_large: Annotated[
        bool, typer.Option("--allow-large", help="Take masks of more than 90 % of their picture.")
    ] = False,
    mask_colour: Annotated[
        list[str] | None,
        typer.Option("--mask-colour", help="R,G,B=CLASS, #RRGGBB=CLASS or NUMBER=CLASS of mask pictures; repeat it."),
    ] = None,
    depth_range: Annotated[
        str | None, typer.Option("--depth-range", help="LOW:HIGH or 1%:99%: 16 bits a channel become 8.")
    ] = None,
    orientation: Annotated[
        str | None,
        typer.Option("--orientation", help="exif: turned as shown; stored: as the file has it.", show_default="exif"),
    ] = None,
    boxes_as_masks: Annotated[
        bool, typer.Option("--boxes-as-masks", help="Take a box for the mask of an anomaly that has no other.")
    ] = False,
    picture_by: Annotated[
        str | None, typer.Option("--picture-by", help="imagePath or name: which picture a labelme file means.")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Turn an annotated folder into a versioned data set in the store.

    agan data import ./tiles --name tiles --format mvtec --groups groups.csv:tile_group
    """
    from anomaly_gan.formats.reading.options import parse_options
    from infra.storage.open import open_storage
    from infra.storage.sources import FsspecTree
    from jobs.library.datasets.store import import_dataset

    options = parse_options(
        orientation=orientation,
        depth_range=depth_range,
        mask_colours=mask_colour or (),
        picture_by=picture_by,
        boxes_as_masks=boxes_as_masks,
    )
    settings = settings_from(store)
    with progress(f"importing {source}") as update:
        result = import_dataset(
            open_storage(settings),
            FsspecTree(source, settings),
            name=name,
            fmt=fmt,
            resolution=_pixels(resolution),
            groups=groups,
            test_fraction=test_fraction,
            seed=seed,
            max_bad=max_bad,
            options=options,
            allow_large=allow_large,
            leave_out=leave_out or (),
            on_progress=update,
            settings=settings,
        )
    if groups is None:
        note("hint: every picture is its own group; near-duplicates need --groups to stay in one split")
    _report(result, as_json)


@app.command()
def check(name: NameArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Verify every digest, pairing and mask of a data set.

    agan data check tiles
    """
    from infra.storage.open import open_storage
    from jobs.library.datasets.store import check_dataset

    report = check_dataset(open_storage(settings_from(store)), name)
    label = f"{report.index.name}@{report.index.version}"
    looked_at = f"{report.samples} samples in {report.shards} shards"
    data = _summary(report.index) | {"problems": report.problems, "samples_found": report.samples}
    emit(data, "\n".join([*report.problems, f"{label}: {looked_at}, {len(report.problems)} problems"]), as_json)
    if report.problems:
        raise DataError(f"data set {label}: {len(report.problems)} problems; import it again")


@app.command()
def show(
    name: NameArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG file to write.")],
    per_class: Annotated[int, typer.Option("--per-class", min=1, help="Pictures in each row.")] = 6,
    tile_px: Annotated[int, typer.Option("--tile", min=32, max=1024, help="Side of a picture.")] = 192,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a contact sheet: a row of normal pictures and one of each class, masks outlined.

    agan data show tiles -o sheet.png
    """
    from anomaly_gan.samples.sample import encode_png
    from infra.storage.open import open_storage
    from jobs.library.datasets.sheet import draw_sheet
    from jobs.library.datasets.store import load_index

    storage = open_storage(settings_from(store))
    index = load_index(storage, name)
    write_file(output, encode_png(draw_sheet(storage, index, per_class=per_class, tile_px=tile_px)))
    data = {"name": index.name, "version": index.version, "file": str(output)}
    emit(data, f"{index.name}@{index.version}: {output}", as_json)


@app.command()
def export(
    name: NameArgument,
    folder: Annotated[Path, typer.Option("--output", "-o", help="New local folder.")],
    fmt: Annotated[
        str, typer.Option("--format", help=f"webdataset (shards of samples alike), {_either(EXPORTERS)}")
    ] = "webdataset",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a data set for other tools.

    agan data export tiles --format webdataset -o tiles-shards
    """
    from infra.storage.open import open_storage
    from jobs.library.datasets.exporting import export_dataset

    with progress(f"exporting {name}") as update:
        index, counts = export_dataset(open_storage(settings_from(store)), name, fmt, folder, on_progress=update)
    data = {"folder": str(folder), "format": fmt, "images": counts.images, "instances": counts.instances}
    text = f"{index.name}@{index.version}: {counts.images} images with {counts.instances} instances in {folder}"
    emit(data | {"name": index.name, "version": index.version}, text, as_json)


@app.command("list")
def list_(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the data sets of the store.

    agan data list
    """
    from infra.storage.open import is_absent, open_storage
    from jobs.library.datasets.store import list_datasets

    settings = settings_from(store)
    found = list_datasets(open_storage(settings), on_damaged=lambda told: note(f"warning: {told}"))
    absent = f"no data sets yet: {settings.store} is not there"
    nothing = absent if is_absent(settings.require_store()) else "no data sets yet"
    rows = [
        (
            index.name,
            index.version,
            len(index.samples),
            index.resolution or "native",
            ", ".join(index.classes),
        )
        for index in found
    ]
    text = table(("NAME", "VERSION", "SAMPLES", "PIXELS", "CLASSES"), rows) if rows else nothing
    emit([_summary(index) for index in found], text, as_json)


@app.command()
def render(
    folder: Annotated[Path, typer.Argument(help="New or empty folder.")],
    normal: Annotated[int, typer.Option("--normal", min=0, help="Normal pictures.")] = 100,
    per_class: Annotated[int, typer.Option("--per-class", min=0, help="Pictures of each class.")] = 20,
    classes: Annotated[
        str | None, typer.Option("--classes", help="Classes, with commas between.", show_default="all")
    ] = None,
    size: Annotated[int, typer.Option("--size", help="Side of a picture in pixels.")] = 256,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same pictures.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Render a demo set in the MVTec-AD layout, with exact masks.

    agan data render ./belt --normal 100 --per-class 20 --size 256
    """
    from anomaly_gan.render.dataset import CLASSES, render_samples, write_mvtec

    names = CLASSES if classes is None else tuple(classes.split(","))
    total = normal + per_class * len(names)
    samples = render_samples(normal=normal, per_class=per_class, classes=names, size=size, seed=seed)
    with progress(f"rendering {folder}") as update:
        written = write_mvtec(_counted(samples, total, update), folder)
    following = f"next: agan data import {folder} --name demo --format mvtec --groups groups.csv"
    emit({"folder": str(folder), "pictures": written}, f"{folder}: {written} pictures\n{following}", as_json)


def _report(result: "ImportResult", as_json: bool) -> None:
    for warning in result.warnings:
        note(f"warning: {warning}")
    for entry in result.skipped:
        note(f"left out: {entry.reason}")
    for clause in result.left_out:
        note(f"left out: {clause}")
    index = result.index
    data = _summary(index) | {
        "already_there": result.already_there,
        "warnings": result.warnings,
        "left_out": result.left_out,
    }
    lines = [
        f"{index.name}@{index.version} {'was already there' if result.already_there else 'imported'}",
        _counts(index),
        f"pictures left out: {len(result.skipped)}",
        f"next: agan data show {index.name} -o sheet.png",
    ]
    emit(data, "\n".join(lines), as_json)


def _counted(items: Iterable[Item], total: int, update: Update) -> Iterator[Item]:
    for done, item in enumerate(items, start=1):
        yield item
        update(done, total)


def _pixels(resolution: str) -> int | None:
    if resolution == "native":
        return None
    try:
        return int(resolution)
    except ValueError as err:
        raise UsageError(f"--resolution: a number of pixels or native, got {resolution!r}") from err


def _summary(index: "DatasetIndex") -> dict[str, object]:
    return {
        "name": index.name,
        "version": index.version,
        "resolution": index.resolution or "native",
        "gray": index.gray,
        "classes": index.classes,
        "counts": index.counts,
        "shards": len(index.shards),
        "skipped": [entry.model_dump() for entry in index.skipped],
    }


def _counts(index: "DatasetIndex") -> str:
    rows = [(split, *counts.values()) for split, counts in index.counts.items()]
    return table(("SPLIT", "normal", *index.classes), rows)
