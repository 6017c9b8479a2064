"""How long detectors learn where nobody says it: so long that pictures are compared, not how far each arm has come."""

import math

from anomaly_gan.detectors.config import DetectorConfig
from anomaly_gan.evaluation.arms import NORMAL_SHARE

PASSES = 12
"""Times that an arm without added pictures shows each view of a real anomaly, at least.

An arm that adds as many shows it half as often. Where that is too seldom, every such arm seems to do harm, also one
that adds turned copies of real pictures.
"""

MOST_STEPS = 4000
"""A detector for a thousand pictures would take hours."""


def enough_steps(config: DetectorConfig, real_views: int) -> int:
    """The config's own steps, or more where there are many real views.

    Args:
        config: with the steps that its detector has for few views.
        real_views: different views of real anomalies that an arm has.
    """
    shown_by_step = config.batch_size * (1 - NORMAL_SHARE)
    return max(config.steps, min(math.ceil(PASSES * real_views / shown_by_step), MOST_STEPS))
