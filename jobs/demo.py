"""The demo: the same calls that the commands make, on rendered images, one stage after the other."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from anomaly_gan.render.dataset import render_samples, write_mvtec
from infra.cluster.local_head import running_head, stop_head
from infra.cluster.ray_cluster import connect
from infra.errors import AganError, UsageError
from infra.settings import Settings, load_settings
from infra.storage.open import open_storage
from infra.storage.sources import FsspecTree
from jobs.kinds import complete
from jobs.library.datasets.store import import_dataset
from jobs.operations.control import follow
from jobs.operations.submit import submit
from jobs.record.manifest import pull
from jobs.record.status import JobState
from jobs.spec.resolve import resolve
from jobs.spec.specs import EvaluateSpec, GenerateSpec, JobSpec, TrainSpec

DATASET = "demo"
SIZE_PX = 128
VIEW_PX = 64
NORMAL_IMAGES = 48
ABNORMAL_IMAGES = 40
SEED = 0


@dataclass(frozen=True)
class DemoPlan:
    """What the demo makes, and where."""

    folder: Path
    class_name: str
    train_images: int
    generated: int
    detector_steps: int


@dataclass(frozen=True)
class Stage:
    """How far the demo is; `headline` stands where a stage begins, then nothing is counted yet."""

    number: int
    of: int
    headline: str
    what: str
    done: int
    total: int


STAGES = ("render", "import", "train", "generate", "evaluate")


def run_demo(plan: DemoPlan, *, keep_cluster: bool, on_progress: Callable[[Stage], None]) -> Path:
    """Run all stages; the path of the report.

    Args:
        plan: what to make, and where.
        keep_cluster: leave a head node running that the demo has started.
        on_progress: called where a stage begins, and then as it goes on.

    Raises:
        UsageError: the folder exists and is not empty.
        AganError: a job did not succeed.
    """
    if plan.folder.exists() and any(plan.folder.iterdir()):
        raise UsageError(f"{plan.folder}: is not empty; name another folder, or remove it")
    settings = load_settings({"store": str(plan.folder / "store")}).model_copy(update={"cluster": None})
    had_head = running_head() is not None
    try:
        on_progress(_stage("render", f"rendering {NORMAL_IMAGES} normal and {ABNORMAL_IMAGES} abnormal images"))
        _render(plan)
        on_progress(_stage("import", f"importing them into the store {settings.store}"))
        _import(plan, settings)
        model = _run_job(TrainSpec, _train_flags(plan), settings, on_progress)
        flags = {"model": model, "count": plan.generated, "resources.cpus_per_worker": 2}
        generated = _run_job(GenerateSpec, flags, settings, on_progress)
        flags = {
            "dataset": DATASET,
            "generated": generated,
            "measured_images": plan.generated,
            "detector.steps": plan.detector_steps,
            "resources.cpus_per_worker": 2,
        }
        evaluation = _run_job(EvaluateSpec, flags, settings, on_progress)
        pull(open_storage(settings), evaluation, plan.folder / "report")
        return plan.folder / "report" / "report.html"
    finally:
        if not (had_head or keep_cluster):
            stop_head()


def _stage(name: str, headline: str = "", what: str = "", done: int = 0, total: int = 0) -> Stage:
    return Stage(STAGES.index(name) + 1, len(STAGES), headline, what, done, total)


def _render(plan: DemoPlan) -> None:
    samples = render_samples(
        normal=NORMAL_IMAGES, per_class=ABNORMAL_IMAGES, classes=(plan.class_name,), size=SIZE_PX, seed=SEED
    )
    write_mvtec(samples, plan.folder / "images")


def _import(plan: DemoPlan, settings: Settings) -> None:
    import_dataset(
        open_storage(settings),
        FsspecTree(str(plan.folder / "images"), settings),
        name=DATASET,
        fmt="mvtec",
        resolution=SIZE_PX,
        groups="groups.csv:group",
    )


def _train_flags(plan: DemoPlan) -> dict[str, object]:
    return {
        "dataset": DATASET,
        "class_name": plan.class_name,
        "train.preset": "laptop",
        "train.total_images": plan.train_images,
        "train.masks.max_parts": 1,
        "view.kind": "window",
        "view.size": VIEW_PX,
        "resources.workers": 2,
    }


def _run_job(
    spec: type[JobSpec], flags: dict[str, object], settings: Settings, on_progress: Callable[[Stage], None]
) -> str:
    """Submit a job and follow it to its end; its id. The stage has the name of the job's kind.

    Raises:
        AganError: the job did not succeed.
    """
    kind = spec.kind_name()
    resolved = complete(resolve(spec, flags, environ={}), open_storage(settings))
    job_id = submit(resolved, settings, connect(settings))
    on_progress(_stage(kind, f"{kind} job {job_id}"))
    for seen in follow(open_storage(settings), job_id):
        if seen.progress is not None and not seen.status.state.is_final:
            progress = seen.progress
            on_progress(_stage(kind, what=progress.phase, done=progress.done, total=progress.total))
        if seen.status.state.is_final and seen.status.state is not JobState.SUCCEEDED:
            raise AganError(f"{kind} job {job_id}: {seen.status.state}: {seen.status.error}\n{seen.log}")
    return job_id
