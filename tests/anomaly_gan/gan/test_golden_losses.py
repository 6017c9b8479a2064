"""The first 20 steps of a tiny run equal a stored curve.

A change that means to change numbers writes it anew: `python -m tests.anomaly_gan.gan.test_golden_losses`.
"""

import json

import pytest
import torch

from anomaly_gan.training.loop import run
from tests.support.builders import batch_source, train_config, train_state
from tests.support.helpers import ROOT

GOLDEN = ROOT / "tests" / "golden" / "losses.json"
COMMAND = "python -m tests.anomaly_gan.gan.test_golden_losses"


def curve() -> list[dict[str, float]]:
    """Every term at every step: tiny networks, 64 px, batch 2, and rates at which rounding does not grow."""
    config = train_config(total_images=40, optim={"lr_g": 5e-5, "lr_d": 1e-4})
    return [report.losses for report in run(train_state(config), batch_source())]


@pytest.mark.usefixtures("one_thread")
def test_twenty_steps_equal_the_golden_curve() -> None:
    golden = json.loads(GOLDEN.read_text())["steps"]
    found = curve()
    assert len(found) == len(golden) == 20
    for step, (terms, wanted) in enumerate(zip(found, golden, strict=True)):
        assert terms == pytest.approx(wanted, rel=1e-3), f"step {step}"


if __name__ == "__main__":
    torch.set_num_threads(1)
    steps = [{name: float(f"{value:.6g}") for name, value in terms.items()} for terms in curve()]
    GOLDEN.parent.mkdir(exist_ok=True)
    lines = ",\n  ".join(json.dumps(terms) for terms in steps)
    GOLDEN.write_text(f'{{"made_by": "{COMMAND}", "steps": [\n  {lines}\n]}}\n')
