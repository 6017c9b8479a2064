"""SIGTERM to a worker of a train job, and a node that is about to be taken away, on real Ray clusters."""

import json
import multiprocessing
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from infra.cluster.local_head import head_environment, token_path
from infra.cluster.ray_program import ensure_token, ray_program
from jobs.record.status import job_key, load_progress
from tests.integration.conftest import TINY, Suite, Until

pytestmark = [pytest.mark.ray, pytest.mark.s3, pytest.mark.slow]

STEPS = 40
DEADLINE_SEC = 15
TIMEOUT_SEC = 240


def test_sigterm_to_a_worker_costs_no_step_and_no_failure(suite: Suite, dataset: str, until: Until) -> None:
    job_id = suite.submit(
        "train",
        *("--dataset", dataset, "--class", "screw_a", "--images", str(4 * STEPS), "--workers", "2", *TINY),
        *("--set", "train.checkpoint_every_steps=1000", "--set", "train.sample_every_steps=1000"),
        *("--set", "train.log_every_steps=1", "--set", "resources.max_failures=0"),
    )
    until(lambda: steps_done(suite, job_id) > 0, 120, "the first step")
    suite.worker_processes("RayTrainWorker")[-1].send_signal(signal.SIGTERM)
    suite.wait(job_id)
    log = suite.agan("jobs", "logs", job_id)
    saved = re.search(r"checkpoint of step (\d+) saved: asked to stop", log)
    assert saved is not None, log
    assert int(saved[1]) < STEPS
    assert f"resumed from the checkpoint of step {saved[1]}" in log
    history = json.loads(suite.storage.read(job_key(job_id, "out/history.json")))
    assert [row["step"] for row in history] == list(range(1, STEPS + 1))


def steps_done(suite: Suite, job_id: str) -> float:
    progress = load_progress(suite.storage, job_id)
    return progress.done if progress is not None else 0


def test_the_notice_of_a_drained_node_reaches_the_rank_before_the_node_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGAN_HOME", str(tmp_path))
    monkeypatch.setenv("RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S", "1")
    monkeypatch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    ensure_token(token_path())
    for name, value in head_environment().items():
        monkeypatch.setenv(name, value)
    process = multiprocessing.get_context("spawn").Process(target=train_on_a_node_that_is_drained, args=(tmp_path,))
    process.start()  # a process of its own, because Ray reads its environment when it is imported
    try:
        process.join(TIMEOUT_SEC)
    finally:
        process.kill()
    assert process.exitcode == 0
    assert float((tmp_path / "stopped").read_text()) < DEADLINE_SEC


def train_on_a_node_that_is_drained(folder: Path) -> None:
    """Ends well when the rank's error counts as a preemption, of which none is allowed here."""
    import ray
    from ray.train import FailureConfig, PreemptionError, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from jobs.train.preemption import StopNotice, WatchedTorchConfig, end_stopped

    def drain_this_node_and_train(_config: dict[str, Any]) -> None:
        notice = StopNotice()
        drain(ray.get_runtime_context())
        drained_at = time.monotonic()
        for step in range(1, 1000):
            time.sleep(0.05)
            if notice():
                (folder / "stopped").write_text(str(time.monotonic() - drained_at))
                end_stopped(step)

    ray.init(address="local", num_cpus=1, include_dashboard=False, object_store_memory=80_000_000)
    trainer = TorchTrainer(
        drain_this_node_and_train,
        train_loop_config={},
        torch_config=WatchedTorchConfig(),
        scaling_config=ScalingConfig(num_workers=1),
        run_config=RunConfig(
            name="drained",
            storage_path=str(folder / "ray"),
            failure_config=FailureConfig(  # type: ignore[call-arg]  # typed as the old FailureConfig
                max_failures=0, max_preemption_failures=0
            ),
        ),
    )
    with pytest.raises(PreemptionError):
        trainer.fit()
    ray.shutdown()


def drain(here: Any) -> None:
    """What a cloud's agent does when the node is to be taken away."""
    node = ("--address", here.gcs_address, "--node-id", here.get_node_id())
    reason = ("--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "test")
    deadline = ("--deadline-remaining-seconds", str(DEADLINE_SEC))
    subprocess.run([ray_program(), "drain-node", *node, *reason, *deadline], check=True)
