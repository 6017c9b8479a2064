"""EfficientNet-Lite0: ImageNet features without a download, 1,280 of them."""

from collections.abc import Mapping

from torch import Tensor, nn

from anomaly_gan.networks.efficientnet_lite import EfficientNetLite0
from anomaly_gan.networks.pretrained import pick


def build(state: Mapping[str, Tensor], name: str) -> nn.Module:
    """The network with the weights of a state dict, as `FeatureEntry.builder` says; its classifier is left behind.

    Raises:
        DataError: the state dict is that of another network; the message begins with `name`.
    """
    network = EfficientNetLite0()
    network.load_state_dict(pick(state, network.state_dict(), name))
    return network.fused()
