"""The authors' released generators: files with the state dict of a ResNet generator with 9 blocks."""

import io

import torch
from torch import Tensor

from anomaly_gan.config import ModelConfig
from anomaly_gan.networks.resnet import ResNetGenerator
from infra.errors import DataError

RELEASED = ModelConfig(
    generator="resnet9",
    upsample="transposed",
    generator_norm="batch",
    blend=False,
    gray=False,
    resnet_width=64,
    noise_planes=0,
    content="image",
)
"""What the released weights fit."""

WRAPPER = "module."
"""What torch's DataParallel puts before every name."""

EXPECTED = "expected the state dict of pytorch-CycleGAN's ResNet generator: 4 input channels, 9 blocks, batch norm"


def load_released(data: bytes, name: str) -> ResNetGenerator:
    """The generator with the weights of a released file, in evaluation mode.

    Args:
        data: a state dict written by torch.save, also one of a network within DataParallel. No code in it is run.
        name: begins every message.

    Raises:
        DataError: it is anything else: a tensor too many, one missing, one of another shape or kind.
    """
    state = _read(data, name)
    if all(key.startswith(WRAPPER) for key in state):
        state = {key.removeprefix(WRAPPER): tensor for key, tensor in state.items()}
    generator = ResNetGenerator(RELEASED)
    _check(state, generator.state_dict(), name)
    generator.load_state_dict(state)
    return generator.eval().requires_grad_(False)


def _read(data: bytes, name: str) -> dict[str, Tensor]:
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as err:  # torch.load raises many kinds on broken input and on code
        raise DataError(
            f"{name}: holds more than tensors, or is damaged; save it with torch.save(generator.state_dict(), FILE)"
        ) from err
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        found = f"keys {', '.join(sorted(map(str, state)))}" if isinstance(state, dict) else type(state).__name__
        raise DataError(f"{name}: is not a dict of tensors but has {found[:200]}; {EXPECTED}")
    return {str(key): value for key, value in state.items()}


def _check(state: dict[str, Tensor], wanted: dict[str, Tensor], name: str) -> None:
    for key, tensor in wanted.items():
        if key not in state:
            raise DataError(f"{name}: has no {key}; {EXPECTED}")
        found = state[key]
        if found.shape != tensor.shape:
            raise DataError(f"{name}: {key} has shape {tuple(found.shape)}, not {tuple(tensor.shape)}; {EXPECTED}")
        if not _is_sound(found, tensor):
            raise DataError(f"{name}: {key} does not hold finite {tensor.dtype} numbers; {EXPECTED}")
    for key in state:
        if key not in wanted:
            raise DataError(f"{name}: has {key}, which does not belong there; {EXPECTED}")


def _is_sound(found: Tensor, wanted: Tensor) -> bool:
    """Whether it is a dense tensor of the wanted kind of numbers, all finite."""
    is_dense = found.layout is torch.strided and found.device.type == "cpu"
    return is_dense and found.is_floating_point() == wanted.is_floating_point() and bool(found.isfinite().all())
