"""CycleGAN (Zhu et al. 2017), a rival: whole pictures from domain to domain, without a mask.

Two generators, two discriminators of patches, least squares, cycle and identity losses. The generators are those of
the config, by default the published ones, which do not see the mask. What they change outside of it is lost when the
result is pasted into the normal picture.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from anomaly_gan.config import ComputeConfig, LossConfig, ModelConfig, TrainConfig
from anomaly_gan.networks.aware import AwareNetwork
from anomaly_gan.networks.generator import Generator, build_generator, check_view, make_generator
from anomaly_gan.networks.patch import PatchDiscriminator
from anomaly_gan.samples.tensors import to_model_range
from anomaly_gan.training.batches import Batch
from anomaly_gan.training.computing import autocast, lay_out, translate
from anomaly_gan.training.image_pool import DOMAINS, ImagePool, image_pools
from anomaly_gan.training.joining import Wrap, alone, gradients_joined
from anomaly_gan.training.method import AdversarialMethod, Watched
from anomaly_gan.training.optimization import adamw, add_terms, gradient_norm, update_average

CYCLEGAN_DEFAULTS: Mapping[str, Any] = {
    "model.generator": "plain_resnet9",
    "model.blend": False,
    "model.noise_planes": 0,
    "model.content": "image",
    "loss.lambda_cycle": 10.0,
    "optim.lr_d": 2e-4,
    "optim.weight_decay": 0.0,
    "optim.ema_decay": 0.0,
}
"""What the published method has where ours has something else."""


class Translations(NamedTuple):
    """Outputs of both generators, each [N, 3, H, W] in [-1, 1], fp32; `same_*` are None where nothing weighs them."""

    fake_abnormal: Tensor
    cycled_normal: Tensor
    fake_normal: Tensor
    cycled_abnormal: Tensor
    same_abnormal: Tensor | None
    same_normal: Tensor | None


class TranslationPass(nn.Module):
    """Both generators in one forward, so that gradients of all ranks are joined once per step."""

    def __init__(self, norm2abnl: Generator, abnl2norm: Generator, config: TrainConfig) -> None:
        super().__init__()
        self.norm2abnl = norm2abnl
        self.abnl2norm = abnl2norm
        self._compute = config.compute
        self._weighs_identity = config.loss.lambda_identity > 0

    def forward(self, normal: Tensor, expert_mask: Tensor, abnormal: Tensor, prior_mask: Tensor) -> Translations:
        fake_abnormal = translate(self.norm2abnl, normal, expert_mask, None, None, self._compute)
        fake_normal = translate(self.abnl2norm, abnormal, prior_mask, None, None, self._compute)
        cycled_normal = translate(self.abnl2norm, fake_abnormal, expert_mask, None, None, self._compute)
        cycled_abnormal = translate(self.norm2abnl, fake_normal, prior_mask, None, None, self._compute)
        same_abnormal = same_normal = None
        if self._weighs_identity:
            same_abnormal = translate(self.norm2abnl, abnormal, prior_mask, None, None, self._compute)
            same_normal = translate(self.abnl2norm, normal, expert_mask, None, None, self._compute)
        return Translations(fake_abnormal, cycled_normal, fake_normal, cycled_abnormal, same_abnormal, same_normal)


class JudgePass(nn.Module):
    """The discriminators of both domains."""

    def __init__(self, model: ModelConfig, compute: ComputeConfig) -> None:
        super().__init__()
        self.nets = nn.ModuleDict({domain: PatchDiscriminator(model.width_mult) for domain in DOMAINS})
        self._compute = compute

    def forward(self, *images: Tensor) -> list[Tensor]:
        """Logits of real and fake abnormal images, then of real and fake normal ones."""
        domains = (DOMAINS[0], DOMAINS[0], DOMAINS[1], DOMAINS[1])
        return [self.judge(domain, image) for domain, image in zip(domains, images, strict=True)]

    def judge(self, domain: str, image: Tensor) -> Tensor:
        """Logits [N, 1, H/8 - 2, W/8 - 2] of a domain's discriminator, fp32; 1 = real, 0 = generated."""
        with autocast(image.device, self._compute):
            logits: Tensor = self.nets[domain](image)
        return logits.float()


@dataclass
class CycleGan(AdversarialMethod):
    """The networks of both domains, their optimisers, and the update of both."""

    terms: ClassVar = {
        "adv": "generators against both discriminators, least squares",
        "cycle": "L1 distance of both images from what comes back after two translations",
        "identity": "L1 change of images that are of the wanted domain already; 0 where lambda_identity is 0",
        "grad_g": "norm of the generators' gradient",
        "d_abnl": "least squares of the discriminator of abnormal images",
        "d_norm": "least squares of the discriminator of normal images",
        "grad_d": "norm of the discriminators' gradient",
    }
    charts: ClassVar = {
        "adversarial terms": ("adv", "d_abnl", "d_norm"),
        "cycle and identity terms": ("cycle", "identity"),
    }
    saved: ClassVar = ("generators", "discriminators", "g_ema", "optim_g", "optim_d")

    config: TrainConfig
    device: torch.device
    generators: TranslationPass
    discriminators: JudgePass
    g_ema: Generator
    optim_g: torch.optim.Optimizer
    optim_d: torch.optim.Optimizer
    generators_joined: nn.Module
    discriminators_joined: nn.Module
    image_pools: dict[str, ImagePool]
    step: int = 0

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """One update of the generators, then one of the discriminators on the same fakes.

        Where the batch is computed in several parts, the gradients of all parts are added before each update.
        """
        parts = batch.split(self.config.compute.accumulate)
        terms, fakes = self._update_generators(parts)
        terms |= self._update_discriminators(parts, fakes)
        update_average(self.g_ema, self.generators.norm2abnl, self.config.optim.ema_decay, self.step)
        return terms

    def _update_generators(self, parts: Sequence[Batch]) -> tuple[dict[str, Tensor], list[tuple[Tensor, Tensor]]]:
        """The generators' terms, and for each part (fake abnormal, fake normal) without gradient."""
        self.optim_g.zero_grad(set_to_none=True)
        self.discriminators.requires_grad_(False)
        total: dict[str, Tensor] = {}
        fakes = []
        for part in parts:
            with gradients_joined(self.generators_joined, now=part is parts[-1]):
                normal, abnormal = to_model_range(part.normal_image), to_model_range(part.abnormal_image)
                masks = (part.expert_mask > 0).float(), (part.prior_mask > 0).float()
                made: Translations = self.generators_joined(normal, masks[0], abnormal, masks[1])
                terms = self._generator_terms(made, normal, abnormal)
                (_objective(terms, self.config.loss) / len(parts)).backward()  # type: ignore[no-untyped-call]
            add_terms(total, terms, len(parts))
            fakes.append((made.fake_abnormal.detach(), made.fake_normal.detach()))
        total["grad_g"] = gradient_norm(self.generators)
        self.optim_g.step()
        self.discriminators.requires_grad_(True)
        return total, fakes

    def _generator_terms(self, made: Translations, normal: Tensor, abnormal: Tensor) -> dict[str, Tensor]:
        judge = self.discriminators.judge
        identity = normal.new_zeros(())
        if made.same_abnormal is not None and made.same_normal is not None:
            identity = l1_loss(made.same_abnormal, abnormal) + l1_loss(made.same_normal, normal)
        return {
            "adv": _squared(judge("abnl", made.fake_abnormal), 1) + _squared(judge("norm", made.fake_normal), 1),
            "cycle": l1_loss(made.cycled_normal, normal) + l1_loss(made.cycled_abnormal, abnormal),
            "identity": identity,
        }

    def _update_discriminators(
        self, parts: Sequence[Batch], fakes: Sequence[tuple[Tensor, Tensor]]
    ) -> dict[str, Tensor]:
        self.optim_d.zero_grad(set_to_none=True)
        total: dict[str, Tensor] = {}
        for part, (fake_abnormal, fake_normal) in zip(parts, fakes, strict=True):
            # earlier fakes in place of some of the new ones; the masks travel along and are not needed
            shown_abnl, _ = self.image_pools["abnl"].exchange(fake_abnormal, part.expert_mask, part.positions)
            shown_norm, _ = self.image_pools["norm"].exchange(fake_normal, part.prior_mask, part.positions)
            normal, abnormal = to_model_range(part.normal_image), to_model_range(part.abnormal_image)
            with gradients_joined(self.discriminators_joined, now=part is parts[-1]):
                real_a, fake_a, real_n, fake_n = self.discriminators_joined(abnormal, shown_abnl, normal, shown_norm)
                terms = {
                    "d_abnl": (_squared(real_a, 1) + _squared(fake_a, 0)) / 2,
                    "d_norm": (_squared(real_n, 1) + _squared(fake_n, 0)) / 2,
                }
                (torch.stack(list(terms.values())).sum() / len(parts)).backward()  # type: ignore[no-untyped-call]
            add_terms(total, terms, len(parts))
        total["grad_d"] = gradient_norm(self.discriminators)
        self.optim_d.step()
        return total

    @property
    def watched(self) -> Watched:
        return Watched({"d_abnl": 0.5, "d_norm": 0.5}, ("grad_g", "grad_d"))


def build_cyclegan(
    config: TrainConfig, resolution: int, aware: AwareNetwork, device: torch.device, wrap: Wrap = alone
) -> CycleGan:
    """CycleGAN, ready for its first step, without the aware network; arguments and errors as in `BuildMethod`."""
    check_view(config.model, resolution)
    torch.manual_seed(config.seed)
    generators = TranslationPass(build_generator(config.model), build_generator(config.model), config)
    discriminators = JudgePass(config.model, config.compute)
    g_ema = make_generator(config.model)
    g_ema.load_state_dict(generators.norm2abnl.state_dict())
    lay_out((generators, discriminators, g_ema), device, config.compute)
    if config.compute.compile:
        for network in (generators.norm2abnl, generators.abnl2norm, *discriminators.nets.values()):
            network.compile()
    return CycleGan(
        config,
        device,
        generators,
        discriminators,
        g_ema.eval().requires_grad_(False),
        adamw(generators, config.optim, config.optim.lr_g),
        adamw(discriminators, config.optim, config.optim.lr_d),
        wrap(generators),
        wrap(discriminators),
        image_pools(config),
    )


def _objective(terms: Mapping[str, Tensor], weights: LossConfig) -> Tensor:
    return terms["adv"] + weights.lambda_cycle * terms["cycle"] + weights.lambda_identity * terms["identity"]


def _squared(logits: Tensor, wanted: float) -> Tensor:
    return (logits - wanted).square().mean()
