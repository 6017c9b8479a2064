"""What one worker of a training takes, said before the job starts."""

from anomaly_gan.methods import estimate_memory
from anomaly_gan.training.memory_estimate import MemoryEstimate
from jobs.spec.specs import TrainingSpec


def worker_memory(spec: TrainingSpec) -> MemoryEstimate:
    """The memory of one rank of a train job, or of a trial; takes some seconds."""
    return estimate_memory(spec.train, spec.view.size, spec.resources.workers)
