"""`agan models list|import-release`: trained models of the store."""

import json
from typing import Annotated, Any

import typer

from cli.options import JsonOption, StoreOption, settings_from
from cli.output import emit, note, table

app = typer.Typer(no_args_is_help=True)


@app.callback()
def models() -> None:
    """Trained models."""


@app.command("list")
def list_(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """All trained models with class, data set, and which checkpoint is published and why."""
    from anomaly_gan.generation.description import parse_description, published_in_words
    from infra.storage.damage import sound
    from infra.storage.open import open_storage
    from jobs.library.models.files import ModelEntry, list_models

    def content(entry: ModelEntry) -> tuple[str, dict[str, Any]]:
        parse_description(entry.description, f"model {entry.model_id}")
        return entry.model_id, json.loads(entry.description)

    entries = list_models(open_storage(settings_from(store)))
    descriptions = dict(sound(entries, content, lambda told: note(f"warning: {told}")))
    rows = [
        (
            name,
            one["class_name"],
            one["view"]["size"],
            one["record"]["dataset"],
            one["record"]["nimg"],
            published_in_words(one["record"]),
        )
        for name, one in descriptions.items()
    ]
    columns = ("model", "class", "px", "data set", "images shown", "published")
    text = table(columns, rows) if rows else "no models in this store"
    emit(descriptions, text, as_json)


@app.command("import-release")
def import_release(
    file: Annotated[str, typer.Argument(help="State dict written by torch.save: a local path or s3://bucket/key.")],
    model_id: Annotated[str, typer.Option("--id", help="Id that the model gets.")],
    class_name: Annotated[str, typer.Option("--class-name", help="Anomaly class that it makes.")],
    dataset: Annotated[
        str, typer.Option("--dataset", help="NAME or NAME@VERSION, whose normal images and masks it gets.")
    ],
    size: Annotated[int, typer.Option("--size", help="Side of its whole frames in px.")] = 512,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take over a generator of the authors' release; code in the file is never run.

    agan models import-release ./latest_net_G.pth --id cloth --class-name cloth --dataset strips
    """
    from infra.storage.open import open_storage
    from jobs.library.models.store import import_release as import_

    settings = settings_from(store)
    entry = import_(
        open_storage(settings), file, settings, model_id=model_id, class_name=class_name, dataset=dataset, size=size
    )
    description = json.loads(entry.description)
    lines = [
        f"{model_id}: imported, makes {class_name} for {description['record']['dataset']}",
        f"next: agan submit generate --model {model_id} --count 1600",
    ]
    emit({"model": model_id, **description}, "\n".join(lines), as_json)
