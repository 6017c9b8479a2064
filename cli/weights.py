"""`agan weights list|verify|add`: files of pretrained networks that this installation has."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import JsonOption, settings_from
from cli.output import emit, table
from infra.errors import DataError, UsageError

if TYPE_CHECKING:
    from anomaly_gan.networks.weights_folder import WeightsState

app = typer.Typer(no_args_is_help=True)


@app.callback()
def weights() -> None:
    """Files of pretrained networks."""


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """All known files: right, wrong or missing, what for, and where."""
    found = _inspect()
    rows = [(one.network, one.state, one.title, one.purpose, one.place) for one in found]
    emit(_for_programs(found), table(("network", "state", "file of", "what for", "where"), rows), as_json)


@app.command("verify")
def verify(as_json: JsonOption = False) -> None:
    """Compare the SHA-256 of every file that is there; ends with 6 if one is wrong."""
    found = [one for one in _inspect() if one.state != "missing"]
    text = table(("network", "state", "sha256"), [(one.network, one.state, one.sha256) for one in found])
    emit(_for_programs(found), text, as_json)
    wrong = [one.place for one in found if one.state == "wrong"]
    if wrong:
        raise DataError(f"{', '.join(wrong)}: not a known version; see `agan weights list`, and add the right file")


@app.command("add")
def add(
    file: Annotated[Path, typer.Argument(help="A downloaded file of weights, by any name.")],
    as_json: JsonOption = False,
) -> None:
    """Copy a file into the weights folder, if its SHA-256 says that it is a known one.

    agan --weights ./weights weights add ~/Downloads/alexnet-owt-7be5be79.pth
    """
    from anomaly_gan.networks.weights_folder import add_weights

    folder = _folder()
    if folder is None:
        raise UsageError("weights: no folder is set; give --weights FOLDER before the command, or set AGAN_WEIGHTS")
    network, place = add_weights(file, folder)
    emit({"network": network, "place": str(place)}, f"{network}: {place}", as_json)


def _inspect() -> "list[WeightsState]":
    from anomaly_gan.networks.weights_folder import inspect_weights

    return inspect_weights(_folder())


def _folder() -> Path | None:
    """The weights folder of the settings.

    Raises:
        UsageError: it is not on this machine.
    """
    folder = settings_from().weights
    if folder is not None and "://" in folder:
        raise UsageError(f"weights: {folder} is not a local folder; give --weights FOLDER before the command")
    return None if folder is None else Path(folder)


def _for_programs(found: "list[WeightsState]") -> dict[str, dict[str, object]]:
    return {one.network: one.model_dump(exclude={"network"}) for one in found}
