"""Which outputs of a job count: the manifest, then _SUCCESS; readers trust nothing else."""

from pathlib import Path

from pydantic import ValidationError

from anomaly_gan.records import Record
from infra.errors import DataError, NotFoundError
from infra.storage.digest import sha256
from infra.storage.protocol import Storage
from jobs.record.status import job_key, load_status

SCHEMA_VERSION = 1
ANEW = "make it anew with `agan jobs retry {}`"


class Output(Record):
    """One result.

    Attributes:
        name: what readers call it, relative to jobs/<id>/out/.
        stored: where it is, relative to jobs/<id>/; None = below out/ under its name.
    """

    name: str
    size_bytes: int
    sha256: str
    stored: str | None = None

    def key(self, job_id: str) -> str:
        return job_key(job_id, self.stored or f"out/{self.name}")


class Manifest(Record):
    schema_version: int = SCHEMA_VERSION
    job_id: str
    outputs: tuple[Output, ...]


class OutputWriter:
    """Writes below jobs/<id>/out/ and remembers what it wrote."""

    def __init__(self, storage: Storage, job_id: str) -> None:
        self.storage = storage
        self.job_id = job_id
        self._outputs: dict[str, Output] = {}

    def write(self, name: str, data: bytes) -> Output:
        self.storage.write(job_key(self.job_id, f"out/{name}"), data)
        return self.add(Output(name=name, size_bytes=len(data), sha256=sha256(data)))

    def add(self, output: Output) -> Output:
        """Remember an output that another process of the job has written."""
        self._outputs[output.name] = output
        return output

    def add_written(self, prefix: str) -> None:
        """Remember all that stands below out/<prefix>, whoever wrote it."""
        base = job_key(self.job_id, "out/")
        for entry in self.storage.list(base + prefix):
            data = self.storage.read(entry.key)
            name = entry.key.removeprefix(base)
            self.add(Output(name=name, size_bytes=len(data), sha256=sha256(data)))

    def commit(self) -> Manifest:
        """Make the outputs visible: manifest.json, then _SUCCESS."""
        outputs = tuple(self._outputs[name] for name in sorted(self._outputs))
        manifest = Manifest(job_id=self.job_id, outputs=outputs)
        self.storage.write(job_key(self.job_id, "manifest.json"), manifest.model_dump_json(indent=1).encode())
        self.storage.write(job_key(self.job_id, "_SUCCESS"), b"")
        return manifest


def is_published(storage: Storage, job_id: str) -> bool:
    """Whether the outputs of a job are visible."""
    return storage.exists(job_key(job_id, "_SUCCESS"))


def load_manifest(storage: Storage, job_id: str) -> Manifest:
    """The job's visible outputs.

    Raises:
        NotFoundError: no such job, or it has not succeeded; the message says its state.
        DataError: the manifest is damaged.
    """
    if not is_published(storage, job_id):
        state = load_status(storage, job_id).state
        raise NotFoundError(f"job {job_id}: has no results, it is {state}; see `agan jobs logs {job_id}`")
    try:
        return Manifest.model_validate_json(storage.read(job_key(job_id, "manifest.json")))
    except ValidationError as err:
        raise DataError(f"job {job_id}: manifest.json is damaged; {ANEW.format(job_id)}") from err


def read_output(storage: Storage, job_id: str, output: Output) -> bytes:
    """One result, verified.

    Raises:
        DataError: its sha256 is not the manifest's.
    """
    data = storage.read(output.key(job_id))
    if sha256(data) != output.sha256:
        raise DataError(f"job {job_id}: out/{output.name}: sha256 differs from the manifest; {ANEW.format(job_id)}")
    return data


def pull(storage: Storage, job_id: str, folder: Path) -> list[Path]:
    """Copy all results of a job to a local folder, each verified before it appears.

    Raises:
        NotFoundError: the job has no results.
        DataError: one differs from the manifest.
    """
    from infra.storage.local import LocalStorage

    target = LocalStorage(folder)
    outputs = load_manifest(storage, job_id).outputs
    for output in outputs:
        target.write(output.name, read_output(storage, job_id, output))
    return [folder / output.name for output in outputs]
