"""The layout of the authors' released generator written out, state dicts of it, and what such a one computes."""

import io
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

SAMPLE_PX = 64


def release_shapes() -> dict[str, tuple[int, ...]]:
    """Name -> shape of the 163 tensors."""
    convs = {"model.1": (64, 4, 7, 7), "model.4": (128, 64, 3, 3), "model.7": (256, 128, 3, 3)}
    convs |= {f"model.{block}.conv_block.{i}": (256, 256, 3, 3) for block in range(10, 19) for i in (1, 5)}
    ups = {"model.19": (256, 128, 3, 3), "model.22": (128, 64, 3, 3)}
    norms = {"model.2": 64, "model.5": 128, "model.8": 256, "model.20": 128, "model.23": 64}
    norms |= {f"model.{block}.conv_block.{i}": 256 for block in range(10, 19) for i in (2, 6)}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in (convs | ups | {"model.26": (3, 64, 7, 7)}).items():
        shapes[f"{name}.weight"] = shape
        shapes[f"{name}.bias"] = (shape[1] if name in ups else shape[0],)
    for name, channels in norms.items():
        parts = ("weight", "bias", "running_mean", "running_var")
        shapes |= {f"{name}.{part}": (channels,) for part in parts} | {f"{name}.num_batches_tracked": ()}
    return shapes


def release_state(seed: int = 0) -> dict[str, Tensor]:
    """Random weights that keep the scale of activations, and outputs off the ends of the range."""
    random = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in release_shapes().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(100)
        elif len(shape) == 4:
            fan_in = shape[1] * shape[2] * shape[3]
            variance = (0.01 if name.startswith("model.26.") else 1.0) / fan_in
            state[name] = torch.randn(shape, generator=random) * variance**0.5
        elif name.endswith(("running_var", "weight")):
            state[name] = torch.rand(shape, generator=random) + 0.5
        else:
            state[name] = torch.randn(shape, generator=random) * 0.1
    return state


def empty_release_state() -> dict[str, Tensor]:
    """Ones in the same layout, of which a file of some kilobytes is made."""
    return {
        name: torch.tensor(1) if name.endswith("num_batches_tracked") else torch.ones(1).expand(shape)
        for name, shape in release_shapes().items()
    }


def release_file(state: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream, **options)
    return stream.getvalue()


def release_output(state: dict[str, Tensor], image: Tensor, mask: Tensor, *, skips: bool = False) -> Tensor:
    """What the released network makes of an image, layer by layer.

    Args:
        state: of the layout above.
        image: [N, 3, H, W] in [-1, 1].
        mask: [N, 1, H, W] in {0, 1}.
        skips: add the stem to what the head gets, and the first down step to what the second up step gets.
    """

    def conv(x: Tensor, name: str, *, reflect: int = 0, **options: Any) -> Tensor:
        padded = F.pad(x, (reflect,) * 4, mode="reflect")
        return F.conv2d(padded, state[f"{name}.weight"], state[f"{name}.bias"], **options)

    def up(x: Tensor, name: str) -> Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    stem = norm(conv(torch.cat([image, mask], 1), "model.1", reflect=3), "model.2").relu()
    down = norm(conv(stem, "model.4", stride=2, padding=1), "model.5").relu()
    trunk = norm(conv(down, "model.7", stride=2, padding=1), "model.8").relu()
    for block in range(10, 19):
        name = f"model.{block}.conv_block"
        inner = norm(conv(trunk, f"{name}.1", reflect=1), f"{name}.2").relu()
        trunk = trunk + norm(conv(inner, f"{name}.5", reflect=1), f"{name}.6")
    half = norm(up(trunk, "model.19"), "model.20").relu()
    full = norm(up(half + down if skips else half, "model.22"), "model.23").relu()
    return conv(full + stem if skips else full, "model.26", reflect=3).tanh()


def release_sample() -> tuple[Tensor, Tensor]:
    """Two images and masks of 64 px."""
    random = torch.Generator().manual_seed(1)
    image = torch.rand(2, 3, SAMPLE_PX, SAMPLE_PX, generator=random) * 2 - 1
    mask = (torch.rand(2, 1, SAMPLE_PX, SAMPLE_PX, generator=random) > 0.8).float()
    return image, mask
