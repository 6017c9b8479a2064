"""torchvision's Inception v3 up to its last pooling: the 2,048 features of a FID.

A FID in the literature is of other weights and another resizing (TensorFlow's of 2015): compare with figures that were
taken by this network alone.
"""

from collections.abc import Mapping

from torch import Tensor, nn
from torchvision.models import inception_v3

from anomaly_gan.networks.pretrained import pick


def build(state: Mapping[str, Tensor], name: str) -> nn.Module:
    """The network with the weights of a state dict, as `FeatureEntry.builder` says; its classifiers are left behind.

    Raises:
        DataError: the state dict is that of another network; the message begins with `name`.
    """
    network: nn.Module = inception_v3(weights=None, aux_logits=False, init_weights=False, transform_input=False)
    network.fc = nn.Identity()
    # Older files do not count batches, and nothing here reads the counts.
    wanted = {key: tensor for key, tensor in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    network.load_state_dict(pick(state, wanted, name), strict=False)
    return network.eval().requires_grad_(False)
