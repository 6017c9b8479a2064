"""A kind of job that counts a word's letters: what a new kind needs, and where."""

from typing import Literal

from pydantic import Field

from infra.storage.protocol import Storage
from jobs.kinds import Kind
from jobs.record.context import JobContext
from jobs.record.status import job_key
from jobs.spec.resolved import ResolvedSpec
from jobs.spec.specs import JobSpec, Resources


class ToySpec(JobSpec):
    """Counts the letters of a word."""

    kind: Literal["toy"] = "toy"
    word: str = Field(description="whose letters are counted")
    least_letters: int = Field(default=0, ge=0, description="that the word must have")
    resources: Resources = Resources()


def complete(resolved: ResolvedSpec[ToySpec], storage: Storage) -> ResolvedSpec[ToySpec]:
    """The word as the store spells it."""
    return resolved.changed({"word": storage.read(f"words/{resolved.spec.word}").decode()}, "store")


def run(context: JobContext[ToySpec]) -> None:
    context.storage.write(job_key(context.job_id, "out/letters"), str(len(context.spec.word)).encode())


TOY = Kind(
    ToySpec,
    complete="tests.support.toy_kind:complete",
    run="tests.support.toy_kind:run",
    next_step="agan results pull {job_id} -o {job_id}",
)
