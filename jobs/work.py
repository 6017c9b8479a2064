"""The child of `jobs.run`: joins the cluster and does what the spec says."""

import logging
import os
import sys
from pathlib import Path

from infra.cluster.ray_cluster import ADDRESS_VARIABLE
from infra.settings import load_settings
from jobs.kinds import find_kind
from jobs.record.context import JobContext, load_context
from jobs.record.failures import expected_error
from jobs.run import ERROR_FILE_VARIABLE
from jobs.spec.specs import JobSpec


def work(context: JobContext[JobSpec]) -> None:
    """Join the cluster, then do the work."""
    import ray

    if ADDRESS_VARIABLE in os.environ:
        os.environ["RAY_ADDRESS"] = os.environ[ADDRESS_VARIABLE]
    # the environment names the cluster; workers print through this process
    ray.init(address="auto", log_to_driver=True, logging_level=logging.WARNING)
    dispatch(context)


def dispatch(context: JobContext[JobSpec]) -> None:
    """Do the work of the spec's kind; only this kind's module is imported.

    Raises:
        UsageError: there is no such kind.
    """
    find_kind(context.spec.kind).load_run()(context)


def main(job_id: str) -> int:
    error_file = Path(os.environ[ERROR_FILE_VARIABLE])
    try:
        work(load_context(load_settings(), job_id))
    except Exception as err:
        expected = expected_error(err)
        if expected is None:  # a bug: its traceback goes to the log, its last line to the record
            last = (str(err).strip().splitlines() or [""])[-1]
            error_file.write_text(f"{type(err).__name__}: {last}; see `agan jobs logs {job_id}`")
            raise
        error_file.write_text(str(expected))
        print(f"error: {expected}", file=sys.stderr)
        return int(expected.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
