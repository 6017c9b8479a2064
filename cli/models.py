"""`agan models list`: trained models of the store."""

import json

import typer

from cli.options import JsonOption, StoreOption, settings_from
from cli.output import emit, table

app = typer.Typer(no_args_is_help=True)


@app.callback()
def models() -> None:
    """Trained models."""


@app.command("list")
def list_(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """All trained models with class, data set and last measures."""
    from infra.storage import open_storage
    from jobs.models import list_models

    told = {entry.model_id: json.loads(entry.description) for entry in list_models(open_storage(settings_from(store)))}
    rows = [
        (name, one["class_name"], one["view"]["size"], one["record"]["dataset"], one["record"]["nimg"])
        for name, one in told.items()
    ]
    text = table(("model", "class", "px", "data set", "images shown"), rows) if rows else "no models in this store"
    emit(told, text, as_json)
