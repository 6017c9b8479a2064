"""Companies' machines send HTTP through a proxy, which knows nothing of this machine's own 127.0.0.1."""

from collections.abc import Mapping

OWN = ("127.0.0.1", "localhost")
VARIABLES = ("no_proxy", "NO_PROXY")
"""Programs read the one or the other."""


def unproxied(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables with which an environment's programs reach this machine without a proxy."""
    listed = [part.strip() for name in VARIABLES for part in environ.get(name, "").split(",")]
    return dict.fromkeys(VARIABLES, ",".join(dict.fromkeys(filter(None, (*listed, *OWN)))))
