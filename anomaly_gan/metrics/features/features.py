"""The list of networks whose features pictures are compared by; each is imported only when it is loaded."""

from dataclasses import dataclass

from anomaly_gan.lists import find


@dataclass(frozen=True)
class FeatureEntry:
    """A network that sees a picture as K numbers.

    Attributes:
        builder: "module:function" that takes a state dict and the name of its file, and gives a frozen module:
            [N, 3, H, W] float32 -> [N, K].
        weights: the file's name in the list of weights, `anomaly_gan.networks.weights`.
        side_px: side of the square that every picture is resized to.
        zero_level: grey level that becomes 0.
        levels_per_unit: grey levels that become 1.
        frechet_name: what the field calls the Fréchet distance of its features.
    """

    builder: str
    weights: str
    side_px: int
    zero_level: float
    levels_per_unit: float
    frechet_name: str = "frechet"


FEATURES: dict[str, FeatureEntry] = {
    "lite0": FeatureEntry("anomaly_gan.metrics.features.lite0:build", "lite0", 224, 127.0, 128.0),
    "inception": FeatureEntry(
        "anomaly_gan.metrics.features.inception:build", "inception", 299, 127.5, 127.5, frechet_name="fid"
    ),
}
"""Name in a spec -> network."""


def find_features(name: str) -> FeatureEntry:
    """The feature network of a name.

    Raises:
        UsageError: there is no such network.
    """
    return find(FEATURES, name, "features: unknown network")
