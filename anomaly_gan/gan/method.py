"""Anomaly-GAN behind the seam of `training.method`."""

from typing import ClassVar

import torch
from torch import Tensor

from anomaly_gan.config import TrainConfig
from anomaly_gan.gan import losses
from anomaly_gan.gan.state import TrainState, build_state
from anomaly_gan.gan.step import train_step
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.training.batches import Batch
from anomaly_gan.training.joining import Wrap, alone
from anomaly_gan.training.method import AdversarialMethod, Watched


class AnomalyGan(TrainState, AdversarialMethod):
    """The paper's method: two generators, four local-and-global discriminators, the aware network."""

    terms: ClassVar = {
        "d1": "Eq. 2, both domains",
        "d2": "Eq. 3, both domains",
        "d1_abnl": "Eq. 2 of the discriminator of abnormal images",
        "d1_norm": "Eq. 2 of the discriminator of normal images",
        "d2_abnl": "Eq. 3 of the discriminator of abnormal images",
        "d2_norm": "Eq. 3 of the discriminator of normal images",
        "critic": "Eq. 2 of the critic of texture; 0 where there is none",
        "grad_d": "norm of the discriminators' gradient",
        "adv_d1": "generators against D1, both domains",
        "adv_d2": "generators against D2, both domains, before lambda_1",
        "adv_critic": "generators against the critic of texture; 0 where there is none",
        "cycle": "Eq. 6",
        "aware": "Eq. 7; 0 where lambda_aware is 0",
        "outside": "L1 change outside the mask, both domains",
        "grad_g": "norm of the generators' gradient",
    }
    charts: ClassVar = {
        "adversarial terms": ("d1", "d2", "adv_d1", "adv_d2"),
        "critic of texture": ("critic", "adv_critic"),
        "cycle, aware and outside terms": ("cycle", "aware", "outside"),
    }
    saved = ("generators", "discriminators", "aware", "g_ema", "optim_g", "optim_d")

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        return train_step(self, batch)

    @property
    def watched(self) -> Watched:
        config, logits = self.config.loss, torch.zeros(1)
        undecided = losses.loss_d1(logits, logits, config).item()
        names = ("d1_abnl", "d1_norm", "d2_abnl", "d2_norm")
        is_bounded = config.adversarial != "d2gan"  # d2gan's loss has no least value
        return Watched(dict.fromkeys(names, undecided) if is_bounded else {}, ("grad_d", "grad_g"))


def build_anomaly_gan(
    config: TrainConfig, resolution: int, aware: AwareNetwork, device: torch.device, wrap: Wrap = alone
) -> AnomalyGan:
    """Anomaly-GAN, ready for its first step; arguments and errors as `training.method.BuildMethod` has them."""
    return AnomalyGan(**vars(build_state(config, resolution, aware, device, wrap)))
