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
        description="elements that normal images get: prior and expert ones, or an ablation without the experts'",
    )
    pose: Literal["free", "fixed"] = Field(
        default="free", description="fixed keeps shape, size and angle, as for screws"
    )
    min_parts: int = Field(default=1, ge=1, le=16, description="least parts combined in one mask")
    max_parts: int = Field(default=2, ge=1, le=16, description="most parts combined in one mask")
    scale_min: float = Field(default=0.7, gt=0, le=1, description="smallest scaling of an element")
    scale_max: float = Field(default=1.4, ge=1, le=4, description="largest scaling of an element")
    angle_min: float = Field(default=0.0, ge=-360, le=360, description="least turn of an element in degrees")
    angle_max: float = Field(default=360.0, ge=-360, le=360, description="largest turn, counter-clockwise")
    min_distance_px: int = Field(
        default=0, ge=0, le=256, description="least distance between two parts; 0 lets them overlap"
    )
    keep_inside: float = Field(
        default=1.0, gt=0, le=1, description="least share of an element's pixels that lies inside the picture"
    )
    area: Bin = Field(default="any", description="third of the real images whose anomalous area a mask is to have")
    contrast: Bin = Field(
        default="any", description="third of the real images whose contrast a generated anomaly is to have"
    )
    rationality: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of random placements that each one must beat by likeness to real ones; needs a mask pool",
    )
    tries: int = Field(default=100, ge=1, le=10_000, description="positions tried for an element before giving up")

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
            "structure of both generators: the text's, the released trunk with skips, the released one, or the same"
            " without the mask as an input"
        ),
    )
    generator_widths: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        default=(64, 128, 256, 384, 384), min_length=2, max_length=8, description="unet: channels of each down step"
    )
    resnet_width: int = Field(
        default=64,
        ge=4,
        le=256,
        description="all but unet: channels of the stem; the trunk has four times as many",
    )
    generator_norm: Literal["batch", "sync", "instance", "group"] = Field(
        default="instance", description="generators' norm; sync is batch norm over the images of all workers"
    )
    upsample: Literal["resize", "transposed"] = Field(
        default="resize", description="bilinear x2 and 3x3 convolution, or a transposed convolution"
    )
    blend: bool = Field(
        default=True,
        description="the network draws content and its opacity, laid over the input image; false in the paper",
    )
    reach_px: int = Field(
        default=8, ge=0, le=256, description="blend: farthest from the mask that a generator can change the image"
    )
    gray: bool = Field(default=True, description="tie the three output planes, for grey data")
    width_mult: float = Field(
        default=1.0, gt=0, le=4, description="scales the discriminators' channels; less for few images"
    )
    discriminator_norm: Literal["batch", "sync", "instance", "group", "spectral"] = Field(
        default="spectral", description="batch is the paper's; spectral mixes neither real and fake nor ranks"
    )
    discriminator_input: Literal["masked", "mask_channel"] = Field(
        default="mask_channel",
        description="masked: crops are image x mask (paper); mask_channel: the mask is a fourth channel",
    )
    global_only: bool = Field(default=False, description="ablation of Table 1: discriminators without local subnet")


class CropConfig(Config):
    """The box around a mask that the local subnet and the aware network see, resized to 64 x 64 px."""

    margin: float = Field(default=0.25, ge=0, le=2, description="context on each side, in sides of the box")
    min_side_px: int = Field(default=16, ge=1, le=512, description="smallest side of a box in px")
    parts: int = Field(
        default=1, ge=1, le=16, description="1: one box over all parts (paper); n: a box for each of the n largest"
    )


class LossConfig(Config):
    """Weights and forms of Eqs. 1 to 8."""

    adversarial: Literal["paper", "nonsaturating", "d2gan", "lsgan", "hinge"] = Field(
        default="nonsaturating", description="form of Eqs. 2 to 5"
    )
    d2gan_alpha: float = Field(default=1.0, gt=0, le=1, description="d2gan: weight of log D1 on real images")
    d2gan_beta: float = Field(default=1.0, gt=0, le=1, description="d2gan: weight of log D2 on generated images")
    lambda_1: float = Field(default=0.3, ge=0, description="weight of the D2 term (Eqs. 4 and 5)")
    lambda_cycle: float = Field(default=10.0, ge=0, description="weight of Eq. 6; 1 in the paper")
    cycle_inside: float = Field(
        default=0.1, ge=0, le=1, description="weight of the mask's own pixels in Eq. 6; 1 in the paper"
    )
    lambda_aware: float = Field(default=1.0, ge=0, description="weight of Eq. 7")
    lambda_outside: float = Field(
        default=30.0, ge=0, description="weight of the L1 change outside the mask; 0 in the paper"
    )
    lambda_identity: float = Field(
        default=5.0, ge=0, description="cyclegan: weight of the change of images that are of the wanted domain already"
    )
    aware: Literal["network", "l2_pixels"] = Field(
        default="network", description="Eq. 1 on the aware network's features, or on pixels (ablation of Table 1)"
    )
    aware_norm: Literal["l2", "l1", "gram", "channel_mean"] = Field(
        default="channel_mean",
        description="distance of features: squared, absolute, of their Gram matrices, or of each channel's mean",
    )


class AwareConfig(Config):
    """The abnormal aware network (paper, Fig. 6)."""

    weights: str = Field(
        default="dataset",
        min_length=1,
        description="dataset (train it on the data set's crops), random (for tests), or URL of a VGG-16 state dict",
    )
    steps: int = Field(default=120, ge=1, description="steps of training where weights is dataset")
    batch_size: int = Field(default=8, ge=1, description="pairs of crops per step, whatever the number of workers")


class OptimConfig(Config):
    """AdamW of generators and discriminators."""

    lr_g: float = Field(default=2e-4, gt=0, le=1, description="learning rate of the generators")
    lr_d: float = Field(default=4e-4, gt=0, le=1, description="learning rate of the discriminators")
    beta1: float = Field(default=0.5, ge=0, lt=1, description="first-moment decay")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="second-moment decay")
    weight_decay: float = Field(default=0.01, ge=0, description="decoupled weight decay")
    decay_start: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of the run after which rates fall linearly to 0; 1 = never",
    )
    ema_decay: float = Field(
        default=0.995,
        ge=0,
        lt=1,
        description="decay per step of the averaged generators; 0 = the last weights",
    )


class AugmentConfig(Config):
    """Differentiable changes of all that the discriminators see, real and generated alike, for few images."""

    probability: float = Field(default=0.0, ge=0, le=1, description="of each change, for each image")
    max_shift: float = Field(default=0.125, ge=0, le=0.5, description="largest shift, in sides of the view")
    max_brightness: float = Field(default=0.2, ge=0, le=1, description="largest change, in halves of the range")
    max_contrast: float = Field(default=0.3, ge=0, lt=1, description="largest change of the contrast's factor from 1")


class ComputeConfig(Config):
    """How a step is computed; what it computes stays the same."""

    precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="of the networks; losses, weights and optimisers are always fp32"
    )
    channels_last: bool = Field(default=False, description="memory layout of the networks")
    compile: bool = Field(default=False, description="torch.compile of all networks")
    accumulate: int = Field(default=1, ge=1, le=1024, description="parts in which each worker's share is computed")
    recompute: bool = Field(default=False, description="keep less of the generators for their backward pass: slower")


class TrainConfig(Config):
    """One training run of one anomaly class."""

    preset: Literal["stable", "laptop", "paper"] = Field(default="stable", description="what other values start from")
    method: str = Field(default="anomaly_gan", description="how the generators learn: anomaly_gan or cyclegan")
    seed: int = Field(default=0, ge=0, description="seed for weights, order, windows and masks")
    batch_size: int = Field(default=16, ge=1, description="pairs per step over all ranks")
    total_images: int = Field(default=40_000, ge=1, description="pairs (normal, abnormal) shown in the run")
    log_every_steps: int = Field(default=10, ge=1, description="steps between reports")
    sample_every_steps: int = Field(default=200, ge=1, description="steps between sample grids")
    checkpoint_every_steps: int = Field(default=200, ge=1, description="steps between checkpoints")
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
    """Random light on the whole generated picture, background and anomaly together; 0 = as it was."""

    max_gain: float = Field(default=0.0, ge=0, lt=1, description="largest relative change of the brightness")
    max_gradient: float = Field(
        default=0.0, ge=0, lt=1, description="largest relative change from the middle of the picture to a side"
    )
    max_exposure: float = Field(default=0.0, ge=0, le=2, description="largest lift or fall of middle tones in stops")


class QualityConfig(Config):
    """Which generated samples are kept."""

    gate: bool = Field(default=True, description="hold samples against limits from the real images of the class")
    tolerance: float = Field(
        default=0.5, ge=0, lt=1, description="share by which limits lie beyond the real images' 5 and 95 percent"
    )
    tries: int = Field(default=4, ge=1, le=64, description="most tries of an image until enough of them are kept")
    best_of: int = Field(
        default=1, ge=1, le=64, description="kept tries of which the one with the best mask_hit is taken"
    )

    @model_validator(mode="after")
    def _enough_tries(self) -> "QualityConfig":
        if self.best_of > self.tries:
            raise ValueError(f"best_of must not be above tries, got {self.best_of} and {self.tries}")
        return self


class GenerationConfig(Config):
    """How a trained generator is used."""

    seed: int = Field(default=0, ge=0, description="with the index, decides each image")
    batch_size: int = Field(default=8, ge=1, le=1024, description="images per forward pass")
    memory_gib: float = Field(
        default=2.0, gt=0, le=1024, description="that a forward pass may take, where batch_size is not given"
    )
    output: Literal["view", "frame"] = Field(
        default="view",
        description="what a sample is: the view, or the full normal picture with a window of it changed",
    )
    feather_px: int = Field(
        default=4,
        ge=0,
        le=64,
        description="width of the blend around the mask; beyond it pixels stay untouched",
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
        "image_pool": 0,
        "model": {
            "generator_norm": "sync",
            "blend": False,
            "discriminator_norm": "sync",
            "discriminator_input": "masked",
        },
        "crop": {"margin": 0.0, "min_side_px": 1},
        "loss": {
            "adversarial": "paper",
            "lambda_cycle": 1.0,
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
