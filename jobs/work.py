"""The child of `jobs.run`: joins the cluster and does what the spec says."""

import logging
import os
import sys
from pathlib import Path

from infra.errors import AganError
from infra.settings import load_settings
from jobs.context import JobContext, load_context
from jobs.run import ERROR_FILE_VARIABLE


def work(context: JobContext) -> None:
    """Dispatch by the spec's kind; each module is imported only where it is needed."""
    import ray

    # the head node's environment names the cluster; workers print through this process
    ray.init(address="auto", log_to_driver=True, logging_level=logging.WARNING)
    if context.spec.kind == "train":
        from jobs.train import train

        train(context)
    elif context.spec.kind == "generate":
        from jobs.generate import generate

        generate(context)
    elif context.spec.kind == "evaluate":
        from jobs.evaluate import evaluate

        evaluate(context)
    else:
        from jobs.tune import tune

        tune(context)


def main(job_id: str) -> int:
    try:
        work(load_context(load_settings(), job_id))
    except AganError as err:
        Path(os.environ[ERROR_FILE_VARIABLE]).write_text(str(err))
        print(f"error: {err}", file=sys.stderr)
        return int(err.exit_code)
    except Exception as err:  # a bug: its traceback goes to the log, its last line to the record
        last = (str(err).strip().splitlines() or [""])[-1]
        Path(os.environ[ERROR_FILE_VARIABLE]).write_text(f"{type(err).__name__}: {last}; see `agan jobs logs {job_id}`")
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
