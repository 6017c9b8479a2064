"""Every knob of the method, declared once: default (those of the `stable` preset), bound, unit, meaning."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from anomaly_gan.records import Record


class Config(Record):
    """A section of knobs."""


class ViewConfig(Config):
    """What training, generation and evaluation see of a picture."""

    kind: Literal["whole", "window"] = Field(
        default="whole", description="whole frame (the paper's form), or windows cut at native scale"
    )
    size: int = Field(default=512, ge=64, le=1024, description="side of the view in px, a power of two")

    @model_validator(mode="after")
    def _power_of_two(self) -> "ViewConfig":
        if self.size & (self.size - 1):
            raise ValueError(f"size must be a power of two from 64 to 1024, got {self.size}")
        return self


Bin = Literal["any", "low", "medium", "high"]
"""Thirds of a class's real images by a measure of severity."""


class MaskConfig(Config):
    """How elements of the mask pool are placed (paper, Sec. 4.1.2)."""

    pool: Literal["whole", "prior_only"] = Field(
        default="whole",
        description="elements placed in normal images: prior and expert ones, or prior ones alone (ablation)",
    )
    pose: Literal["natural", "free", "fixed"] = Field(
        default="natural",
        description=(
            "natural: elements are scaled, turned to directions that real ones have, and stay at the border that cut"
            " them off; free: they are turned anyhow and scaled; fixed: they keep shape, size and angle, as screws do"
        ),
    )
    min_parts: int = Field(default=1, ge=1, le=16, description="smallest number of parts in one mask")
    max_parts: int = Field(default=2, ge=1, le=16, description="largest number of parts in one mask")
    scale_min: float = Field(default=0.7, gt=0, le=1, description="smallest scaling of an element")
    scale_max: float = Field(default=1.4, ge=1, le=4, description="largest scaling of an element")
    angle_min: float = Field(
        default=0.0, ge=-360, le=360, description="smallest turn of an element in degrees, counter-clockwise"
    )
    angle_max: float = Field(
        default=360.0, ge=-360, le=360, description="largest turn of an element in degrees, counter-clockwise"
    )
    min_distance_px: int = Field(
        default=0, ge=0, le=256, description="smallest distance between two parts in px; 0 lets them overlap"
    )
    keep_inside: float = Field(
        default=1.0, gt=0, le=1, description="smallest share of an element's pixels that must lie inside the picture"
    )
    area: Bin = Field(
        default="any", description="size of a mask: within that third of the real images' anomalous areas"
    )
    contrast: Bin = Field(
        default="any", description="contrast of a generated anomaly: within that third of the real images' contrasts"
    )
    rationality: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of random placements that a mask beats in likeness to real ones; above 0 needs a mask pool",
    )
    tries: int = Field(
        default=100, ge=1, le=10_000, description="positions that are tried for an element before it is given up"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "MaskConfig":
        if self.min_parts > self.max_parts:
            raise ValueError(f"min_parts must not be above max_parts, got {self.min_parts} and {self.max_parts}")
        if self.angle_min > self.angle_max:
            raise ValueError(f"angle_min must not be above angle_max, got {self.angle_min:g} and {self.angle_max:g}")
        return self


class ModelConfig(Config):
    """Networks (paper, Secs. 4.2.1 and 4.2.2)."""

    generator: Literal["unet", "resunet", "resnet9", "plain_resnet9"] = Field(
        default="unet",
        description=(
            "structure of both generators: unet (the paper's text), resnet9 (the released weights), resunet (resnet9"
            " with skips), plain_resnet9 (resnet9 without the mask as an input)"
        ),
    )
    generator_widths: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        default=(64, 128, 256, 384, 384), min_length=2, max_length=8, description="unet: channels of each down step"
    )
    resnet_width: int = Field(
        default=64,
        ge=4,
        le=256,
        description="resnet9, resunet, plain_resnet9: channels of the first layer; the trunk has four times as many",
    )
    generator_norm: Literal["batch", "sync", "instance", "group"] = Field(
        default="instance", description="norm of the generators; sync is batch norm over the images of all workers"
    )
    upsample: Literal["resize", "transposed"] = Field(
        default="transposed",
        description=(
            "transposed: a transposed convolution, which draws fine texture; resize: bilinear x2, then a 3x3"
            " convolution, which cannot"
        ),
    )
    blend: bool = Field(
        default=True,
        description="true: the network draws content and opacity, laid over its input; false: whole images (paper)",
    )
    opacity_start: float = Field(
        default=3.0,
        ge=-6,
        le=6,
        description="blend: logit of the opacity in the mask before anything is learnt; 3 = 95 % of the drawing shows",
    )
    content: Literal["exemplar", "filling", "image"] = Field(
        default="exemplar",
        description=(
            "blend: what the network's drawing is added to in the mask: exemplar: the smooth surroundings and the"
            " texture of a real anomaly; filling: the surroundings alone; image: nothing"
        ),
    )
    noise_planes: int = Field(
        default=4,
        ge=0,
        le=16,
        description=(
            "planes of noise that are an input of the generators, so that one mask gives many anomalies: the first of"
            " pixels, the others of one number each; 0 = none"
        ),
    )
    reach_px: int = Field(
        default=8,
        ge=0,
        le=256,
        description="blend: distance from the mask in px up to which a generator can change the image",
    )
    gray: bool = Field(default=True, description="draw one plane for all three colours, for grey data")
    width_mult: float = Field(
        default=1.0, gt=0, le=4, description="factor of the discriminators' channels; take less for few images"
    )
    discriminator_norm: Literal["batch", "sync", "instance", "group", "spectral"] = Field(
        default="spectral",
        description="norm of the discriminators: batch (paper); spectral mixes neither real and fake nor ranks",
    )
    discriminator_input: Literal["masked", "mask_channel"] = Field(
        default="mask_channel",
        description="masked: crops are image x mask (paper); mask_channel: the mask is a fourth channel",
    )
    texture_critic: bool = Field(
        default=True, description="a further discriminator of anomalies that judges their texture at native scale"
    )
    global_only: bool = Field(
        default=False, description="leave out the discriminators' local subnet (ablation of Table 1)"
    )


class CropConfig(Config):
    """The box around a mask that the local subnet and the aware network see, resized to 64 x 64 px."""

    margin: float = Field(
        default=0.25, ge=0, le=2, description="context on each side of a box, as a share of the box's side"
    )
    min_side_px: int = Field(default=16, ge=1, le=512, description="smallest side of a box in px")
    parts: int = Field(
        default=1,
        ge=1,
        le=16,
        description="1: one box around all parts (paper); n: a box around each of the n largest parts",
    )


class LossConfig(Config):
    """Weights and forms of Eqs. 1 to 8."""

    adversarial: Literal["paper", "nonsaturating", "d2gan", "lsgan", "hinge"] = Field(
        default="nonsaturating", description="form of the adversarial losses (Eqs. 2 to 5)"
    )
    d2gan_alpha: float = Field(default=1.0, gt=0, le=1, description="d2gan: weight of log D1 on real images")
    d2gan_beta: float = Field(default=1.0, gt=0, le=1, description="d2gan: weight of log D2 on generated images")
    lambda_1: float = Field(default=0.3, ge=0, description="weight of the D2 term (Eqs. 4 and 5)")
    lambda_critic: float = Field(default=1.0, ge=0, description="weight of the critic of texture")
    lambda_cycle: float = Field(default=1.0, ge=0, description="weight of the cycle term (Eq. 6)")
    cycle_inside: float = Field(
        default=0.1, ge=0, le=1, description="weight of the mask's own pixels in the cycle term (Eq. 6); 1 in the paper"
    )
    lambda_aware: float = Field(default=1.0, ge=0, description="weight of the aware term (Eq. 7)")
    lambda_outside: float = Field(
        default=2.0, ge=0, description="weight of the L1 change outside the mask; 0 in the paper"
    )
    lambda_identity: float = Field(
        default=5.0, ge=0, description="cyclegan: weight of the change of images that are in the wanted domain already"
    )
    aware: Literal["network", "l2_pixels"] = Field(
        default="network",
        description="what Eq. 1 compares: the aware network's features, or pixels (ablation of Table 1)",
    )
    aware_norm: Literal["l2", "l1", "gram", "channel_mean", "energy"] = Field(
        default="energy",
        description=(
            "distance of features: squared, absolute, of their Gram matrices, of each channel's mean, or the energy"
            " distance of the channels' means and deviations, which is least where all real ones are met and not where"
            " their mean is"
        ),
    )


class AwareConfig(Config):
    """The abnormal aware network (paper, Fig. 6)."""

    weights: str = Field(
        default="dataset",
        min_length=1,
        description="dataset (train it on the data set's crops), random (for tests), or URL of a VGG-16 state dict",
    )
    steps: int = Field(default=120, ge=1, description="training steps of the aware network where weights is dataset")
    batch_size: int = Field(default=8, ge=1, description="pairs of crops per step, whatever the number of workers")


class OptimConfig(Config):
    """AdamW of generators and discriminators."""

    lr_g: float = Field(default=2e-4, gt=0, le=1, description="learning rate of the generators")
    lr_d: float = Field(default=4e-4, gt=0, le=1, description="learning rate of the discriminators")
    beta1: float = Field(default=0.5, ge=0, lt=1, description="decay of the first moment")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="decay of the second moment")
    weight_decay: float = Field(default=0.01, ge=0, description="weight decay, decoupled as in AdamW")
    decay_start: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of the run after which the learning rates fall linearly to 0; 1 = never",
    )
    ema_decay: float = Field(
        default=0.995,
        ge=0,
        lt=1,
        description="decay of the averaged generator's weights per step; 0 = no averaging",
    )


class AugmentConfig(Config):
    """Differentiable changes of all images that the discriminators see, real and generated; for few images."""

    probability: float = Field(
        default=0.0, ge=0, le=1, description="probability of each change, for each image; 0 = none"
    )
    max_shift: float = Field(default=0.125, ge=0, le=0.5, description="largest shift, as a share of the view's side")
    max_brightness: float = Field(
        default=0.2, ge=0, le=1, description="largest change of brightness; 1 is half of the range from black to white"
    )
    max_contrast: float = Field(
        default=0.3, ge=0, lt=1, description="largest change of contrast; 0.3 is a factor from 0.7 to 1.3"
    )


class ComputeConfig(Config):
    """How a step is computed; what it computes stays the same."""

    precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="precision of the networks; losses, weights and optimisers are always fp32"
    )
    channels_last: bool = Field(default=False, description="use the channels-last memory layout for the networks")
    compile: bool = Field(default=False, description="compile all networks with torch.compile")
    accumulate: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="parts in which each worker computes its share of a batch, one after the other",
    )
    recompute: bool = Field(
        default=False,
        description="compute the generators' activations again in the backward pass: less memory, but slower",
    )


class TrainConfig(Config):
    """One training run of one anomaly class."""

    preset: Literal["stable", "laptop", "paper"] = Field(default="stable", description="set of values to start from")
    method: str = Field(default="anomaly_gan", description="how the generators learn: anomaly_gan or cyclegan")
    seed: int = Field(default=0, ge=0, description="seed for weights, order, windows and masks")
    batch_size: int = Field(default=16, ge=1, description="pairs per step over all workers")
    total_images: int = Field(default=40_000, ge=1, description="pairs (normal, abnormal) shown in the run")
    log_every_steps: int = Field(default=10, ge=1, description="steps between two reports")
    sample_every_steps: int = Field(default=200, ge=1, description="steps between two grids of samples")
    checkpoint_every_steps: int = Field(default=200, ge=1, description="steps between two checkpoints")
    validation: float = Field(
        default=0.17,
        ge=0,
        le=0.5,
        description="share of the training pictures, in whole groups, that is not learnt from and that checkpoints are"
        " compared by; of few groups nothing is held out, and they are compared by how real ones look; 0 publishes the"
        " last one",
    )
    image_pool: int = Field(
        default=4, ge=0, le=64, description="earlier images kept for the discriminators, for each pair of the batch"
    )
    model: ModelConfig = ModelConfig()
    crop: CropConfig = CropConfig()
    loss: LossConfig = LossConfig()
    aware: AwareConfig = AwareConfig()
    optim: OptimConfig = OptimConfig()
    masks: MaskConfig = MaskConfig()
    augment: AugmentConfig = AugmentConfig()
    compute: ComputeConfig = ComputeConfig()

    @property
    def total_steps(self) -> int:
        return -(-self.total_images // self.batch_size)


class LightConfig(Config):
    """Random light on the whole generated picture, background and anomaly together; 0 = unchanged."""

    max_gain: float = Field(default=0.0, ge=0, lt=1, description="largest relative change of brightness")
    max_gradient: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="largest relative change of brightness from the middle of the picture to a side",
    )
    max_exposure: float = Field(default=0.0, ge=0, le=2, description="largest change of the middle tones, in stops")


class QualityConfig(Config):
    """Which generated samples are kept."""

    gate: bool = Field(default=True, description="compare samples with limits taken from the real images of the class")
    tolerance: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="share by which the limits lie beyond the 5 % and 95 % quantiles of the real images, at least",
    )
    tries: int = Field(
        default=4, ge=1, le=64, description="largest number of tries of an image until best_of of them are kept"
    )
    best_of: int = Field(
        default=1, ge=1, le=64, description="number of kept tries of which the one most like real anomalies is taken"
    )

    @model_validator(mode="after")
    def _enough_tries(self) -> "QualityConfig":
        if self.best_of > self.tries:
            raise ValueError(f"best_of must not be above tries, got {self.best_of} and {self.tries}")
        return self


class GenerationConfig(Config):
    """How a trained generator is used."""

    seed: int = Field(default=0, ge=0, description="seed that decides each image, together with the image's index")
    batch_size: int = Field(default=8, ge=1, le=1024, description="images per forward pass")
    memory_gib: float = Field(
        default=2.0,
        gt=0,
        le=1024,
        description="memory in GiB that a forward pass may take; decides batch_size where that is not given",
    )
    output: Literal["view", "frame"] = Field(
        default="view",
        description="what a sample shows: the view, or the full normal picture with a window of it changed",
    )
    feather_px: int = Field(
        default=4,
        ge=0,
        le=64,
        description="width of the blend around the mask in px; beyond it pixels stay untouched",
    )
    light: LightConfig = LightConfig()
    quality: QualityConfig = QualityConfig()


PRESETS: dict[str, dict[str, Any]] = {
    "stable": {},
    "laptop": {  # stable with networks that two CPU cores train in minutes
        "batch_size": 8,
        "total_images": 1600,
        "log_every_steps": 5,
        "sample_every_steps": 50,
        "checkpoint_every_steps": 50,
        "model": {
            "generator_widths": (32, 64, 128, 192),
            "width_mult": 0.25,
        },
        "aware": {"steps": 30, "batch_size": 4},
    },
    "paper": {
        "batch_size": 16,
        "total_images": 123_000,  # 1000 epochs of the paper's cloth strips; a job's are those of its own data set
        "validation": 0.0,
        "image_pool": 0,
        "model": {
            "generator_norm": "sync",
            "blend": False,
            "noise_planes": 0,
            "content": "image",
            "texture_critic": False,
            "discriminator_norm": "sync",
            "discriminator_input": "masked",
        },
        "masks": {"pose": "free"},
        "crop": {"margin": 0.0, "min_side_px": 1},
        "loss": {
            "adversarial": "paper",
            "cycle_inside": 1.0,
            "lambda_outside": 0.0,
            "aware_norm": "l2",
        },
        "optim": {
            "lr_g": 2e-3,
            "lr_d": 2e-3,
            "beta1": 0.9,
            "beta2": 0.999,
            "decay_start": 1.0,
            "ema_decay": 0.0,
        },
    },
}
"""Values that each preset sets over the defaults above."""
