"""What a training takes beside what was estimated; the readers of memory are played."""

import pytest
import torch

from anomaly_gan.methods import estimate_memory
from anomaly_gan.training import memory_use
from anomaly_gan.training.loop import run
from anomaly_gan.training.memory_estimate import MemoryEstimate
from anomaly_gan.training.memory_use import MemoryUse, MemoryWatch, peak_resident_bytes, resident_bytes
from tests.support.builders import CPU, batch_source, train_config, train_state

pytestmark = pytest.mark.usefixtures("one_thread")

GIB = 2**30
GPU = torch.device("cuda")
ESTIMATE = MemoryEstimate(resting=GIB, peak=10 * GIB)


@pytest.mark.parametrize("used", [8 * GIB, 10 * GIB, 12 * GIB])
def test_a_gpu_that_took_what_was_estimated_within_a_fifth_is_told_without_a_warning(used: int) -> None:
    use = MemoryWatch(ESTIMATE, GPU, lambda: used).compare(train_state(train_config(image_pool=0)))
    assert (use.estimated_bytes, use.used_bytes, use.warning()) == (10 * GIB, used, None)
    assert use.told() == f"memory: {used / GIB:.2f} GiB of the GPU, 10.00 GiB estimated"


@pytest.mark.parametrize("used", [7.9, 12.1])
def test_a_gpu_that_took_more_or_less_than_a_fifth_beside_the_estimate_is_warned_of(used: float) -> None:
    warning = MemoryUse(10 * GIB, int(used * GIB), is_exact=True).warning()
    assert warning is not None
    assert warning.startswith(f"memory: {used:.2f} GiB used where 10.00 GiB were estimated; ")


def test_the_growth_of_a_process_is_told_and_never_warned_of() -> None:
    use = MemoryWatch(ESTIMATE, CPU, lambda: 99 * GIB).compare(train_state(train_config()))
    assert use.told() == "memory: 99.00 GiB by which the process grew, 10.00 GiB estimated"
    assert use.warning() is None


def test_a_process_grows_from_what_it_was_to_its_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_use, "resident_bytes", lambda: 3 * GIB)
    watch = MemoryWatch(ESTIMATE, CPU)
    for largest, grown in ((5 * GIB, 2 * GIB), (2 * GIB, 0)):
        monkeypatch.setattr(memory_use, "peak_resident_bytes", lambda largest=largest: largest)
        assert watch.compare(train_state(train_config())).used_bytes == grown


def test_the_largest_size_of_a_process_is_no_less_than_its_size() -> None:
    assert peak_resident_bytes() > 0.5 * resident_bytes() > 0


def test_only_the_images_that_are_in_the_pools_yet_are_expected() -> None:
    config = train_config(image_pool=3, total_images=8, model={"discriminator_norm": "instance"})
    estimate = estimate_memory(config, 64)
    each = (3 * 4 + 1) * 64 * 64
    assert estimate.image_pools == 2 * 2 * 3 * each
    state = train_state(config)
    watch = MemoryWatch(estimate, GPU, lambda: estimate.peak)
    assert watch.compare(state).estimated_bytes == estimate.peak - estimate.image_pools
    next(run(state, batch_source()))
    assert watch.compare(state).estimated_bytes == estimate.peak - estimate.image_pools + 2 * 2 * each


def test_the_first_report_of_a_run_tells_of_the_memory_and_warns_and_no_other_does() -> None:
    config = train_config(log_every_steps=2)
    watch = MemoryWatch(ESTIMATE, GPU, lambda: 20 * GIB)
    first, second = run(train_state(config), batch_source(), memory=watch)
    assert first.memory is not None and first.memory.used_bytes == 20 * GIB
    assert [warning.partition(":")[0] for warning in first.warnings] == ["memory"]
    assert second.memory is None and second.warnings == ()


def test_a_run_without_an_estimate_tells_nothing_of_memory() -> None:
    assert all(report.memory is None for report in run(train_state(train_config()), batch_source()))
