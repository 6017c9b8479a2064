"""Anomaly-GAN without a cluster and a store: arrays in, images with exact masks out (docs/python.md).

The names are loaded at their first use, so that importing another part of this package stays cheap.
"""

from typing import TYPE_CHECKING

__all__ = ["MaskPool", "generate", "load_generator", "measure", "place_masks"]

if TYPE_CHECKING:
    from anomaly_gan.masks.pool.pool import MaskPool
    from anomaly_gan.notebook import generate, load_generator, measure, place_masks
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from anomaly_gan import notebook

        return getattr(notebook, name)

    def __dir__() -> list[str]:
        return sorted([*globals(), *__all__])
