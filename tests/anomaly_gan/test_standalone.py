"""The method runs without the cluster's and the store's libraries."""

import subprocess
import sys

from tests.support.blocking import CLUSTER_AND_STORE, without
from tests.support.helpers import ROOT

SCRIPT = """
import torch

torch.set_num_threads(1)

from anomaly_gan.generation.generate import generate
from anomaly_gan.training.loop import run
from tests.support.builders import batch_source, generation_plan, train_config, train_state

state = train_state(train_config(total_images=4))
reports = list(run(state, batch_source()))
made = generate(generation_plan(), [0, 1], state.g_ema)
print(len(reports), len(made), made[0].sample.image.shape, sorted(set(BLOCKED) & set(sys.modules)))
"""


def test_two_steps_and_two_images_need_neither_ray_nor_a_store_nor_the_command_line() -> None:
    script = without(*CLUSTER_AND_STORE) + SCRIPT
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "2 2 (64, 64) []"
