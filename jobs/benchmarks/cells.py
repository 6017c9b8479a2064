"""A study of several cells on one worker and on two: submitted as a user submits it, on the machine's own head node."""

from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from anomaly_gan.benchmarks.measuring import Figures, Ratio, in_turn
from anomaly_gan.progress import Progress
from anomaly_gan.render.dataset import render_samples, write_mvtec
from infra.cluster.local_head import running_head, stop_head
from infra.cluster.ray_cluster import connect
from infra.errors import AganError
from infra.settings import Settings, load_settings
from infra.storage.open import open_storage
from infra.storage.sources import FsspecTree
from jobs.kinds import complete
from jobs.library.datasets.store import import_dataset
from jobs.operations.control import follow
from jobs.operations.submit import submit
from jobs.record.status import JobState
from jobs.spec.resolve import resolve
from jobs.spec.resolved import ResolvedSpec
from jobs.spec.specs import StudySpec

DATASET, CLASS = "rendered", "cloth_strip"
SIZE_PX = 128
NORMAL_IMAGES, ABNORMAL_IMAGES = 24, 24
ARMS = ("none", "flips", "copy_paste")
WORKERS = {"1 worker": 1, "2 workers": 2}

Run = Callable[[ResolvedSpec[StudySpec], Settings], float]
"""Does a study; the seconds from its start to its end, as its record has them."""


def measure_study(seeds: int, steps: int, repeats: int, progress: Progress, run: Run | None = None) -> Figures:
    """Seconds and cells per minute of a study of three arms by the segmenter, on one and on two workers of a core each.

    Each study has a store of its own, since cells that another one has trained are not trained again.

    Args:
        seeds: of each arm; the study has three times as many cells.
        steps: of each detector.
        run: how a study is done; None = as a job on the machine's own head node, which is started if there is none.

    Raises:
        AganError: a study did not succeed.
    """
    had_head, cells = running_head() is not None, len(ARMS) * seeds
    with TemporaryDirectory() as folder:
        root, numbers = Path(folder), count()
        rendered = render_samples(normal=NORMAL_IMAGES, per_class=ABNORMAL_IMAGES, classes=(CLASS,), size=SIZE_PX)
        write_mvtec(rendered, root / "images")

        def study(workers: int) -> float:
            settings = load_settings({"store": str(root / f"store-{next(numbers)}")})
            return (run or _submitted)(_spec(root / "images", settings, seeds, steps, workers), settings)

        try:
            runs = {name: partial(study, workers) for name, workers in WORKERS.items()}
            seconds = in_turn(runs, repeats, progress)
        finally:
            if run is None and not had_head:
                stop_head()
    rounds = {
        name: {"sec": values, "cells_per_min": [60 * cells / value for value in values]}
        for name, values in seconds.items()
    }
    one, two = (median(values) for values in seconds.values())
    return Figures(rounds, {"time of 2 workers / 1 worker": Ratio(two / one, "at most 0.6")})


def _spec(images: Path, settings: Settings, seeds: int, steps: int, workers: int) -> ResolvedSpec[StudySpec]:
    """Of a store that has the pictures and no cell."""
    storage, tree = open_storage(settings), FsspecTree(str(images), settings)
    import_dataset(storage, tree, name=DATASET, fmt="mvtec", resolution=SIZE_PX, groups="groups.csv:group")
    given = {
        "dataset": DATASET,
        "arms": list(ARMS),
        "learners": [{"name": "segmenter", "steps": steps}],
        "seeds": seeds,
        "resources.workers": workers,
    }
    return complete(resolve(StudySpec, given, environ={}), storage)


def _submitted(resolved: ResolvedSpec[StudySpec], settings: Settings) -> float:
    own = settings.model_copy(update={"cluster": None})
    job_id = submit(resolved, own, connect(own))
    *_, last = follow(open_storage(own), job_id, with_log=False)
    status = last.status
    if status.state is not JobState.SUCCEEDED or status.started_at is None or status.finished_at is None:
        raise AganError(f"study job {job_id}: {status.state}: {status.error}")
    return status.finished_at - status.started_at
