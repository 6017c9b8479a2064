"""Jobs of every kind on a real Ray cluster, with a real S3 protocol behind the store."""

import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import requests
import yaml
from safetensors.torch import load as load_safetensors

from anomaly_gan.exemplars.storing import split_exemplars
from anomaly_gan.rivals.cyclegan import CycleGan
from anomaly_gan.samples.sample import decode_sample
from infra.cluster.local_head import LocalHead
from infra.storage.shards import read_shard
from jobs.record.manifest import load_manifest, read_output
from jobs.record.status import job_key
from tests.integration.conftest import TINY, Suite

pytestmark = [pytest.mark.ray, pytest.mark.s3]

Until = Callable[[Callable[[], bool], float, str], None]
RETRY_ONCE = ("--set", "resources.max_failures=1")


def train_args(dataset: str, images: int, *more: str) -> list[str]:
    return ["--dataset", dataset, "--class", "paper_scrap", "--images", str(images), *TINY, *more]


@pytest.fixture(scope="module")
def model(suite: Suite, dataset: str) -> str:
    """A model trained by two workers, one of which is killed on the way."""
    job_id = suite.submit(
        "train",
        *train_args(dataset, 160, "--workers", "2"),
        *("--set", "train.checkpoint_every_steps=5", "--set", "train.sample_every_steps=20"),
        *("--set", "train.log_every_steps=1"),
    )
    _kill_a_worker(suite, job_id)
    suite.wait(job_id)
    return job_id


def _kill_a_worker(suite: Suite, job_id: str) -> None:
    """SIGKILL one rank as soon as there is a checkpoint to go on from."""
    deadline = time.monotonic() + 120
    while not suite.storage.exists(job_key(job_id, "checkpoints/index.json")):
        assert time.monotonic() < deadline, suite.agan("jobs", "logs", job_id)
        time.sleep(0.1)
    suite.worker_processes("RayTrainWorker")[-1].send_signal(signal.SIGKILL)


def test_a_killed_worker_costs_no_more_than_the_steps_since_the_last_checkpoint(suite: Suite, model: str) -> None:
    log = suite.agan("jobs", "logs", model)
    resumed = re.search(r"resumed from the checkpoint of step (\d+)", log)
    assert resumed is not None, log
    assert int(resumed[1]) >= 5
    history = json.loads(suite.storage.read(job_key(model, "out/history.json")))
    assert [row["step"] for row in history] == list(range(1, 41))
    assert suite.status(model)["state"] == "succeeded"


def test_a_train_job_leaves_model_checkpoints_grids_and_tensorboard(suite: Suite, model: str) -> None:
    names = [output.name for output in load_manifest(suite.storage, model).outputs]
    assert {"model/generator.safetensors", "model/model.json", "history.json"} <= set(names)
    assert {"samples/step-00000020.png", "samples/step-00000040.png"} <= set(names)
    assert any(name.startswith("tensorboard/events.") for name in names)
    kept = json.loads(suite.storage.read(job_key(model, "checkpoints/index.json")))
    assert [entry["step"] for entry in kept] == [35, 40]
    weights = load_safetensors(suite.storage.read(f"models/{model}/generator.safetensors"))
    assert split_exemplars(weights)[0]  # real anomalies, without which it lays no texture
    told = json.loads(suite.agan("models", "list", "--json"))[model]
    assert told["class_name"] == "paper_scrap"
    assert told["record"]["world_size"] == 2
    assert told["record"]["aware_weights"] == "random"
    assert told["record"]["published"]["total_steps"] == 40
    assert "published: step " in suite.agan("jobs", "logs", model)


def test_progress_speed_and_losses_are_in_the_record(suite: Suite, model: str) -> None:
    progress = suite.status(model)["progress"]
    assert (progress["done"], progress["total"], progress["unit"]) == (40, 40, "steps")
    assert progress["images_per_sec"] > 0
    assert {"d1", "d2", "cycle", "aware", "mask_hit"} <= set(progress["values"])


@pytest.mark.slow
def test_a_cancelled_job_ends_within_15_seconds_and_leaves_nothing_visible(
    suite: Suite, dataset: str, until: Until
) -> None:
    job_id = suite.submit("train", *train_args(dataset, 40_000, "--set", "train.log_every_steps=1"))
    until(lambda: (suite.status(job_id)["progress"] or {}).get("done", 0) > 0, 90, "the first step")
    assert "ray_agan_images_per_sec" in _metrics(suite, job_id)
    started = time.monotonic()
    assert "cancelled" in suite.agan("jobs", "cancel", job_id)
    assert time.monotonic() - started < 15
    assert suite.status(job_id)["state"] == "cancelled"
    suite.wait(job_id, exit_code=4)
    suite.agan("results", "show", job_id, exit_code=3)
    assert not suite.storage.exists(f"models/{job_id}/model.json")
    until(lambda: not suite.worker_processes("RayTrainWorker"), 15, "the end of the workers")


@pytest.mark.slow
def test_cyclegan_survives_a_lost_worker_and_generates_as_our_method_does(suite: Suite, dataset: str) -> None:
    small = ("--set", "train.method=cyclegan", "--set", "train.model.resnet_width=4")
    often = ("--set", "train.checkpoint_every_steps=5", "--set", "train.log_every_steps=1")
    model = suite.submit("train", *train_args(dataset, 160, *small, *often))
    _kill_a_worker(suite, model)
    suite.wait(model)
    assert re.search(r"resumed from the checkpoint of step \d+", suite.agan("jobs", "logs", model))
    history = json.loads(suite.storage.read(job_key(model, "out/history.json")))
    assert [row["step"] for row in history] == list(range(1, 41))
    assert history[-1]["losses"].keys() == CycleGan.terms.keys()
    job_id = suite.submit("generate", "--model", model, "--count", "3")
    suite.wait(job_id)
    found = samples_of(suite, job_id)
    assert [sample.masks["paper_scrap"].any() for sample in found.values()] == [True] * 3
    assert all(sample.meta["measures"]["background_mae_pasted"] == 0 for sample in found.values())


def _metrics(suite: Suite, job_id: str) -> str:
    """What the node's metrics port says of a job."""
    head = LocalHead.model_validate_json(suite.agan("cluster", "status", "--json"))
    token = (suite.folder / "home" / "token").read_text()
    nodes = requests.get(
        f"{head.dashboard}/nodes?view=summary", headers={"Authorization": f"Bearer {token}"}, timeout=10
    ).json()["data"]["summary"]
    port = nodes[0]["raylet"]["metricsExportPort"]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        lines = [line for line in text.splitlines() if line.startswith("ray_agan_") and job_id in line]
        if lines:
            return "\n".join(lines)
        time.sleep(0.5)
    raise AssertionError(f"no metric of {job_id} on port {port}")


@pytest.fixture(scope="module")
def generated(suite: Suite, model: str) -> str:
    job_id = suite.submit(
        "generate", "--model", model, "--count", "10", "--workers", "2", "--set", "images_per_shard=4"
    )
    suite.wait(job_id)
    return job_id


def samples_of(suite: Suite, job_id: str) -> dict[str, Any]:
    found = {}
    for output in load_manifest(suite.storage, job_id).outputs:
        if output.name.startswith("shards/"):
            for key, members in read_shard(read_output(suite.storage, job_id, output), output.name):
                found[key] = decode_sample(key, members)
    return found


def test_generated_shards_hold_every_image_once_with_mask_and_provenance(suite: Suite, generated: str) -> None:
    samples = samples_of(suite, generated)
    assert sorted(samples) == [f"gen-{index:08d}" for index in range(10)]
    for index, sample in enumerate(samples.values()):
        assert sample.image.shape == (64, 64)
        assert sample.masks["paper_scrap"].any()
        assert sample.meta["index"] == index
        assert sample.meta["measures"]["background_mae_pasted"] == 0


def test_the_exported_coco_file_describes_the_generated_masks(suite: Suite, generated: str) -> None:
    suite.agan("results", "export", generated, "--format", "coco", "-o", "coco")
    document = json.loads((suite.folder / "coco" / "annotations.json").read_text())
    samples = samples_of(suite, generated)
    assert [image["file_name"] for image in document["images"]] == [f"images/{key}.png" for key in samples]
    for image, sample in zip(document["images"], samples.values(), strict=True):
        areas = [a["area"] for a in document["annotations"] if a["image_id"] == image["id"]]
        assert sum(areas) == int(sample.masks["paper_scrap"].sum())


def test_the_same_generate_job_again_gives_the_same_bytes(suite: Suite, model: str, generated: str) -> None:
    again = suite.submit("generate", "--model", model, "--count", "10", "--set", "images_per_shard=4")
    suite.wait(again)
    first, second = (
        {o.name: o.sha256 for o in load_manifest(suite.storage, job_id).outputs if o.name.startswith("shards/")}
        for job_id in (generated, again)
    )
    assert first == second


def test_an_evaluation_reports_measures_likeness_and_every_arm(suite: Suite, dataset: str, generated: str) -> None:
    job_id = suite.submit(
        "evaluate",
        *("--dataset", dataset, "--generated", generated, "--seeds", "2", "--detector-steps", "2"),
        *("--set", "measured_images=4", "--set", "detector.batch_size=2"),
    )
    suite.wait(job_id)
    suite.agan("results", "pull", job_id, "-o", "evaluation")
    page = (suite.folder / "evaluation" / "report.html").read_text()
    assert "untrained" in page
    figures = json.loads((suite.folder / "evaluation" / "evaluation.json").read_text())
    assert set(figures["measures"]["trained"]) >= {"mask_hit", "in_mask_change", "background_mae_pasted"}
    assert {"generated", "copy-paste", "flat painter"} <= figures["likeness"]["sets"].keys()
    cells = figures["detectors"]["cells"]
    arms = ("none", "copy_paste", f"real+generated:{generated}")
    assert [(cell["arm"], cell["seed"]) for cell in cells] == [(arm, seed) for seed in (0, 1) for arm in arms]
    assert all(0 <= cell["pixels"]["pixel_ap"] <= 1 and 0 <= cell["scores"]["mask_ap"] <= 1 for cell in cells)
    assert {"untrained generator", "generated"} < figures["feature_map"]["sets"].keys()
    verdicts = figures["detectors"]["verdicts"]
    assert all(verdicts[arm]["low"] <= verdicts[arm]["difference"] <= verdicts[arm]["high"] for arm in arms[1:])
    assert f'<section class="headline {verdicts[arms[2]]["word"]}">' in page
    assert "alexnet.pth" in figures["perceptual"]["missing"][0]
    [sets] = figures["perceptual"]["networks"].values()
    assert {"real, training split", "real, test split", "generated", "flat painter"} <= sets.keys()


@pytest.mark.slow
def test_a_study_is_timed_on_one_and_on_two_workers(suite: Suite) -> None:
    data = json.loads(suite.agan("bench", "study", "--seeds", "1", "--steps", "2", "--json"))
    assert list(data["medians"]) == ["1 worker", "2 workers"]
    assert all(row["sec"] > 0 and row["cells_per_min"] > 0 for row in data["medians"].values())
    suite.agan("cluster", "status")  # a head node that was there before stays


@pytest.mark.slow
def test_tuning_writes_a_spec_that_training_takes(suite: Suite, dataset: str) -> None:
    job_id = suite.submit("tune", *train_args(dataset, 16, "--trials", "2"))
    suite.wait(job_id)
    suite.agan("results", "pull", job_id, "-o", "tuned")
    trials = json.loads((suite.folder / "tuned" / "trials.json").read_text())
    assert len(trials["trials"]) == 2 and trials["metric"] == "published_kid"
    best = yaml.safe_load((suite.folder / "tuned" / "best-spec.yaml").read_text())
    assert best["train"]["loss"]["lambda_1"] == trials["best"]["values"]["lambda_1"]
    resolved = json.loads(suite.agan("submit", "train", "--spec", "tuned/best-spec.yaml", "--dry-run", "--json"))
    assert resolved[0]["spec"]["train"]["optim"]["lr_g"] == trials["best"]["values"]["lr_g"]
    assert resolved[0]["sources"]["train.optim.lr_g"] == "file (best-spec.yaml)"


@pytest.mark.slow
def test_several_classes_become_one_job_each(suite: Suite, dataset: str) -> None:
    answer = json.loads(suite.agan("submit", "train", *train_args(dataset, 8), "--class", "screw_a", "--json"))
    assert len(answer["job_ids"]) == 2
    for job_id in answer["job_ids"]:
        suite.wait(job_id)


@pytest.mark.slow
def test_a_job_that_cannot_work_fails_with_its_own_sentence(suite: Suite, dataset: str) -> None:
    weights = suite.folder / "missing.pth"
    job_id = suite.submit("train", *train_args(dataset, 8), "--set", f"train.aware.weights={weights}", *RETRY_ONCE)
    suite.wait(job_id, exit_code=1)
    assert "missing.pth is not at" in suite.status(job_id)["error"]


def test_the_head_node_listens_on_loopback_only_and_asks_for_the_token(suite: Suite) -> None:
    head = LocalHead.model_validate_json(suite.agan("cluster", "status", "--json"))
    assert requests.get(f"{head.dashboard}/api/jobs/", timeout=10).status_code == 401
    listening = [
        (process.pid, connection.laddr.ip)
        for process in _tree(head)
        for connection in process.net_connections(kind="inet")
        if connection.status == "LISTEN"
    ]
    assert listening
    foreign = [found for found in listening if found[1] not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")]
    assert foreign == []


def _tree(head: LocalHead) -> list[Any]:
    import psutil

    root = psutil.Process(head.processes[0].pid)
    return [root, *root.children(recursive=True)]


@pytest.mark.slow
def test_the_demo_goes_from_nothing_to_a_report_and_leaves_a_running_head_node_alone(suite: Suite) -> None:
    code = (
        "from pathlib import Path\nfrom jobs.demo import DemoPlan, run_demo\n"
        "plan = DemoPlan(Path('demo').resolve(), 'screw_a', 16, 4, 2)\n"
        "stages = []\n"
        "run_demo(plan, keep_cluster=False, on_progress=stages.append)\n"
        "print([stage.headline for stage in stages if stage.headline])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=suite.folder, env=suite.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for stage in ("rendering", "importing", "train job", "generate job", "evaluate job"):
        assert stage in done.stdout
    assert "screw_a" in (suite.folder / "demo" / "report" / "report.html").read_text()
    assert json.loads(suite.agan("cluster", "status", "--json"))["running"]


def test_a_grid_of_samples_is_a_picture(suite: Suite, model: str) -> None:
    from PIL import Image

    grid = np.asarray(Image.open(io.BytesIO(suite.storage.read(job_key(model, "out/samples/step-00000040.png")))))
    assert grid.ndim == 3
    assert grid.std() > 10


def test_help_needs_neither_torch_nor_ray() -> None:
    code = (
        "import sys; from cli.main import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'ray', 'boto3', 'cv2') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip().endswith("[]")
