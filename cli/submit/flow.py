"""Turns the options of a command into jobs on the cluster, in the same way for every kind."""

from typing import TYPE_CHECKING, Any

from cli.following import exit_by, follow_job
from cli.output import emit, note
from cli.submit.dry_run import print_dry_run
from cli.submit.options import SubmitOptions
from infra.errors import UsageError

if TYPE_CHECKING:
    from jobs.kinds import Kind


def submit_jobs(kind_name: str, many: list[dict[str, Any]], options: SubmitOptions) -> None:
    """Check all specs, then print them or start all jobs.

    Args:
        many: dotted key -> value of the command's own options, for each job; None = not given.

    Raises:
        UsageError, NotFoundError: a spec that cannot be; nothing was started.
        ClusterError: the cluster is too small, or refused a job.
    """
    from infra.cluster.ray_cluster import connect
    from infra.storage.open import open_storage
    from jobs.kinds import complete, find_kind
    from jobs.operations.submit import gpu_hint, submit
    from jobs.spec.resolve import parse_sets, resolve

    if options.follow and len(many) > 1:
        raise UsageError("--follow: watches one job; name one --class, or use `agan jobs wait`")
    kind, settings = find_kind(kind_name), options.settings()
    storage = open_storage(settings)
    sets = parse_sets(options.sets)
    resolved = [
        complete(resolve(kind.spec, flags | options.resources(), file=options.spec, sets=sets), storage)
        for flags in many
    ]
    memory = kind.worker_memory(resolved[0].spec)
    if memory is not None:
        note(f"memory: {_gib(memory.peak)} GiB at the peak of a step, {_gib(memory.resting)} at rest, for each worker")
    if options.dry_run:
        print_dry_run(kind, resolved, settings, options.as_json)
        return
    if settings.cluster is None:
        note("no cluster configured: using the local head node (`agan cluster status`)")
    cluster = connect(settings)
    hint = gpu_hint(resolved[0].spec, cluster.capacity())
    if hint is not None:
        note(hint)
    ids = [submit(one, settings, cluster, memory) for one in resolved]
    if options.as_json or not options.follow:
        emit({"job_ids": ids, "store": storage.uri, "cluster": cluster.url}, _next_steps(kind, ids), options.as_json)
    if options.follow:
        note(f"submitted {ids[0]}")
        exit_by(follow_job(storage, ids[0], show_log=not options.as_json))


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f}"


def _next_steps(kind: "Kind", ids: list[str]) -> str:
    first = ids[0]
    lines = [*(f"submitted {job_id}" for job_id in ids), f"watch:  agan jobs logs -f {first}"]
    return "\n".join([*lines, f"wait:   agan jobs wait {first}", f"then:   {kind.next_step.format(job_id=first)}"])
