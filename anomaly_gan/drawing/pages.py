"""HTML pages that need nothing beside themselves: their templates, and pictures within them."""

from base64 import b64encode

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from numpy.typing import NDArray

from anomaly_gan.samples.sample import encode_png


def page_template(package: str, name: str) -> Template:
    """A template that lies beside the modules of a package.

    All text that is put in is escaped, and a missing value is an error.
    """
    templates = Environment(
        loader=PackageLoader(package, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template(name)


def data_uri(image: NDArray[np.uint8]) -> str:
    """[H, W] or [H, W, 3] RGB uint8 as a PNG within the page."""
    return f"data:image/png;base64,{b64encode(encode_png(image)).decode()}"
