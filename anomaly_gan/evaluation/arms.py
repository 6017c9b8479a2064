"""The arms of a comparison: what a detector learns from, and in which shares.

Half of what any detector sees are normal pictures, in every arm. The other half are anomalous ones: real ones, added
ones, or both in equal parts. All arms take the same number of steps, and are tested on the same pictures.
"""

from dataclasses import dataclass

from anomaly_gan.lists import find

BASE = "real"
"""The arm that all others are compared with."""

NORMAL_SHARE = 0.5
"""Share of normal pictures in what the detector of any arm is shown."""


@dataclass(frozen=True)
class Arm:
    """What the anomalous half of every batch is.

    Attributes:
        title: how a report names it.
        has_real: real anomalies are among them.
        added: name of what is added to them, or takes their place; None = nothing.
    """

    title: str
    has_real: bool
    added: str | None = None


ARMS: dict[str, Arm] = {
    BASE: Arm("real", has_real=True),
    "copy_paste": Arm("real + copy-paste", has_real=True, added="copy_paste"),
    "generated": Arm("real + generated", has_real=True, added="generated"),
    "generated_alone": Arm("generated alone", has_real=False, added="generated"),
}
"""Name in the spec -> arm."""


def find_arm(name: str) -> Arm:
    """An arm of the list.

    Raises:
        UsageError: there is none of this name.
    """
    return find(ARMS, name, "arms: unknown arm")
