"""What files of pretrained weights this installation has, and putting one into the weights folder."""

import shutil
from pathlib import Path
from typing import Literal

from anomaly_gan.networks.weights import WEIGHTS, file_digest, weights_path
from anomaly_gan.records import Record
from infra.errors import DataError, NotFoundError, UsageError


class WeightsState(Record):
    """One file of the list `WEIGHTS`, as it is here.

    Attributes:
        network: its name in the list.
        title: network and origin.
        purpose: what needs it.
        state: `right` = a known version, `wrong` = another file is in its place, `missing` = there is none.
        sha256: of the file that is there, 64 hexadecimal digits; None where there is none.
        place: where the file is, or what to do to have it.
    """

    network: str
    title: str
    purpose: str
    state: Literal["right", "wrong", "missing"]
    sha256: str | None
    place: str


def inspect_weights(folder: Path | None) -> list[WeightsState]:
    """Every file of `WEIGHTS`, in the order of the list; all that are there are read.

    Args:
        folder: the weights folder; None = none is set.
    """
    return [_inspect(name, folder) for name in WEIGHTS]


def add_weights(file: Path, folder: Path) -> tuple[str, Path]:
    """Copy a file of pretrained weights into the weights folder, under the name by which it is looked for.

    Its SHA-256 says which one it is, whatever its name. A copy that is cut off leaves nothing under that name.

    Args:
        file: a file of weights as it was downloaded.
        folder: the weights folder, which is made if it is not there.

    Returns:
        The network's name in `WEIGHTS`, and where its file is now.

    Raises:
        NotFoundError: there is no such file.
        DataError: it is no known version of a file of the list.
        UsageError: another file has its place, or the folder cannot be written.
    """
    if not file.is_file():
        raise NotFoundError(f"{file}: no such file; name a downloaded file of weights")
    digest = file_digest(file)
    wanted = {name: entry for name, entry in WEIGHTS.items() if entry.package is None}
    name = next((name for name, entry in wanted.items() if entry.is_known(digest)), None)
    if name is None:
        known = ", ".join(f"{entry.title} (sha256 {' or '.join(entry.digests)}...)" for entry in wanted.values())
        raise DataError(f"{file}: sha256 {digest} is no known file of weights; use one of {known}")
    place = folder / wanted[name].file
    if place.exists() and file_digest(place) != digest:
        raise UsageError(f"{place}: is there already, and is another file; move it away first")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f"{place.name}.part")
        shutil.copyfile(file, part)
        part.replace(place)
    except OSError as err:
        raise UsageError(f"{place}: cannot be written ({err.strerror}); choose another weights folder") from err
    return name, place


def _inspect(name: str, folder: Path | None) -> WeightsState:
    entry = WEIGHTS[name]
    try:
        path = weights_path(name, folder)
    except NotFoundError as err:
        path, place = None, str(err).removeprefix(f"{name}: ")
    else:
        place = str(path)
    about = {"network": name, "title": entry.title, "purpose": entry.purpose}
    if path is None or not path.is_file():
        return WeightsState(**about, state="missing", sha256=None, place=place)
    digest = file_digest(path)
    return WeightsState(**about, state="right" if entry.is_known(digest) else "wrong", sha256=digest, place=place)
